"""Percentage of correct keypoints: the share of true joints whose estimate is no further off than a share of a length.

Yang and Ramanan (2013) took the longer side of the person's box as that length, Sapp and Taskar (2013) the torso,
Andriluka et al. (2014, "PCKh") the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvat_export.skeleton import Skeleton
from trainers.errors import TrainersError
from trainers.metrics.pairs import Bools, Floats, distances, longer_sides
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

REFERENCES = ("box", "torso", "head")
_TORSO = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))
_HEAD = (("head_top", "neck"), ("head_top", "upper_neck"))
_HEAD_BOX_SHARE = 0.6  # of the diagonal of the annotated head box: Andriluka et al. (2014), MPII's evaluation


@dataclass(frozen=True, eq=False)
class SubjectErrors:
    """How far off the joints of n true subjects are, found or not; crowds and subjects without joints are not here.

    truth, estimate: (n,) rows of the tables, estimate -1 for who was not found. off_px: (n, joints), NaN where the
    truth has no joint, infinity where none was estimated. reference_px: (n,) the length that errors are measured by,
    NaN where the truth lacks the joints for it; 1 where none was asked for.
    """

    truth: Ints
    estimate: Ints
    off_px: Floats
    reference_px: Floats

    @property
    def found(self) -> Bools:
        """(n,)"""
        return self.estimate >= 0

    @property
    def counted(self) -> Bools:
        """(n, joints) which joints PCK is taken over: those that the truth has, of subjects with a reference."""
        return ~np.isnan(self.off_px) & ~np.isnan(self.reference_px)[:, None]

    @property
    def relative(self) -> Floats:
        """(n, joints) errors as shares of the reference; NaN where not counted."""
        return np.where(
            self.counted, self.off_px / np.maximum(self.reference_px, np.finfo(float).tiny)[:, None], np.nan
        )


def subject_errors(
    truth: TruthTable, estimates: EstimateTable, found: Ints, reference_px: Floats, all_coordinates: bool = False
) -> SubjectErrors:
    """found: (truths,) the estimate of each true subject or -1. reference_px: (truths,).

    all_coordinates: also count joints that the estimate itself calls not labelled (visibility 0), by where it puts
    them; else these are missed.
    """
    rows = np.flatnonzero(~truth.ignored)
    estimate = found[rows]
    xy = np.full((len(rows), *truth.xy.shape[1:]), np.nan)
    there = estimate >= 0
    mine = estimate[there]
    xy[there] = estimates.xy[mine]
    if not all_coordinates:
        xy[there] = np.where(estimates.proposed[mine, :, None], xy[there], np.nan)
    off = distances(xy, truth.xy[rows], truth.labelled[rows])
    return SubjectErrors(rows, estimate, off, reference_px[rows])


def pck(relative: Floats, threshold: float) -> float:
    """The share of counted errors of at most `threshold`; NaN where none is counted."""
    counted = ~np.isnan(relative)
    return float((relative[counted] <= threshold).mean()) if counted.any() else float("nan")


def pck_curve(relative: Floats, thresholds: Floats) -> Floats:
    """PCK at each of the thresholds."""
    errors = np.sort(relative[~np.isnan(relative)])
    if not len(errors):
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(errors, thresholds, side="right") / len(errors)


def auc_parts(relative: Floats, most: float) -> Floats:
    """What each error adds to the area under PCK over thresholds 0..most, as a share of it; NaN where not counted.

    The area is the mean of these: PCK is a sum of steps, one at each error, and a step at e has the area 1 - e / most.
    """
    return np.clip(1 - relative / most, 0, 1)


def reference_lengths(truth: TruthTable, skeleton: Skeleton, reference: str) -> Floats:
    """(truths,) px; NaN where the truth lacks a joint for it. Raises TrainersError.

    box: the longer side. torso: left shoulder to right hip and right shoulder to left hip, the mean of those that are
    labelled. head: head_top to neck, the head's length itself: PCKh proper takes 0.6 of the diagonal of a head box,
    which label files do not have. "a,b": from joint a to joint b.
    """
    if reference == "box":
        return longer_sides(truth.bbox_xyxy)
    if reference == "torso":
        pairs = _known_pairs(skeleton, _TORSO)
        if len(pairs) < len(_TORSO):
            raise _lacking(skeleton, "torso", "left and right shoulders and hips")
        return _mean_length(truth, pairs)
    if reference == "head":
        pairs = _known_pairs(skeleton, _HEAD)[:1]
        if not pairs:
            raise _lacking(skeleton, "head", "head_top and neck")
        return _mean_length(truth, pairs)
    names = [name.strip() for name in reference.split(",")]
    if len(names) != 2:
        raise TrainersError(f"reference {reference!r}: expected {', '.join(REFERENCES)} or two joints, as nose,neck")
    pairs = _known_pairs(skeleton, ((names[0], names[1]),))
    if not pairs:
        raise _lacking(skeleton, reference, " and ".join(names))
    return _mean_length(truth, pairs)


def describe_reference(reference: str) -> str:
    """In words, for those who compare figures."""
    match reference:
        case "box":
            return "the longer side of the true box"
        case "torso":
            return "shoulder to opposite hip, the mean of both diagonals where both are labelled"
        case "head":
            return f"head_top to neck (not MPII's {_HEAD_BOX_SHARE} x diagonal of the head box)"
    return "from " + " to ".join(name.strip() for name in reference.split(","))


def _known_pairs(skeleton: Skeleton, names: tuple[tuple[str, str], ...]) -> list[tuple[int, int]]:
    found = ((skeleton.find(a), skeleton.find(b)) for a, b in names)
    return [(a, b) for a, b in found if a is not None and b is not None and a != b]


def _mean_length(truth: TruthTable, pairs: list[tuple[int, int]]) -> Floats:
    lengths = np.stack([np.linalg.norm(truth.xy[:, a] - truth.xy[:, b], axis=1) for a, b in pairs])
    known = np.stack([truth.labelled[:, a] & truth.labelled[:, b] for a, b in pairs]) & (lengths > 0)
    count = known.sum(axis=0)
    return np.where(count > 0, lengths.sum(axis=0, where=known) / np.maximum(count, 1), np.nan)


def _lacking(skeleton: Skeleton, reference: str, wanted: str) -> TrainersError:
    return TrainersError(
        f"reference {reference!r}: needs {wanted}, skeleton {skeleton.name!r} has {', '.join(skeleton.joints)}; "
        "measure by the box, or name two of these joints"
    )
