"""Steps that judge: is the new model better than the one in use, and what would more labels bring?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from annotator.curve_report import CurveRow, write_curve_report
from annotator.evaluated_poses import ModelRequest, Poses, estimate_poses
from annotator.evaluation import Compared, compare, read_truth
from annotator.evaluation_tables import figures_as_json, without_nan
from annotator.gate import Verdict, judge
from annotator.learning_curve import Point, advise, fit_curve
from annotator.pose_model import load_pose_model
from annotator.report import REPORT_FILE
from annotator.rounds.choosing import model_hashes
from annotator.rounds.correcting import CORRECTED
from annotator.rounds.sorting import EVALUATION_FILE
from annotator.rounds.step import CurrentRound, Done, Step
from annotator.rounds.timing import speed_ratio
from annotator.rounds.words import Figures
from cvat_export.atomic import write_text
from trainers.label_sources import LabelledData, LabelSource
from trainers.metrics.bootstrap import Difference, Interval, differences
from trainers.metrics.evaluation import EvaluationOptions
from trainers.runtimes import Execution

GATE_FILE = "gate.json"
FIGURES = {"PCK": "PCK@0.1", "AP": "OKS AP", "OKS": "mean OKS"}
MORE_LABELS = 100
ENOUGH_VIDEOS = 10  # of fewer the bootstrap's intervals are too narrow
_NONE = np.zeros(0)


def _gate_inputs(here: CurrentRound) -> dict[str, Any]:
    return {
        "model": here.done("export").outputs,
        "evaluation": evaluation_hash(here),
        "old": model_hashes(here)[1],
        "figure": here.project.config.gate.figure,
    }


def evaluation_hash(here: CurrentRound) -> str:
    """Of the labels that models are measured by."""
    return next(value for path, value in here.done("sort").outputs.items() if Path(path).name == EVALUATION_FILE)


def _gate(here: CurrentRound, folder: Path) -> Done:
    """Both models on the evaluation set, in the boxes of its labels."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, data = here.project.config.gate.figure, _evaluation_data(here)
    model, old = here.project.root / here.done("export").figures["model"], _comparable(here, data)
    poses = [_poses(str(model), data, "new model"), *([_poses(old, data, "old model")] if old else [])]
    compared = compare(data, poses, EvaluationOptions())
    difference = _difference(compared, figure)
    verdict = judge(difference, speed_ratio(str(model), old) if old else None, FIGURES[figure])
    content = {**_as_json(compared, difference, verdict, figure), "notes": _notes(here, compared)}
    write_text(folder / GATE_FILE, json.dumps(without_nan(content), indent=1) + "\n")
    value = compared[0].evaluation.figures[figure]
    figures = {
        "accepted": verdict.accepted,
        "reason": verdict.reason,
        "model": here.relative(model),
        "figure": figure,
        **without_nan(asdict(value)),
        "evaluation": evaluation_hash(here),
        "labels": here.done("sort").figures["training_images"],
    }
    return Done(figures, [folder / GATE_FILE])


def _evaluation_data(here: CurrentRound) -> LabelledData:
    """The evaluation set: resampled by video where there are enough, else by frame, as for accuracy on these videos."""
    labels = here.folder("sort") / EVALUATION_FILE
    images = here.project.root / CORRECTED / "images"
    data = read_truth(LabelSource(labels, images), here.project.skeleton_spec, here.project.config.category)
    return replace(data, groups=by_image(data.groups))


def by_image(groups: Mapping[str, str]) -> Mapping[str, str]:
    """Images by the group that they are resampled with: as given where there are enough, else each by itself."""
    return groups if len(set(groups.values())) >= ENOUGH_VIDEOS else {name: name for name in groups}


def _comparable(here: CurrentRound, data: LabelledData) -> str | None:
    """The model in use, if it knows every joint that is measured: over fewer joints the two could not be compared."""
    old = here.model()
    if old is None:
        return None
    known = load_pose_model(old, None, Execution()).skeleton
    sources = data.skeleton.sources_in(known)
    if missing := [joint for joint, source in zip(data.skeleton.joints, sources, strict=True) if source is None]:
        here.say(f"{old} does not know {', '.join(missing)}: the new model is not compared with it")
        return None
    return old


def _poses(model: str, data: LabelledData, name: str) -> Poses:
    with tqdm(total=len(data.files), unit="image", desc=name, disable=None) as bar:
        return estimate_poses(ModelRequest(model), data, bar.update)


def _as_json(
    compared: tuple[Compared, ...], difference: Difference | None, verdict: Verdict, figure: str
) -> dict[str, Any]:
    """Figures of all models; resamples of the new one, which the learning curve is fitted to."""
    return {
        "verdict": asdict(verdict),
        "figures": {role: figures_as_json(one.evaluation) for role, one in zip(("new", "old"), compared, strict=False)},
        "difference": None if difference is None else asdict(difference.interval),
        "resampled": compared[0].evaluation.resampled.get(figure, _NONE).tolist(),
    }


def _notes(here: CurrentRound, compared: tuple[Compared, ...]) -> list[str]:
    """With files as the journal names them, wherever the project lies."""
    return [note.replace(f"{here.project.root}/", "") for note in compared[0].notes]


def _difference(compared: tuple[Compared, ...], figure: str) -> Difference | None:
    """New minus old; without an interval where there is nothing to resample; None without an old model."""
    if len(compared) < 2:
        return None
    new, old = (one.evaluation for one in compared)
    apart = new.figures[figure].value - old.figures[figure].value
    unknown = Difference(Interval(apart, float("nan"), float("nan")), float("nan"))
    return differences(new, old).get(figure, unknown)


def _curve(here: CurrentRound, folder: Path) -> Done:
    """Accuracy against labels over the rounds that were measured by the same labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, points = [], []
    for gate in here.every("gate"):
        if not _is_comparable(gate.figures, here.done("gate").figures):
            continue
        content = json.loads((here.project.root / gate.folder / GATE_FILE).read_text("utf-8"))
        rows.append(_curve_row(gate.round, gate.figures, content))
        if content["resampled"]:
            resampled = np.array(content["resampled"], float)
            points.append(Point(gate.figures["labels"], gate.figures["value"], resampled))
    curve = fit_curve(points, seed=here.project.config.seed)
    labels = here.done("gate").figures["labels"]
    advice = advise(curve, labels, MORE_LABELS)
    figure = FIGURES[here.done("gate").figures["figure"]]
    write_curve_report(folder / REPORT_FILE, rows, curve, advice, figure, MORE_LABELS)
    gain = None if curve is None else without_nan(asdict(curve.gain(labels, MORE_LABELS)))
    return Done({"labels": labels, "more": MORE_LABELS, "gain": gain, "advice": advice}, [])


def _is_comparable(then: Figures, now: Figures) -> bool:
    """Whether a round was measured by the same figure and labels, which somebody may have corrected since."""
    return then["value"] is not None and all(then[key] == now[key] for key in ("figure", "evaluation"))


def _curve_row(number: int, figures: Figures, content: Mapping[str, Any]) -> CurveRow:
    apart = content["difference"]
    return CurveRow(
        number,
        figures["labels"],
        _interval(figures),
        None if apart is None else _interval(apart),
        figures["accepted"],
        figures["reason"],
    )


def _interval(numbers: Mapping[str, Any]) -> Interval:
    return Interval(*(float("nan") if numbers[name] is None else numbers[name] for name in ("value", "low", "high")))


GATE = Step("gate", _gate_inputs, _gate)
CURVE = Step("curve", lambda here: {"gates": [row.outputs for row in here.every("gate")]}, _curve)
