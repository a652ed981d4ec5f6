"""Who is who, one to one, by how alike they are: the same pairs as pycocotools' COCOeval makes.

COCOeval goes through images, area ranges, thresholds and estimates one by one. Here all images, and all thresholds,
are done at once: an estimate's choices do not depend on the threshold, only on what is taken already, and a pair
below the least threshold is nobody's choice. What remains is about one pair a subject.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainers.metrics.pairs import Bools, Floats
from trainers.metrics.tables import Ints

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of OKS and of IoU
SIZES = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}  # px², both ends in

_ALMOST_ONE = 1 - 1e-10


@dataclass(frozen=True, eq=False)
class Pairs:
    """An estimate and a true subject of the same image, m times. estimate, truth: rows, (m,). similarity: (m,)."""

    estimate: Ints
    truth: Ints
    similarity: Floats


@dataclass(frozen=True, eq=False)
class Wanted:
    """True subjects as far as matching concerns them, each array (truths,).

    ignored: nobody must be found here, and whoever is found is not wrong. crowd: may be found several times.
    """

    image: Ints
    area: Floats
    ignored: Bools
    crowd: Bools


@dataclass(frozen=True, eq=False)
class Found:
    """Estimates as `best_of_each_image` orders them, each array (n,). rank: places in their images."""

    image: Ints
    rank: Ints
    area: Floats
    scores: Floats


@dataclass(frozen=True, eq=False)
class MatchTable:
    """Estimates, best first, with their fate in each area range and at each threshold.

    estimate: (n,) rows of the estimates. image: (n,). matched: (areas, thresholds, n) the truth's row or -1.
    right, wrong: (areas, thresholds, n); an estimate may be neither. wanted: (areas, truths) who must be found.
    truth_image: (truths,). sizes: the names of the area ranges.
    """

    estimate: Ints
    image: Ints
    matched: Ints
    right: Bools
    wrong: Bools
    wanted: Bools
    truth_image: Ints
    sizes: tuple[str, ...]


def match(pairs: Pairs, wanted: Wanted, found: Found, sizes: tuple[str, ...]) -> MatchTable:
    """Estimates and true subjects one to one, the best scored estimate first, each taking who is most like it.

    sizes: of SIZES, those of which figures are wanted. pairs: of rows of `wanted` and `found`.
    """
    possible = pairs.similarity >= np.minimum(THRESHOLDS, _ALMOST_ONE).min()
    pairs = Pairs(pairs.estimate[possible], pairs.truth[possible], pairs.similarity[possible])
    order = np.argsort(-found.scores, kind="stable")
    matched, right, wrong, expected = [], [], [], []
    for low, high in (SIZES[size] for size in sizes):
        ignored = wanted.ignored | (wanted.area < low) | (wanted.area > high)
        taken = _match(pairs, found.rank, ignored, wanted.crowd)[:, order]
        outside = ((found.area < low) | (found.area > high))[order]
        passed_over = np.where(taken >= 0, ignored[taken] if len(ignored) else False, outside)
        matched.append(taken)
        right.append((taken >= 0) & ~passed_over)
        wrong.append((taken < 0) & ~passed_over)
        expected.append(~ignored)
    parts = np.stack(matched), np.stack(right), np.stack(wrong), np.stack(expected)
    return MatchTable(order, found.image[order], *parts, wanted.image, sizes)


def best_of_each_image(image: Ints, scores: Floats, most: int) -> tuple[Ints, Ints]:
    """Rows of the best estimates, at most so many of an image, best first; and their places in their images."""
    order = np.lexsort((-scores, image))  # stable
    image = image[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    kept = rank < most
    return order[kept], rank[kept]


def same_image(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """All pairs of rows of the same image, (m,) in the first and (m,) in the second; both lists are in order."""
    start, end = np.searchsorted(second, first, "left"), np.searchsorted(second, first, "right")
    count = end - start
    one = np.repeat(np.arange(len(first)), count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return one, start[one] + place


def _match(pairs: Pairs, rank: Ints, ignored: Bools, crowd: Bools) -> Ints:
    """(thresholds, estimates) the truth's row, or -1.

    An estimate prefers those who must be found, then the most similar, then the last. Only a crowd is taken twice.
    """
    order = np.lexsort((-pairs.truth, -pairs.similarity, ignored[pairs.truth], pairs.estimate))
    estimate, truth, similarity = pairs.estimate[order], pairs.truth[order], pairs.similarity[order]
    choice = np.arange(len(estimate)) - np.searchsorted(estimate, estimate)
    step = rank[estimate] * (choice.max(initial=0) + 1) + choice  # in a step each image has one estimate at most
    thresholds = np.minimum(THRESHOLDS, _ALMOST_ONE)[:, None]
    matched = np.full((len(thresholds), len(rank)), -1, np.intp)
    taken = np.zeros((len(thresholds), len(ignored)), bool)
    sequence = np.argsort(step, kind="stable")
    for rows in np.split(sequence, np.flatnonzero(np.diff(step[sequence])) + 1):
        mine, yours = estimate[rows], truth[rows]
        takes = (similarity[rows] >= thresholds) & (matched[:, mine] < 0) & (~taken[:, yours] | crowd[yours])
        matched[:, mine] = np.where(takes, yours, matched[:, mine])
        taken[:, yours] |= takes
    return matched
