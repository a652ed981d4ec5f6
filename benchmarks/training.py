"""What training from scratch gives: python -m benchmarks.training people|cats|mouse DATA [--runs runs/benchmarks].

DATA is the folder with the data sets that the arms below name. Each run lies in --runs, goes on where it was stopped,
and is not done again once it has ended: hours of training may be spread over many calls. Figures are those of
`annotator evaluate` on the boxes of the labels; intervals hold 95 % of 2,000 bootstrap resamples of images.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from benchmarks.released.data_sets import write_part
from benchmarks.released.models import NamedPoseModel, movenet
from benchmarks.tables import markdown, with_interval
from demo.program import run_annotator
from recipes.make import recipe_path
from trainers.metrics.bootstrap import Interval, draw_groups, interval, resample_ratio

RESAMPLES = 2000


@dataclass(frozen=True)
class Arm:
    """A config, or the file of it, that is trained once a seed. weights_of: the run that it starts from.

    The run is named as benchmark/arm/seed. Labels are named below DATA, which recipes call data.
    """

    config: Mapping[str, Any] | Path
    seeds: int = 1
    weights_of: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """Arms measured on the same files. compared: pairs of arms, the first expected to be better.

    held_out: instead of tests, a file of labels of which the images that the first arm kept for validation are taken.
    others: models of somebody else in DATA, measured on the same boxes. options: of `annotator evaluate`.
    """

    arms: Mapping[str, Arm]
    tests: Mapping[str, str] = field(default_factory=dict)
    held_out: str | None = None
    compared: tuple[tuple[str, str], ...] = ()
    others: tuple[Callable[[Path], NamedPoseModel], ...] = ()
    options: tuple[str, ...] = ()


CATS = {
    "train": "cats/annotations/cat_keypoints_train.json",
    "validation": "cats/annotations/cat_keypoints_test.json",
    "leave_out_faulty": True,
}
LAST = {"keep": "last", "pictures_every": 50}  # the models are tested on what they are validated on: nothing is chosen
SMALL = {
    "data": CATS,
    "input": {"width": 128, "height": 128},
    "target": {"sigma": 1.5},
    "report": LAST,
}
LITE_CATS = {**SMALL, "network": "lite-fpn", "epochs": 150, "batch_size": 16, "ema": 0.99}
BENCHMARKS = {
    "people": Benchmark(
        {
            "lite-fpn": Arm(recipe_path("pose-coarse")),
        },
        {
            "coco_people": "coco_people/annotations/person_keypoints_val.json",
            "lspet": "lspet/annotations/person_keypoints_val.json",
        },
        others=(movenet,),
    ),
    "cats": Benchmark(
        {
            "lite-fpn": Arm(LITE_CATS, seeds=5),
            "lite-fpn from people": Arm(LITE_CATS, seeds=5, weights_of="people/lite-fpn/0"),
            "simple-baseline": Arm(
                {**SMALL, "network": "simple-baseline", "backbone": "resnet18", "epochs": 120, "ema": 0.99}
            ),
            "cpm, 3 stages": Arm(
                {
                    **SMALL,
                    "network": "cpm",
                    "network_options": {"stages": 3, "normalisation": "batch", "shared_features": True},
                    "target": {"sigma": 1.0},
                    "epochs": 40,
                    "batch_size": 8,
                    "ema": 0.99,
                }
            ),
        },
        {"cats": "cats/annotations/cat_keypoints_test.json"},
        compared=(("lite-fpn from people", "lite-fpn"),),
    ),
    "mouse": Benchmark(
        {
            "lite-fpn": Arm(
                {
                    "data": {
                        "train": {"path": "openfield_mouse/annotations/mouse_keypoints.json", "group": "time:5"},
                        "split": {"folds": 5, "fold": 4},
                    },
                    "network": "lite-fpn",
                    "input": {"width": 160, "height": 160},
                    "target": {"sigma": 1.5},
                    "augmentation": {"rotation_degrees": 180, "rotation_probability": 1.0, "half_body_probability": 0},
                    "epochs": 200,
                    "batch_size": 16,
                    "ema": 0.99,
                    "report": LAST,
                }
            )
        },
        held_out="openfield_mouse/annotations/mouse_keypoints.json",
        options=("--group", "time:8"),  # neighbours of one video: stretches are resampled, not frames
    ),
}


@dataclass(frozen=True, eq=False)
class Measured:
    """right, labelled: (images,) joints within a tenth of the box, and joints, by image in the file's order."""

    figures: Mapping[str, Any]
    subjects: int
    right: npt.NDArray[np.float64]
    labelled: npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    benchmark = BENCHMARKS[options.benchmark]
    folder = options.runs / options.benchmark
    for name, arm in benchmark.arms.items():
        for seed in range(arm.seeds):
            train_arm(arm, seed, options.data, folder / _slug(name) / str(seed), options.runs)
    tests = {test: options.data / labels for test, labels in benchmark.tests.items()}
    if benchmark.held_out is not None:
        run = folder / _slug(next(iter(benchmark.arms))) / "0"
        tests["held out"] = write_held_out(options.data / benchmark.held_out, run)
    for test, labels in tests.items():
        print_table(benchmark, test, labels, options.data, folder)


def write_held_out(labels: Path, run: Path) -> Path:
    """The labels of the images that a run kept for validation, beside the run; their images lie where they were."""
    names = set(json.loads((run / "run.json").read_text())["samples"]["validation_images"])
    return write_part(labels, names, run.parent / f"held-out-{run.name}.json")


def train_arm(arm: Arm, seed: int, data: Path, run: Path, runs: Path) -> None:
    """Train, or go on, or find that it is done."""
    if (run / "config.yaml").exists():
        run_annotator("train", "--resume", str(run))
        return
    whole = yaml.safe_load(arm.config.read_text()) if isinstance(arm.config, Path) else arm.config
    config = {**whole, "data": _with_folder(whole["data"], data), "seed": seed}
    if arm.weights_of is not None:
        config["weights"] = str(runs / arm.weights_of / "best.ckpt")
    run.parent.mkdir(parents=True, exist_ok=True)
    path = run.parent / f"{run.name}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    run_annotator("train", str(path), "-o", str(run))


def print_table(benchmark: Benchmark, test: str, labels: Path, data: Path, folder: Path) -> None:
    """One line an arm: the mean over its seeds, images resampled; then the paired differences."""
    images = ("--images", str(data / Path(benchmark.held_out).parents[1] / "images")) if benchmark.held_out else ()
    options = (*benchmark.options, *images)
    measured = {
        name: [
            measure(run / "best.ckpt", labels, run / f"report-{_slug(test)}", *options)
            for run in (folder / _slug(name) / str(seed) for seed in range(arm.seeds))
        ]
        for name, arm in benchmark.arms.items()
    }
    for other in (find(data) for find in benchmark.others):
        report = folder / f"{_slug(other.name)}-{_slug(test)}"
        measured[other.name] = [measure(other.path, labels, report, "--pose-card", str(other.card), *options)]
    print(f"\n{test}: {next(iter(measured.values()))[0].subjects} subjects\n")
    rows = []
    for name, runs in measured.items():
        cells = [_shown(runs, key) for key in ("AP", "AP50", "AP75", "mean_error_px")]
        low_high = interval(_pck(runs), _resampled_pck(runs), len(runs[0].right))
        rows.append((name, str(len(runs)), with_interval(low_high), *cells))
    print(markdown(("network", "seeds", "PCK@0.1", "OKS AP", "AP50", "AP75", "mean error"), rows))
    for better, worse in benchmark.compared:
        differences = _resampled_pck(measured[better]) - _resampled_pck(measured[worse])
        found = interval(_pck(measured[better]) - _pck(measured[worse]), differences, len(measured[worse][0].right))
        print(f"\n{better} less {worse}: PCK@0.1 {with_interval(found, '+')}")


def measure(model: Path, labels: Path, report: Path, *options: str) -> Measured:
    """`annotator evaluate` of a model into the folder `report`; done anew only where the model is newer."""
    done = report / "metrics.json"
    if not done.exists() or done.stat().st_mtime < model.stat().st_mtime:
        run_annotator("evaluate", str(model), "--data", str(labels), "-o", str(report), *options)
    rows = list(csv.DictReader((report / "samples.csv").open()))
    images = {name: place for place, name in enumerate(dict.fromkeys(row["file_name"] for row in rows))}
    right, labelled = np.zeros(len(images)), np.zeros(len(images))
    for row in rows:
        place, joints = images[row["file_name"]], float(row["joints"])
        labelled[place] += joints
        right[place] += joints * float(row["pck"] or 0)
    return Measured(json.loads(done.read_text())["figures"], len(rows), right, labelled)


def _pck(runs: Sequence[Measured]) -> float:
    return float(np.mean([run.right.sum() / run.labelled.sum() for run in runs]))


def _resampled_pck(runs: Sequence[Measured]) -> npt.NDArray[np.float64]:
    """(resamples,) the mean over seeds; images are drawn alike for all arms, so that differences are paired."""
    draws = draw_groups(len(runs[0].right), RESAMPLES, seed=0)
    drawn = [resample_ratio(draws, run.right, run.labelled) for run in runs]
    # Seeds are drawn too: another five would give another mean.
    chosen = np.random.default_rng(1).integers(0, len(runs), (RESAMPLES, len(runs)))
    mean: npt.NDArray[np.float64] = np.take_along_axis(np.stack(drawn, axis=1), chosen, axis=1).mean(axis=1)
    return mean


def _shown(runs: Sequence[Measured], key: str) -> str:
    """One run's figure with its interval, several runs' mean with their range."""
    if len(runs) == 1:
        return with_interval(Interval(**runs[0].figures[key]))
    values = [run.figures[key]["value"] for run in runs]
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _with_folder(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The data part of a config, with its files in `folder`."""

    def placed(source: Any) -> Any:
        if isinstance(source, list):
            return [placed(one) for one in source]
        if isinstance(source, Mapping):
            return {**source, "path": placed(source["path"])}
        return str(folder / source.removeprefix("data/"))  # as recipes name what lies in DATA

    return {key: placed(value) if key in ("train", "validation") else value for key, value in data.items()}


def _slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


if __name__ == "__main__":
    main()
