"""How good the boxes of a detector are, by labels that people made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from annotator.detector import DetectionOptions, load_detector
from annotator.estimators import batches
from cvat_export.labels import Boxes
from trainers.detection.boxed_images import BoxedData, BoxedImage
from trainers.detection.validation import true_boxes
from trainers.metrics.average_precision import resample_ap, summarise_matches
from trainers.metrics.bootstrap import Interval, draw_groups, interval, resample_ratio, share_above_zero
from trainers.metrics.box_precision import BOX_SIZES, match_boxes, tally_boxes
from trainers.metrics.pairs import Floats
from trainers.runtimes import Execution

_LEAST_SCORE = 0.01  # of boxes that average precision looks at
_BATCH = 8
_COLUMNS = (27, 8, 18)


@dataclass(frozen=True)
class BoxOptions:
    """min_score: of boxes that count as found, in recall and false boxes. resamples, seed: of the bootstrap."""

    min_score: float = 0.25
    iou: float = 0.7
    resamples: int = 1000
    seed: int = 0
    batch_size: int = _BATCH


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
    found = list(_detect(detector, data.images, options, execution, progress))
    truth = true_boxes(data.images)
    table, tally = match_boxes(truth, found), tally_boxes(truth, found, options.min_score)
    names = sorted({image.group for image in data.images})
    group = np.array([names.index(image.group) for image in data.images], np.intp)
    draws = draw_groups(len(names), options.resamples, options.seed)
    empty = np.array([not len(image.bbox_xyxy) and not len(image.ignored_xyxy) for image in data.images])
    ratios = {
        **{_recall(size): (tally.found[size], tally.wanted[size]) for size in BOX_SIZES},
        "false_boxes": (tally.false, np.ones(len(found))),
        "empty_kept_empty": (empty & (tally.boxes == 0), empty),
    }
    values = summarise_matches(table)
    resampled = resample_ap(table, draws[:, group]) if options.resamples else {}
    for name, (above, below) in ratios.items():
        sums = (np.bincount(group, part, len(names)).astype(np.float64) for part in (above, below))
        values[name] = float(np.sum(above) / np.sum(below)) if np.sum(below) else math.nan
        resampled[name] = resample_ratio(draws, *sums)
    none = np.full(0, np.nan)
    figures = {name: interval(value, resampled.get(name, none), len(names)) for name, value in values.items()}
    counts = {
        "images": len(found),
        "groups": len(names),
        "subjects": int(tally.wanted["all"].sum()),
        "boxes": int(tally.boxes.sum()),
        "empty_images": int(empty.sum()),
    }
    return BoxEvaluation(detector, figures, resampled, len(names), counts)


def boxes_as_text(one: BoxEvaluation, other: BoxEvaluation | None, min_score: float) -> str:
    """A table for a terminal."""
    counts = one.counts
    head = f"{one.name}: {counts['images']} images, {counts['subjects']} subjects, {counts['boxes']} boxes"
    lines = [
        f"{head} of at least {min_score:g}",
        "",
        _line("", "value", "95 % interval", other.name if other else None),
    ]
    apart = _differences(one, other) if other else {}
    for name, figure in one.figures.items():
        if not math.isnan(figure.value):
            lines.append(_figure_line(name, figure, other, apart))
    return "\n".join(line.rstrip() for line in lines)


def boxes_as_json(one: BoxEvaluation, other: BoxEvaluation | None) -> dict[str, Any]:
    """Plain values; None where a figure is not defined."""
    content = _plain(one)
    if other is None:
        return content
    apart = {
        name: {**_numbers(found), "share_above_zero": share}
        for name, (found, share) in _differences(one, other).items()
    }
    return {**content, "against": {**_plain(other), "differences": apart}}


def _detect(
    spec: str,
    images: Sequence[BoxedImage],
    options: BoxOptions,
    execution: Execution,
    progress: Callable[[int], object],
) -> Iterator[Boxes]:
    detector = load_detector(spec, DetectionOptions(min_score=_LEAST_SCORE, iou=options.iou), execution)
    for batch in batches(images, options.batch_size):
        yield from detector.detect([detector.prepare(image.file_name, image.image.read()) for image in batch])
        progress(len(batch))


def _recall(size: str) -> str:
    return "recall" if size == "all" else f"recall_{size}"


def _differences(one: BoxEvaluation, other: BoxEvaluation) -> dict[str, tuple[Interval, float]]:
    found = {}
    for name in one.resampled.keys() & other.resampled.keys():
        apart = one.resampled[name] - other.resampled[name]
        value = one.figures[name].value - other.figures[name].value
        found[name] = interval(value, apart, one.groups), share_above_zero(apart)
    return found


def _plain(one: BoxEvaluation) -> dict[str, Any]:
    return {
        "detector": one.name,
        "counts": dict(one.counts),
        "figures": {name: _numbers(figure) for name, figure in one.figures.items()},
    }


def _numbers(figure: Interval) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else value for key, value in asdict(figure).items()}


def _figure_line(
    name: str, figure: Interval, other: BoxEvaluation | None, apart: Mapping[str, tuple[Interval, float]]
) -> str:
    cells = [_label(name), f"{figure.value:.3f}", _range(figure)]
    if other is not None:
        cells.append(f"{other.figures[name].value:.3f}")
    if name in apart:
        found, share = apart[name]
        cells.append(f"{found.value:+.3f}  {_range(found)}  above 0 in {share:.0%}")
    return _line(*cells)


def _label(name: str) -> str:
    words = {"false_boxes": "false boxes an image", "empty_kept_empty": "empty images kept empty"}
    return words.get(name) or (f"box {name}" if name[0] == "A" else name.replace("_", ", "))


def _range(figure: Interval) -> str:
    return "" if math.isnan(figure.low) else f"{figure.low:.3f} .. {figure.high:.3f}"


def _line(*cells: str | None) -> str:
    there = [cell for cell in cells if cell is not None]
    widths = (*_COLUMNS, *[8] * len(there))
    first, *others = (
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(there, widths, strict=False))
    )
    return "".join([first, *others[:2], *(f"  {cell}" for cell in others[2:])])
