"""Who is who, by object keypoint similarity: the same pairs as pycocotools' COCOeval("keypoints") makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainers.metrics.matching import Found, MatchTable, Pairs, Wanted, best_of_each_image, match, same_image
from trainers.metrics.pairs import Bools, Floats
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

AREA_RANGES = ("all", "medium", "large")
MAX_ESTIMATES = 20  # of an image, the best

_PAIRS_AT_ONCE = 1 << 15  # about 30 MB of arrays


def match_by_oks(truth: TruthTable, estimates: EstimateTable, sigmas: tuple[float, ...] | Floats) -> MatchTable:
    """Estimates and true subjects one to one, see `match`."""
    rows, rank = best_of_each_image(estimates.image, estimates.scores, MAX_ESTIMATES)
    kept = estimates.take(rows)
    table = match(
        oks_pairs(truth, kept, sigmas),
        Wanted(truth.image, truth.area, truth.ignored, truth.crowd),
        Found(kept.image, rank, kept.area, kept.scores),
        AREA_RANGES,
    )
    return replace(table, estimate=rows[table.estimate])


def oks_pairs(truth: TruthTable, estimates: EstimateTable, sigmas: tuple[float, ...] | Floats) -> Pairs:
    """The similarity of every estimate to every true subject of its image, to the last bit as pycocotools has it.

    To someone without joints it is that of the joints' distance from a box of three times the size, and so a crowd
    holds everybody inside. An estimated joint that is NaN is like nothing.
    """
    estimate, other = same_image(estimates.image, truth.image)
    variances = (np.asarray(sigmas, np.float64) * 2) ** 2
    order = np.argsort(~truth.labelled, axis=1, kind="stable")  # labelled joints first
    count = truth.labelled.sum(axis=1)
    parts = [np.zeros(0)]
    for start in range(0, len(estimate), _PAIRS_AT_ONCE):
        mine, yours = estimate[start : start + _PAIRS_AT_ONCE], other[start : start + _PAIRS_AT_ONCE]
        offsets = _offsets(truth, yours, estimates.xy[mine], count[yours] == 0)
        squared = offsets[..., 0] ** 2 + offsets[..., 1] ** 2
        similar = np.exp(-(squared / variances / (truth.area[yours, None] + np.spacing(1)) / 2))
        similar = np.take_along_axis(np.where(np.isnan(similar), 0, similar), order[yours], axis=1)
        parts.append(_means_of_first(similar, np.where(count[yours] == 0, len(variances), count[yours])))
    return Pairs(estimate, other, np.concatenate(parts))


def _offsets(truth: TruthTable, rows: Ints, xy: Floats, jointless: Bools) -> Floats:
    """(m, joints, 2) px from the true joint, or beyond the widened box of someone without joints."""
    offsets = xy - truth.xy[rows]
    if jointless.any():
        corner, size = truth.bbox_xywh[rows[jointless], None, :2], truth.bbox_xywh[rows[jointless], None, 2:]
        low, high = corner - size, corner + size * 2
        inside = xy[jointless]
        offsets[jointless] = np.maximum(0, low - inside) + np.maximum(0, inside - high)
    return offsets


def _means_of_first(values: Floats, counts: Ints) -> Floats:
    """(m,) the mean of each row's first values, summed as numpy sums these alone: to the last bit as pycocotools."""
    means = np.zeros(len(values))
    for count in np.unique(counts):
        rows = counts == count
        means[rows] = np.ascontiguousarray(values[rows, :count]).sum(axis=1) / count
    return means
