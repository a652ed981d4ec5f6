"""Box AP and AR: numbers of pycocotools' COCOeval("bbox"), equal to 1e-9; recall and false boxes at one score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvat_export.labels import Boxes, box_iou
from trainers.metrics.average_precision import summarise_matches
from trainers.metrics.matching import Found, MatchTable, Pairs, Wanted, best_of_each_image, match, same_image
from trainers.metrics.pairs import Bools, Floats
from trainers.metrics.tables import Ints

BOX_SIZES = ("all", "small", "medium", "large")
MAX_BOXES = 100  # of an image, the best


@dataclass(frozen=True, eq=False)
class TrueBoxes:
    """All true subjects of many images, image by image.

    image: (n,) from 0, never falling. bbox_xyxy: (n, 4) px. area: (n,) px², of the outline where it is known. ignored:
    (n,) nobody must be found here. crowd: (n,) of those, who holds everybody inside.
    """

    image: Ints
    bbox_xyxy: Floats
    area: Floats
    ignored: Bools
    crowd: Bools


def box_precision(truth: TrueBoxes, boxes: Sequence[Boxes]) -> dict[str, float]:
    """AP, AP50, AP75, AP_S, AP_M, AP_L, and AR alike; NaN where nobody is of that size. boxes: one value an image."""
    return summarise_matches(match_boxes(truth, boxes))


@dataclass(frozen=True, eq=False)
class Tally:
    """What a user sees who takes all boxes from a score upwards, at IoU 0.5, each array (images,).

    found, wanted: subjects by size. false: boxes around nobody. boxes: all of them, those that are ignored included.
    """

    found: dict[str, Ints]
    wanted: dict[str, Ints]
    false: Ints
    boxes: Ints


def tally_boxes(truth: TrueBoxes, boxes: Sequence[Boxes], min_score: float) -> Tally:
    """Count image by image."""
    kept = [one.take(np.flatnonzero(one.scores >= min_score)) for one in boxes]
    table = match_boxes(truth, kept)

    def count(image: Ints) -> Ints:
        return np.bincount(image, minlength=len(boxes))

    return Tally(
        {size: count(table.image[table.right[place, 0]]) for place, size in enumerate(table.sizes)},
        {size: count(truth.image[table.wanted[place]]) for place, size in enumerate(table.sizes)},
        count(table.image[table.wrong[0, 0]]),
        np.array([len(one) for one in kept], np.intp),
    )


def match_boxes(truth: TrueBoxes, boxes: Sequence[Boxes]) -> MatchTable:
    """Boxes and true subjects one to one, see `match`."""
    image = np.repeat(np.arange(len(boxes)), [len(one) for one in boxes])
    corners = np.concatenate([np.zeros((0, 4)), *(one.bbox_xyxy.astype(np.float64) for one in boxes)])
    scores = np.concatenate([np.zeros(0), *(one.scores.astype(np.float64) for one in boxes)])
    rows, rank = best_of_each_image(image, scores, MAX_BOXES)
    image, corners, scores = image[rows], corners[rows], scores[rows]
    estimate, other = same_image(image, truth.image)
    similarity = _similarity(corners[estimate], truth.bbox_xyxy[other], truth.crowd[other])
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    table = match(
        Pairs(estimate, other, similarity),
        Wanted(truth.image, truth.area, truth.ignored, truth.crowd),
        Found(image, rank, area, scores),
        BOX_SIZES,
    )
    return replace(table, estimate=rows[table.estimate])


def _similarity(found: Floats, true: Floats, crowd: Bools) -> Floats:
    """IoU, and for a crowd the share of the estimate that lies in it."""
    return np.where(crowd, _share_inside(found, true), box_iou(found, true))


def _share_inside(one: Floats, other: Floats) -> Floats:
    """The share of each box (..., 4) that lies in the other; 0 for one without area."""
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared, area = sides.clip(min=0).prod(axis=-1), (one[..., 2:] - one[..., :2]).clip(min=0).prod(axis=-1)
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)
