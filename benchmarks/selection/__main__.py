"""Do the strategies of `annotator select` beat drawing frames uniformly?

    OMP_NUM_THREADS=1 python -m benchmarks.selection DATA [--runs runs/selection] [--only cats|mouse|lspet] [--seeds 5]

DATA is the folder that holds cats, openfield_mouse, lspet and coco_people. What every training gave lies in --runs and
is not done again: the benchmark may be stopped and goes on where it was. docs/selection-benchmark.md says what is done.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch

from annotator.acquisition.strategies import STRATEGIES
from benchmarks.selection.climbing import Row, climb
from benchmarks.selection.data_sets import DATA_SETS, limited, people
from benchmarks.selection.figures import Curves, make_curves
from benchmarks.selection.learner import THRESHOLDS, CropLearner
from benchmarks.selection.learning import write_start
from benchmarks.selection.report import data_set_report, draw_curves, overall_report
from cvat_export.atomic import write_bytes, write_text
from trainers.training_config import PoseConfig

START_STEPS = 3000
PACE = {"cats": 20.0, "mouse": 20.0, "lspet": 16.5}  # steps of a training by the square root of labels: see the docs
NETWORK: dict[str, Any] = {  # small enough for a step to take a twentieth of a second
    "network": "lite-fpn",
    "network_options": {"levels": 3, "width": 48},
    "input": {"width": 64, "height": 64},
    "target": {"sigma": 1.25},
}
CHANGES = {
    "rotation_degrees": 60,
    "rotation_probability": 0.6,
    "scale": 0.25,
    "half_body_probability": 0.1,
    "blur_probability": 0.05,
    "cut_out_probability": 0.1,
}
FROM_ABOVE = {**CHANGES, "rotation_degrees": 180, "rotation_probability": 1, "half_body_probability": 0}
PEOPLE = {**NETWORK, "augmentation": CHANGES, "batch_size": 32, "optimizer": {"learning_rate": 0.003}}
SHORT = {**NETWORK, "augmentation": CHANGES, "batch_size": 16, "optimizer": {"learning_rate": 0.004}}
CONFIGS: dict[str, dict[str, Any]] = {"cats": SHORT, "mouse": {**SHORT, "augmentation": FROM_ABOVE}, "lspet": SHORT}


def main() -> None:
    """Train what is missing; print the tables."""
    options = _options()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    _check_settings(options)
    start = options.runs / "start.ckpt"
    if not start.exists():
        write_start(start, people(options.data), _config(PEOPLE), _limited(START_STEPS, options))
    found = {name: _measured(name, start, options) for name in options.only or DATA_SETS}
    for name, curves in found.items():
        print("\n".join(data_set_report(name, curves, options.seeds, options.threshold)), end="\n\n")
    print(overall_report(list(found.values())))
    if options.plot:
        write_bytes(options.plot, draw_curves(found, options.threshold))


def _measured(name: str, start: Path, options: argparse.Namespace) -> Curves:
    subjects = limited(DATA_SETS[name](options.data), options.limit_sizes)
    learner = CropLearner(subjects, _config(CONFIGS[name], weights=str(start)), partial(_steps, name, options))
    rows = climb(learner, options.runs / name, list(STRATEGIES), range(options.seeds), _teller(name, options.threshold))
    return make_curves(rows, list(STRATEGIES), subjects.groups, options.threshold, list(DATA_SETS).index(name))


def _teller(name: str, threshold: str) -> Callable[[Row], None]:
    """Says on stderr what a row gave, and how long it took."""
    last = time.perf_counter()

    def tell(row: Row) -> None:
        nonlocal last
        now, last_one = time.perf_counter(), last
        last = now
        right = sum(row.score.near[threshold]) / sum(row.score.joints)
        print(
            f"{name} {row.strategy} seed {row.seed} {len(row.labelled)} labels: {right:.3f}, {now - last_one:.1f} s",
            file=sys.stderr,
            flush=True,
        )

    return tell


def _config(settings: dict[str, Any], **more: Any) -> PoseConfig:
    return PoseConfig.model_validate({"data": {"train": "coco_people"}, **settings, **more})


def _steps(name: str, options: argparse.Namespace, labels: int) -> int:
    return _limited(round(PACE[name] * math.sqrt(labels)), options)


def _limited(steps: int, options: argparse.Namespace) -> int:
    return min(steps, options.limit_steps or steps)


def _check_settings(options: argparse.Namespace) -> None:
    """Rows of other settings must not be taken for rows of these."""
    settings = {
        "people": PEOPLE,
        "configs": CONFIGS,
        "start_steps": _limited(START_STEPS, options),
        "pace": PACE,
        "limit_steps": options.limit_steps,
        "limit_sizes": options.limit_sizes,
    }
    path = options.runs / "settings.json"
    if not path.exists():
        write_text(path, json.dumps(settings, indent=2) + "\n")
    elif json.loads(path.read_text()) != settings:
        raise SystemExit(f"{path}: these runs were made with other settings; give another folder with --runs")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/selection"))
    parser.add_argument("--only", choices=DATA_SETS, action="append", help="a data set; may be repeated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threshold", choices=THRESHOLDS, default=THRESHOLDS[0], help="of PCK, of the box's side")
    parser.add_argument("--plot", type=Path, help="write a PNG")
    parser.add_argument("--limit-steps", type=int, help="of any training, for a trial")
    parser.add_argument("--limit-sizes", type=int, help="label so many times, of a smaller pool, for a trial")
    return parser.parse_args()


if __name__ == "__main__":
    main()
