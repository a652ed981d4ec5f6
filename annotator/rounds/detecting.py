"""The step that trains a detector of the project's own, where it wants one, and lets it in if it is better."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from annotator.box_evaluation import BoxEvaluation, BoxOptions, boxes_as_json, evaluate_boxes
from annotator.evaluation_tables import without_nan
from annotator.gate import Verdict, judge
from annotator.rounds.choosing import model_hash
from annotator.rounds.correcting import CORRECTED
from annotator.rounds.judging import GATE_FILE, by_image, evaluation_hash
from annotator.rounds.learning import export_model, run_training
from annotator.rounds.sorting import EVALUATION_FILE
from annotator.rounds.step import CurrentRound, Done, Step
from cvat_export.atomic import write_text
from trainers.detection.boxed_images import BoxedData, read_boxed_images
from trainers.label_sources import LabelSource
from trainers.metrics.bootstrap import differences

_FIGURE = "AP"
_THEIRS = ".pt"  # of Ultralytics, used as it is


def _inputs(here: CurrentRound) -> Mapping[str, Any]:
    config = here.project.config
    if config.detector is None:
        return {}
    return {
        "labels": here.done("sort").outputs,
        "settings": config.detector,
        "seed": config.seed,
        "evaluation": evaluation_hash(here),
        "old": model_hash(here, here.detector()),
    }


def _run(here: CurrentRound, folder: Path) -> Done:
    """Train on all labels so far, from the same start each round; by box AP on the evaluation set."""
    if here.project.config.detector is None:
        return Done({"trained": False, "accepted": False})
    best, _ = run_training(here, folder, "detector")
    model = best if best.suffix == _THEIRS else export_model(best, folder)
    data = _evaluation_data(here)
    new, old = evaluate_boxes(str(model), data, BoxOptions()), _measure_old(here, data)
    verdict = _judge(new, old)
    content = {"verdict": asdict(verdict), **boxes_as_json(new, old)}
    write_text(folder / GATE_FILE, json.dumps(content, indent=1).replace(f"{here.project.root}/", "") + "\n")
    figures = {
        "trained": True,
        **asdict(verdict),
        "model": here.relative(model),
        **without_nan(asdict(new.figures[_FIGURE])),
    }
    weights = [model.with_suffix(".bin")] if model != best else []
    return Done(figures, [model, *weights, folder / GATE_FILE])


def _evaluation_data(here: CurrentRound) -> BoxedData:
    source = LabelSource(here.folder("sort") / EVALUATION_FILE, here.project.root / CORRECTED / "images")
    data = read_boxed_images([(source, True)], here.project.config.category, leave_out_faulty=True)
    groups = by_image({image.file_name: image.group for image in data.images})
    return replace(data, images=tuple(replace(image, group=groups[image.file_name]) for image in data.images))


def _measure_old(here: CurrentRound, data: BoxedData) -> BoxEvaluation | None:
    old = here.detector()
    return None if old is None else evaluate_boxes(old, data, BoxOptions())


def _judge(new: BoxEvaluation, old: BoxEvaluation | None) -> Verdict:
    """As pose models are judged; how fast detectors are is not looked at."""
    return judge(None if old is None else differences(new, old)[_FIGURE], None, "box AP")


DETECTOR = Step("detector", _inputs, _run)
