"""What is wrong with a joint: jitter, inversion, swap or miss, as Ronchi and Perona (2017) tell them apart.

"Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", section 3.1, with the choices of its reference
implementation: an estimated joint is compared with the true joint, with its twin on the other side of the same subject,
and with the joint and its twin of everybody else in the image, each at that subject's scale; what it is most like
decides. Only joints of subjects that were found are judged.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from trainers.metrics.matching import same_image
from trainers.metrics.pairs import Floats, joint_similarities
from trainers.metrics.pck import SubjectErrors
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

MISS_BELOW = 0.5  # keypoint similarity; both thresholds are the paper's
GOOD_FROM = 0.85


class ErrorClass(IntEnum):
    """NOT_JUDGED: not labelled in the truth, or the subject was not found."""

    NOT_JUDGED = -1
    GOOD = 0
    JITTER = 1
    INVERSION = 2
    SWAP = 3
    MISS = 4


def classify_errors(
    truth: TruthTable,
    estimates: EstimateTable,
    subjects: SubjectErrors,
    sigmas: tuple[float, ...] | Floats,
    flip_order: tuple[int, ...],
) -> npt.NDArray[np.int8]:
    """(subjects, joints) of `ErrorClass`. flip_order: for each joint its twin, or itself (`Skeleton.flip_order`).

    A joint that was not estimated is a miss.
    """
    twin = np.array(flip_order, np.intp)
    variances = np.asarray(sigmas, np.float64)
    xy = np.full((len(subjects.truth), *truth.xy.shape[1:]), np.nan)
    xy[subjects.found] = estimates.xy[subjects.estimate[subjects.found]]
    own = _similarity(xy, truth, subjects.truth, np.arange(len(twin)), variances)
    inverted = np.where(twin == np.arange(len(twin)), -1, _similarity(xy, truth, subjects.truth, twin, variances))
    others = _most_like_others(xy, truth, subjects, twin, variances)
    best = np.maximum(own, np.maximum(inverted, others))
    kinds = np.select(
        [~np.isfinite(subjects.off_px) | (best < MISS_BELOW), own < np.maximum(inverted, others)],
        [ErrorClass.MISS, np.where(inverted >= others, ErrorClass.INVERSION, ErrorClass.SWAP)],
        np.where(own >= GOOD_FROM, ErrorClass.GOOD, ErrorClass.JITTER),
    )
    judged = truth.labelled[subjects.truth] & subjects.found[:, None]
    return np.where(judged, kinds, ErrorClass.NOT_JUDGED).astype(np.int8)


def _similarity(xy: Floats, truth: TruthTable, rows: Ints, joints: Ints, sigmas: Floats) -> Floats:
    """(m, joints) of each estimated joint to joint `joints[j]` of these subjects, -1 where that is not labelled."""
    labelled = truth.labelled[rows][:, joints]
    similar = joint_similarities(xy, truth.xy[rows][:, joints], labelled, truth.area[rows], sigmas)
    return np.where(labelled, similar, -1)


def _most_like_others(xy: Floats, truth: TruthTable, subjects: SubjectErrors, twin: Ints, sigmas: Floats) -> Floats:
    """(subjects, joints) the highest similarity to the joint or its twin of anybody else in the image; -1 if alone."""
    subject, other = same_image(truth.image[subjects.truth], truth.image)
    apart = (subjects.truth[subject] != other) & ~truth.ignored[other] & subjects.found[subject]
    subject, other = subject[apart], other[apart]
    most = np.full(xy.shape[:2], -1.0)
    for joints in (np.arange(len(twin)), twin):
        np.maximum.at(most, subject, _similarity(xy[subject], truth, other, joints, sigmas))
    return most
