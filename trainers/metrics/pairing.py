"""Which estimate is of which true subject: one to one, the surest pair of an image first."""

from __future__ import annotations

import numpy as np

from trainers.metrics.oks_matching import Pairs, oks_pairs, same_image
from trainers.metrics.pairs import Bools, Floats
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

SAME_FROM_IOU = 0.5
SAME_FROM_OKS = 0.1  # what Ronchi and Perona (2017, section 3) ask of an estimate that is not background


def pair_by_boxes(truth: TruthTable, estimates: EstimateTable, least_iou: float = SAME_FROM_IOU) -> Ints:
    """(truths,) the row of the estimate whose box overlaps most, -1 where none does by `least_iou`. Not of crowds."""
    estimate, row = same_image(estimates.image, truth.image)
    overlaps = _iou(estimates.bbox_xywh[estimate], truth.bbox_xywh[row])
    return _one_to_one(Pairs(estimate, row, overlaps), least_iou, ~truth.crowd)


def pair_by_oks(
    truth: TruthTable,
    estimates: EstimateTable,
    sigmas: tuple[float, ...] | Floats,
    least_oks: float = SAME_FROM_OKS,
) -> Ints:
    """As `pair_by_boxes`, by the similarity of the joints: for estimates without boxes."""
    return _one_to_one(oks_pairs(truth, estimates, sigmas), least_oks, ~truth.ignored)


def _one_to_one(pairs: Pairs, least: float, wanted: Bools) -> Ints:
    possible = np.flatnonzero((pairs.similarity >= least) & wanted[pairs.truth])
    order = possible[np.lexsort((pairs.estimate[possible], pairs.truth[possible], -pairs.similarity[possible]))]
    found = np.full(len(wanted), -1, np.intp)
    taken = set()
    for estimate, row in zip(pairs.estimate[order].tolist(), pairs.truth[order].tolist(), strict=True):
        if found[row] < 0 and estimate not in taken:
            found[row] = estimate
            taken.add(estimate)
    return found


def _iou(first: Floats, second: Floats) -> Floats:
    """(m,) of boxes (m, 4) x, y, width, height; 0 where both are empty."""
    low = np.maximum(first[:, :2], second[:, :2])
    high = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = first[:, 2] * first[:, 3] + second[:, 2] * second[:, 3] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)
