"""How good the boxes of a detector are, by labels that people made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotator.batches import batches
from annotator.detector import DetectionOptions, load_detector
from annotator.evaluation_tables import differences_as_json, figure_lines, figures_as_json, without_nan
from cvat_export.labels import Boxes
from trainers.detection.boxed_images import BoxedData, BoxedImage
from trainers.detection.validation import true_boxes
from trainers.image_files import read_again
from trainers.metrics.average_precision import resample_ap, summarise_matches
from trainers.metrics.bootstrap import Interval, draw_groups, interval, resample_ratio, sum_by_group
from trainers.metrics.box_precision import BOX_SIZES, match_boxes, tally_boxes
from trainers.metrics.evaluation import Grouping
from trainers.metrics.pairs import Floats
from trainers.model_card import MIN_BOX_SCORE
from trainers.runtimes import Execution

_LEAST_SCORE = 0.01  # of boxes that average precision looks at


@dataclass(frozen=True)
class BoxOptions:
    """min_score: of boxes that count as found, in recall and false boxes. resamples, seed: of the bootstrap."""

    min_score: float = MIN_BOX_SCORE
    resamples: int = 1000
    seed: int = 0
    batch_size: int = 8


@dataclass(frozen=True, eq=False)
class BoxEvaluation:
    """Figures of one detector, with their intervals; `resampled` holds what these were made of."""

    name: str
    figures: Mapping[str, Interval]
    resampled: Mapping[str, Floats]
    groups: int
    counts: Mapping[str, int]


def evaluate_boxes(
    detector: str,
    data: BoxedData,
    options: BoxOptions,
    execution: Execution = Execution(),
    progress: Callable[[int], object] = lambda _: None,
) -> BoxEvaluation:
    """Run a detector, as `load_detector` names it, on labelled images and measure its boxes. Raises AnnotatorError."""
    found = detect_boxes(detector, data.images, options, execution, progress)
    return measure_boxes(detector, found, data.images, options)


def detect_boxes(
    spec: str,
    images: Sequence[BoxedImage],
    options: BoxOptions,
    execution: Execution = Execution(),
    progress: Callable[[int], object] = lambda _: None,
) -> list[Boxes]:
    """Of any score that average precision looks at, one value an image. Raises AnnotatorError."""
    detector = load_detector(spec, DetectionOptions(min_score=_LEAST_SCORE), execution)
    found: list[Boxes] = []
    for batch in batches(images, options.batch_size):
        found += detector.detect(
            [detector.prepare(image.file_name, read_again(image.image, image.file_name)) for image in batch]
        )
        progress(len(batch))
    return found


def measure_boxes(
    detector: str, found: Sequence[Boxes], images: Sequence[BoxedImage], options: BoxOptions
) -> BoxEvaluation:
    """The boxes that a detector found, by the labels of their images."""
    truth = true_boxes(images)
    table, tally = match_boxes(truth, found), tally_boxes(truth, found, options.min_score)
    grouping = Grouping.by_name([image.group for image in images])
    groups = len(grouping.names)
    draws = draw_groups(groups, options.resamples, options.seed)
    empty = np.array([not len(image.bbox_xyxy) and not len(image.ignored_xyxy) for image in images])
    ratios = {
        **{_recall(size): (tally.found[size], tally.wanted[size]) for size in BOX_SIZES},
        "false_boxes": (tally.false, np.ones(len(found))),
        "empty_kept_empty": (empty & (tally.boxes == 0), empty),
    }
    values = summarise_matches(table)
    resampled = resample_ap(table, draws[:, grouping.group]) if options.resamples else {}
    for name, (above, below) in ratios.items():
        sums = (sum_by_group(part, grouping.group, groups) for part in (above, below))
        values[name] = float(np.sum(above) / np.sum(below)) if np.sum(below) else math.nan
        resampled[name] = resample_ratio(draws, *sums)
    none = np.full(0, np.nan)
    figures = {name: interval(value, resampled.get(name, none), groups) for name, value in values.items()}
    counts = {
        "images": len(found),
        "groups": groups,
        "subjects": int(tally.wanted["all"].sum()),
        "boxes": int(tally.boxes.sum()),
        "empty_images": int(empty.sum()),
    }
    return BoxEvaluation(detector, figures, resampled, groups, counts)


def boxes_as_text(one: BoxEvaluation, other: BoxEvaluation | None, min_score: float) -> str:
    """A table for a terminal."""
    counts = one.counts
    head = f"{one.name}: {counts['images']} images, {counts['subjects']} subjects, {counts['boxes']} boxes"
    labels = {name: _label(name) for name, figure in one.figures.items() if not math.isnan(figure.value)}
    lines = figure_lines(labels, one, other, other.name if other else "")
    return "\n".join([f"{head} of at least {min_score:g}", "", *lines])


def boxes_as_json(one: BoxEvaluation, other: BoxEvaluation | None) -> dict[str, Any]:
    """Plain values; None where a figure is not defined."""
    content = _plain(one)
    if other is not None:
        content["against"] = {**_plain(other), "differences": differences_as_json(one, other)}
    plain: dict[str, Any] = without_nan(content)
    return plain


def _recall(size: str) -> str:
    return "recall" if size == "all" else f"recall_{size}"


def _plain(one: BoxEvaluation) -> dict[str, Any]:
    return {"detector": one.name, "counts": dict(one.counts), "figures": figures_as_json(one)}


def _label(name: str) -> str:
    words = {"false_boxes": "false boxes an image", "empty_kept_empty": "empty images kept empty"}
    return words.get(name) or (f"box {name}" if name[0] == "A" else name.replace("_", ", "))
