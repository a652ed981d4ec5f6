"""Who is who, by object keypoint similarity: the same pairs as pycocotools' COCOeval("keypoints") makes.

COCOeval goes through images, area ranges, thresholds and estimates one by one. Here all images, and all thresholds,
are done at once: an estimate's choices do not depend on the threshold, only on what is taken already, and a pair
below the least threshold is nobody's choice. What remains is about one pair a subject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainers.metrics.pairs import Bools, Floats
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA_RANGES = {"all": (0.0, 1e5**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}  # px², both ends in
MAX_ESTIMATES = 20  # of an image, the best

_PAIRS_AT_ONCE = 1 << 15  # about 30 MB of arrays
_ALMOST_ONE = 1 - 1e-10


@dataclass(frozen=True, eq=False)
class Pairs:
    """An estimate and a true subject of the same image, m times. estimate, truth: rows, (m,). similarity: (m,)."""

    estimate: Ints
    truth: Ints
    similarity: Floats


@dataclass(frozen=True, eq=False)
class MatchTable:
    """Estimates, best first, with their fate in each area range and at each threshold.

    estimate: (n,) rows of the estimates' table. image: (n,). matched: (areas, thresholds, n) the truth's row or -1.
    right, wrong: (areas, thresholds, n); an estimate may be neither. wanted: (areas, truths) who must be found.
    truth_image: (truths,).
    """

    estimate: Ints
    image: Ints
    matched: Ints
    right: Bools
    wrong: Bools
    wanted: Bools
    truth_image: Ints


def match_by_oks(truth: TruthTable, estimates: EstimateTable, sigmas: tuple[float, ...] | Floats) -> MatchTable:
    """Estimates and true subjects one to one, the best scored estimate first, each taking who is most like it."""
    rows, rank = _best_of_each_image(estimates)
    kept = estimates.take(rows)
    pairs = oks_pairs(truth, kept, sigmas)
    possible = pairs.similarity >= np.minimum(OKS_THRESHOLDS, _ALMOST_ONE).min()
    pairs = Pairs(pairs.estimate[possible], pairs.truth[possible], pairs.similarity[possible])
    order = np.argsort(-kept.scores, kind="stable")
    matched, right, wrong, wanted = [], [], [], []
    for low, high in AREA_RANGES.values():
        ignored = truth.ignored | (truth.area < low) | (truth.area > high)
        found = _match(pairs, rank, ignored, truth.crowd)[:, order]
        outside = ((kept.area < low) | (kept.area > high))[order]
        passed_over = np.where(found >= 0, ignored[found] if len(ignored) else False, outside)
        matched.append(found)
        right.append((found >= 0) & ~passed_over)
        wrong.append((found < 0) & ~passed_over)
        wanted.append(~ignored)
    parts = np.stack(matched), np.stack(right), np.stack(wrong), np.stack(wanted)
    return MatchTable(rows[order], kept.image[order], *parts, truth.image)


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


def same_image(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """All pairs of rows of the same image, (m,) in the first and (m,) in the second; both lists are in order."""
    start, end = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    count = end - start
    one = np.repeat(np.arange(len(first)), count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return one, start[one] + place


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


def _best_of_each_image(estimates: EstimateTable) -> tuple[Ints, Ints]:
    """Rows of the best estimates, image by image, best first; and their places in their images."""
    order = np.lexsort((-estimates.scores, estimates.image))  # stable
    image = estimates.image[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    kept = rank < MAX_ESTIMATES
    return order[kept], rank[kept]


def _match(pairs: Pairs, rank: Ints, ignored: Bools, crowd: Bools) -> Ints:
    """(thresholds, estimates) the truth's row, or -1.

    An estimate prefers those who must be found, then the most similar, then the last. Only a crowd is taken twice.
    """
    order = np.lexsort((-pairs.truth, -pairs.similarity, ignored[pairs.truth], pairs.estimate))
    estimate, truth, oks = pairs.estimate[order], pairs.truth[order], pairs.similarity[order]
    choice = np.arange(len(estimate)) - np.searchsorted(estimate, estimate)
    step = rank[estimate] * (choice.max(initial=0) + 1) + choice  # in a step each image has one estimate at most
    thresholds = np.minimum(OKS_THRESHOLDS, _ALMOST_ONE)[:, None]
    matched = np.full((len(thresholds), len(rank)), -1, np.intp)
    taken = np.zeros((len(thresholds), len(ignored)), bool)
    sequence = np.argsort(step, kind="stable")
    for rows in np.split(sequence, np.flatnonzero(np.diff(step[sequence])) + 1):
        mine, yours = estimate[rows], truth[rows]
        takes = (oks[rows] >= thresholds) & (matched[:, mine] < 0) & (~taken[:, yours] | crowd[yours])
        matched[:, mine] = np.where(takes, yours, matched[:, mine])
        taken[:, yours] |= takes
    return matched
