"""Everything that is measured of one set of estimates, and two sets compared on the same truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cvat_export.skeleton import Skeleton
from trainers.metrics.average_precision import resample_ap, summarise_matches
from trainers.metrics.bootstrap import (
    Counts,
    Interval,
    draw_groups,
    interval,
    resample_ratio,
    sum_by_group,
)
from trainers.metrics.calibration import FittedCalibration, ReliabilityBin, expected_calibration_error, reliability
from trainers.metrics.error_classes import ErrorClass, classify_errors
from trainers.metrics.matching import SIZES
from trainers.metrics.oks_matching import match_by_oks
from trainers.metrics.pairing import pair_by_boxes, pair_by_oks
from trainers.metrics.pairs import Bools, Floats, joint_similarities, longer_sides
from trainers.metrics.pck import SubjectErrors, auc_parts, pck, pck_curve, reference_lengths, subject_errors
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

CALIBRATED_PCK = 0.1  # a joint counts as right for its score within this share of the box's longer side
LOWER_IS_BETTER = frozenset({"mean_error_px", "median_error_px"})
_CURVE_POINTS = 51


@dataclass(frozen=True)
class EvaluationOptions:
    """What PCK is taken by, and how sure the figures are to be.

    reference: see `reference_lengths`. auc_to: the area under PCK is taken over thresholds from 0 to this.
    all_coordinates: see `subject_errors`. paired_by: how estimates find their subject where nobody knows; "oks" for
    estimates without boxes. resamples: 0 for no intervals.
    """

    threshold: float = 0.1
    reference: str = "box"
    auc_to: float = 0.5
    all_coordinates: bool = False
    paired_by: str = "boxes"
    resamples: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Grouping:
    """Images that belong together. group: (images,) which of `names`."""

    group: Ints
    names: tuple[str, ...]

    @classmethod
    def by_name(cls, names: Sequence[str]) -> Grouping:
        """From the name of each image's group."""
        known = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return cls(np.array([known[name] for name in names], np.intp), tuple(known))


@dataclass(frozen=True, eq=False)
class JointScores:
    """Scores of estimated joints that the truth has too, and which lie where they belong. Both (m,)."""

    scores: Floats
    right: Bools

    def reliability(self, calibration: FittedCalibration | None = None) -> tuple[tuple[ReliabilityBin, ...], float]:
        """The table, and its expected calibration error."""
        table = reliability(self.scores if calibration is None else calibration.apply(self.scores), self.right)
        return table, expected_calibration_error(table)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    subjects: the true subjects that count. subject_oks: (subjects,), 0 for who was not found. classes: (subjects,
    joints) of `ErrorClass`. figures: by name, with their intervals; `resampled` holds what these were made of.
    """

    skeleton: Skeleton
    options: EvaluationOptions
    truth: TruthTable
    estimates: EstimateTable
    grouping: Grouping
    subjects: SubjectErrors
    subject_oks: Floats
    classes: npt.NDArray[np.int8]
    figures: Mapping[str, Interval]
    resampled: Mapping[str, Floats]
    joint_scores: JointScores

    @property
    def subject_group(self) -> Ints:
        """(subjects,)"""
        return self.grouping.group[self.truth.image[self.subjects.truth]]

    @property
    def groups(self) -> int:
        """How many groups of images there are."""
        return len(self.grouping.names)

    @property
    def curve(self) -> tuple[Floats, Floats]:
        """Thresholds and PCK at each."""
        thresholds = np.linspace(0, self.options.auc_to, _CURVE_POINTS)
        return thresholds, pck_curve(self.subjects.relative, thresholds)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """(joints, 5) how many joints are of each class from GOOD to MISS."""
        kinds = [kind for kind in ErrorClass if kind is not ErrorClass.NOT_JUDGED]
        return np.stack([(self.classes == kind).sum(axis=0) for kind in kinds], axis=1)


@dataclass(frozen=True)
class PartFigures:
    """Of some of the joints: a joint's, a group's, or those of people of one size. px: NaN where none was estimated."""

    name: str
    subjects: int
    joints: int
    pck: float
    auc: float
    mean_error_px: float
    median_error_px: float


def evaluate(
    truth: TruthTable,
    estimates: EstimateTable,
    skeleton: Skeleton,
    grouping: Grouping,
    options: EvaluationOptions,
    known: Ints | None = None,
) -> Evaluation:
    """Measure. known: (truths,) the estimate of each true subject or -1, where it is known. Raises TrainersError."""
    found = known if known is not None else _pair(truth, estimates, skeleton, options)
    reference = reference_lengths(truth, skeleton, options.reference)
    subjects = subject_errors(truth, estimates, found, reference, options.all_coordinates)
    oks = _subject_oks(truth, estimates, subjects, skeleton)
    matches = match_by_oks(truth, estimates, skeleton.sigmas)
    draws = draw_groups(len(grouping.names), options.resamples, options.seed)
    values = {**summarise_matches(matches), **_values(subjects, oks, options)}
    resampled: dict[str, Floats] = {}
    if options.resamples and len(grouping.names) > 1:
        resampled = resample_ap(matches, draws[:, grouping.group])
        resampled |= _resample_subjects(truth, subjects, oks, grouping, options, draws)
    none = np.full(0, np.nan)
    return Evaluation(
        skeleton=skeleton,
        options=options,
        truth=truth,
        estimates=estimates,
        grouping=grouping,
        subjects=subjects,
        subject_oks=oks,
        classes=classify_errors(truth, estimates, subjects, skeleton.sigmas, skeleton.flip_order),
        figures={n: interval(v, resampled.get(n, none), len(grouping.names)) for n, v in values.items()},
        resampled=resampled,
        joint_scores=_joint_scores(truth, estimates, subjects),
    )


def figures_of_joints(evaluation: Evaluation) -> tuple[PartFigures, ...]:
    """A row a joint."""
    return tuple(
        _part(name, evaluation, np.s_[:], np.s_[joint : joint + 1])
        for joint, name in enumerate(evaluation.skeleton.joints)
    )


def figures_of_groups(evaluation: Evaluation) -> tuple[PartFigures, ...]:
    """A row a group with subjects, worst PCK first."""
    group = evaluation.subject_group
    rows = [_part(evaluation.grouping.names[g], evaluation, group == g, np.s_[:]) for g in np.unique(group)]
    return tuple(sorted(rows, key=lambda row: row.pck))


def figures_of_sizes(evaluation: Evaluation) -> tuple[PartFigures, ...]:
    """COCO's three sizes by the true area; small is below 32² px², large from 96²."""
    area = evaluation.truth.area[evaluation.subjects.truth]
    medium, large = SIZES["medium"][0], SIZES["large"][0]
    chosen = {"small": area < medium, "medium": (area >= medium) & (area < large), "large": area >= large}
    return tuple(_part(name, evaluation, rows, np.s_[:]) for name, rows in chosen.items())


def _pair(truth: TruthTable, estimates: EstimateTable, skeleton: Skeleton, options: EvaluationOptions) -> Ints:
    if options.paired_by == "oks":
        return pair_by_oks(truth, estimates, skeleton.sigmas)
    return pair_by_boxes(truth, estimates)


def _subject_oks(truth: TruthTable, estimates: EstimateTable, subjects: SubjectErrors, skeleton: Skeleton) -> Floats:
    """By the coordinates alone, as COCO has it: what an estimate says of its joints' visibility does not matter."""
    xy = np.full((len(subjects.truth), *truth.xy.shape[1:]), np.nan)
    xy[subjects.found] = estimates.xy[subjects.estimate[subjects.found]]
    rows = truth.take(subjects.truth)
    similar = joint_similarities(xy, rows.xy, rows.labelled, rows.area, skeleton.sigmas)
    return np.nanmean(similar, axis=1) if len(similar) else np.zeros(0)


def _values(subjects: SubjectErrors, oks: Floats, options: EvaluationOptions) -> dict[str, float]:
    relative, off = subjects.relative, subjects.off_px[np.isfinite(subjects.off_px)]
    auc = auc_parts(relative, options.auc_to)
    return {
        "PCK": pck(relative, options.threshold),
        "AUC": _mean(auc[~np.isnan(auc)]),
        "OKS": _mean(oks),
        "mean_error_px": _mean(off),
        "median_error_px": float(np.median(off)) if len(off) else float("nan"),
        "found": _mean(subjects.found),
    }


def _resample_subjects(
    truth: TruthTable,
    subjects: SubjectErrors,
    oks: Floats,
    grouping: Grouping,
    options: EvaluationOptions,
    draws: Counts,
) -> dict[str, Floats]:
    """What `_values` gives, without the median, as ratios of sums over groups."""
    group = grouping.group[truth.image[subjects.truth]]
    finite = np.isfinite(subjects.off_px)
    one, counted = np.ones(len(group)), subjects.counted.sum(axis=1)
    ratios: dict[str, tuple[npt.ArrayLike, npt.ArrayLike]] = {
        "PCK": ((subjects.relative <= options.threshold).sum(axis=1), counted),
        "AUC": (np.nansum(auc_parts(subjects.relative, options.auc_to), axis=1), counted),
        "OKS": (oks, one),
        "mean_error_px": (np.where(finite, subjects.off_px, 0).sum(axis=1), finite.sum(axis=1)),
        "found": (subjects.found, one),
    }
    count = len(grouping.names)
    return {
        name: resample_ratio(draws, sum_by_group(above, group, count), sum_by_group(below, group, count))
        for name, (above, below) in ratios.items()
    }


def _joint_scores(truth: TruthTable, estimates: EstimateTable, subjects: SubjectErrors) -> JointScores:
    scores = np.full(subjects.off_px.shape, np.nan)
    scores[subjects.found] = estimates.joint_scores[subjects.estimate[subjects.found]]
    judged = np.isfinite(scores) & np.isfinite(subjects.off_px)
    side = longer_sides(truth.bbox_xyxy[subjects.truth])[:, None]
    return JointScores(scores[judged], (subjects.off_px <= CALIBRATED_PCK * side)[judged])


def _part(name: str, evaluation: Evaluation, rows: Bools | slice, joints: slice) -> PartFigures:
    relative, off = evaluation.subjects.relative[rows, joints], evaluation.subjects.off_px[rows, joints]
    finite = off[np.isfinite(off)]
    auc = auc_parts(relative, evaluation.options.auc_to)
    return PartFigures(
        name=name,
        subjects=int((~np.isnan(off)).any(axis=1).sum()),
        joints=int((~np.isnan(relative)).sum()),
        pck=pck(relative, evaluation.options.threshold),
        auc=_mean(auc[~np.isnan(auc)]),
        mean_error_px=_mean(finite),
        median_error_px=float(np.median(finite)) if len(finite) else float("nan"),
    )


def _mean(values: npt.NDArray[np.floating | np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
