"""Which estimate is of which true subject: one to one, the surest pair of an image first."""

from __future__ import annotations

import numpy as np

from cvat_export.labels import box_iou
from trainers.metrics.matching import Pairs, same_image
from trainers.metrics.oks_matching import oks_pairs
from trainers.metrics.pairs import Bools, Floats
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

SAME_FROM_IOU = 0.5
SAME_FROM_OKS = 0.1  # what Ronchi and Perona (2017, section 3) ask of an estimate that is not background


def pair_by_boxes(truth: TruthTable, estimates: EstimateTable, least_iou: float = SAME_FROM_IOU) -> Ints:
    """(truths,) the row of the estimate whose box overlaps most, -1 where none does by `least_iou`. Not of crowds."""
    estimate, row = same_image(estimates.image, truth.image)
    overlaps = box_iou(_corners(estimates.bbox_xywh)[estimate], _corners(truth.bbox_xywh)[row])
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


def _corners(bbox_xywh: Floats) -> Floats:
    return np.concatenate([bbox_xywh[:, :2], bbox_xywh[:, :2] + bbox_xywh[:, 2:]], axis=1)
