"""What is wrong with proposals: by Ronchi and Perona's classes, for each subject and each of its joints (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from annotator.review.frames import FALSE_NEGATIVE, FALSE_POSITIVE, Review, ReviewedFrame, ReviewedSubject
from cvat_export.dataset import LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton
from trainers.metrics.error_classes import ErrorClass
from trainers.metrics.evaluation import Evaluation, EvaluationOptions, Grouping, evaluate
from trainers.metrics.labelled_images import estimate_table, truth_table
from trainers.metrics.pairing import pair_by_boxes
from trainers.metrics.tables import EstimateTable, Ints, TruthTable

_GRAVEST_FIRST = (ErrorClass.SWAP, ErrorClass.INVERSION, ErrorClass.MISS, ErrorClass.JITTER)
_NOT_JUDGED = ""


@dataclass(frozen=True)
class _Verdict:
    """Of a subject. error: None where it is passed over."""

    error: str | None
    oks: float | None = None
    joints: tuple[str, ...] = ()


def judge(review: Review) -> Review:
    """The review with OKS and errors of all frames that have something to judge by.

    A subject's error is the kind that most of its wrong joints are of, of equal ones the gravest, `good` with none;
    `false positive` is a proposal of nobody, `false negative` a true subject that nothing was proposed for. Subjects
    without joints, and what lies in images with crowds, are passed over.
    """
    frames = list(review.frames)
    for category, skeleton in review.skeletons.items():
        judged = [number for number, frame in enumerate(frames) if frame.is_judged and _has(frame, category)]
        if judged:
            chosen = _judge_category([frames[number] for number in judged], category, skeleton)
            for number, frame in zip(judged, chosen, strict=True):
                frames[number] = frame
    return replace(review, frames=tuple(frames))


def _has(frame: ReviewedFrame, category: str) -> bool:
    return any(one.instance.category == category for one in (*frame.proposals, *frame.truth_to_judge_by))


def _judge_category(frames: Sequence[ReviewedFrame], category: str, skeleton: Skeleton) -> list[ReviewedFrame]:
    joints = range(len(skeleton.joints))
    images = [
        LabelledImage(frame.file_name, frame.width, frame.height, _of(frame.truth_to_judge_by, category))
        for frame in frames
    ]
    truth = truth_table(images, joints)
    estimates = estimate_table([_of(frame.proposals, category) for frame in frames], joints)
    found = _pairs(frames, category, truth, estimates)
    grouping = Grouping.by_name([frame.file_name for frame in frames])
    measured = evaluate(truth, estimates, skeleton, grouping, EvaluationOptions(resamples=0), found)
    proposed, true = _verdicts(measured, found)
    crowded = set(truth.image[truth.crowd].tolist())
    rows, true_rows = iter(proposed), iter(true)
    return [_with_verdicts(frame, category, rows, true_rows, number in crowded) for number, frame in enumerate(frames)]


def _of(subjects: Sequence[ReviewedSubject], category: str) -> tuple[Instance, ...]:
    return tuple(one.instance for one in subjects if one.instance.category == category)


def _pairs(frames: Sequence[ReviewedFrame], category: str, truth: TruthTable, estimates: EstimateTable) -> Ints:
    """(truths,) the proposal of each true subject, or -1: by their boxes, or as CVAT knows of what people corrected."""
    found = pair_by_boxes(truth, estimates)
    row = first = 0
    for frame in frames:
        mine = [place for place, one in enumerate(frame.proposals) if one.instance.category == category]
        for one in frame.truth_to_judge_by:
            if one.instance.category != category:
                continue
            if not frame.has_truth:
                found[row] = first + mine.index(one.made_of) if one.made_of in mine else -1
            row += 1
        first += len(mine)
    return found


def _verdicts(measured: Evaluation, found: Ints) -> tuple[list[_Verdict], list[_Verdict]]:
    """Of every proposal and of every true subject, row by row."""
    proposed = [_Verdict(FALSE_POSITIVE)] * len(measured.estimates)
    true = [_Verdict(None)] * len(measured.truth)
    for estimate in found[found >= 0].tolist():
        proposed[estimate] = _Verdict(None)
    subjects = measured.subjects
    for number, (row, estimate) in enumerate(zip(subjects.truth.tolist(), subjects.estimate.tolist(), strict=True)):
        if estimate < 0:
            true[row] = _Verdict(FALSE_NEGATIVE, 0.0)
        else:
            kinds = [ErrorClass(kind) for kind in measured.classes[number].tolist()]
            proposed[estimate] = _Verdict(_worst(kinds), float(measured.subject_oks[number]), tuple(map(_word, kinds)))
    return proposed, true


def _worst(kinds: Sequence[ErrorClass]) -> str:
    counts = Counter(kinds)
    most = max(counts[kind] for kind in _GRAVEST_FIRST)
    if not most:
        return _word(ErrorClass.GOOD)
    return _word(next(kind for kind in _GRAVEST_FIRST if counts[kind] == most))


def _word(kind: ErrorClass) -> str:
    return _NOT_JUDGED if kind is ErrorClass.NOT_JUDGED else kind.name.lower()


def _with_verdicts(
    frame: ReviewedFrame, category: str, rows: Iterator[_Verdict], true_rows: Iterator[_Verdict], is_crowded: bool
) -> ReviewedFrame:
    proposals = tuple(_judged(one, category, rows, is_crowded) for one in frame.proposals)
    true = tuple(_judged(one, category, true_rows) for one in frame.truth_to_judge_by)
    if frame.has_truth:
        return replace(frame, proposals=proposals, truth=true)
    return replace(frame, proposals=proposals, corrections=true)


def _judged(one: ReviewedSubject, category: str, rows: Iterator[_Verdict], is_crowded: bool = False) -> ReviewedSubject:
    if one.instance.category != category:
        return one
    verdict = next(rows)
    if is_crowded and verdict.error == FALSE_POSITIVE:
        return one
    return replace(one, error=verdict.error, oks=verdict.oks, joint_errors=verdict.joints)
