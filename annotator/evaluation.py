"""Poses against a truth: what is compared with what, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from annotator.errors import AnnotatorError
from annotator.evaluated_poses import Poses
from cvat_export.dataset import LabelledImage
from cvat_export.skeleton import DEFAULT_SIGMA, Skeleton, read_skeleton
from trainers.label_sources import LabelledData, LabelSource, inspect_labels
from trainers.metrics.evaluation import Evaluation, EvaluationOptions, Grouping, evaluate
from trainers.metrics.labelled_images import (
    CommonJoints,
    common_joints,
    estimate_table,
    has_sigmas,
    truth_table,
)
from trainers.metrics.pairing import pair_by_boxes
from trainers.metrics.sigma_estimation import LEAST_PAIRS, estimate_sigmas
from trainers.metrics.tables import EstimateTable, Ints
from trainers.problem import Problem

_LISTED = 3


@dataclass(frozen=True, eq=False)
class Compared:
    """Estimates measured by a truth. images: those that were looked at, in the order of the tables.

    joints: what both have. notes: everything that a reader of the figures must know.
    """

    name: str
    truth_name: str
    data: LabelledData
    images: tuple[LabelledImage, ...]
    joints: CommonJoints
    evaluation: Evaluation
    notes: tuple[str, ...]


def read_truth(source: LabelSource, skeleton: str | None, category: str | None) -> LabelledData:
    """The labels to measure by; images may be missing, as they are not needed to compare files.

    Raises AnnotatorError where nothing is labelled or boxes are broken, TrainersError and CvatExportError.
    """
    wanted = read_skeleton(skeleton) if skeleton else None
    data, problems = inspect_labels([source], wanted, category)
    broken = [problem for problem in problems if problem.kind not in _HARMLESS]
    if broken:
        more = f", and {len(broken) - 1} more; annotator check lists all" if len(broken) > 1 else ""
        raise AnnotatorError(f"{source.path}: {broken[0]}{more}")
    if not any(i.labelled.any() and not i.is_crowd for image in data.images for i in image.instances):
        raise AnnotatorError(
            f"{source.path}: nothing to measure by: {len(data.images)} images with "
            f"{sum(len(image.instances) for image in data.images)} subjects of {data.category!r}, none with a labelled "
            f"joint; is this the truth, and are the joints' names those of skeleton {data.skeleton.name!r}?"
        )
    notes = (*(note for note in data.notes if not _is_about_training(note)), *_image_notes(problems))
    return replace(data, images=tuple(sorted(data.images, key=_by_id)), notes=notes)


def compare(data: LabelledData, poses: Sequence[Poses], options: EvaluationOptions) -> tuple[Compared, ...]:
    """Each of `poses` by the same truth: over the images that all could see, and the joints that all have.

    Raises TrainersError where there is none, or where skeletons lack what the options ask for.
    """
    joints = common_joints(data.skeleton, *(one.skeleton for one in poses))
    left_out = {name for one in poses for name in one.left_out}
    images = tuple(image for image in data.images if image.file_name not in left_out)
    truth = truth_table(images, joints.truth)
    if truth.ignored.all():
        raise AnnotatorError(
            f"nothing to measure: of the joints in common ({', '.join(joints.skeleton.joints)}) none is labelled in "
            f"the {len(images)} images of the truth that were looked at"
        )
    grouping = Grouping.by_name([data.groups[image.file_name] for image in images])
    notes = [*data.notes, *_joint_notes(data.skeleton, joints), *_left_out_notes(left_out, data)]
    compared = []
    for one, places in zip(poses, joints.estimated, strict=True):
        table = estimate_table([one.of_image.get(image.file_name, ()) for image in images], places)
        own = replace(options, paired_by="boxes" if one.has_boxes else "oks")
        known = None if one.subjects is None else _known_pairs(images, one, table)
        measured = evaluate(truth, table, joints.skeleton, grouping, own, known)
        compared.append(
            Compared(one.name, _name(data), data, images, joints, measured, (*notes, *one.notes, *_odd(measured)))
        )
    return tuple(compared)


@dataclass(frozen=True)
class SigmaEstimate:
    """The skeleton with the sigmas that two labellings give. counts: of how many subjects, joint by joint."""

    skeleton: Skeleton
    counts: tuple[int, ...]
    notes: tuple[str, ...]


def sigmas_from_second(data: LabelledData, second: Poses) -> SigmaEstimate:
    """From the same subjects labelled twice. A joint with too few keeps what it had. Raises AnnotatorError."""
    joints = common_joints(data.skeleton, second.skeleton)
    truth = truth_table(data.images, joints.truth)
    other = estimate_table([second.of_image.get(i.file_name, ()) for i in data.images], joints.estimated[0])
    found = pair_by_boxes(truth, other)
    rows = np.flatnonzero((found >= 0) & ~truth.ignored)
    if not len(rows):
        raise AnnotatorError(f"{second.name}: no subject is labelled in both; expected the same images, labelled twice")
    both = truth.labelled[rows] & other.proposed[found[rows]]
    sigmas, counts = estimate_sigmas(truth.xy[rows], other.xy[found[rows]], both, truth.area[rows])
    own = np.array(data.skeleton.sigmas)
    enough = (counts >= LEAST_PAIRS) & (sigmas > 0)
    own[np.array(joints.truth)[enough]] = sigmas[enough]
    few = [name for name, sure in zip(joints.skeleton.joints, enough, strict=True) if not sure]
    notes = [f"sigmas estimated from {len(rows)} subjects labelled twice"]
    if few:
        notes.append(f"too few labelled twice (below {LEAST_PAIRS}) or no difference, sigma kept: {', '.join(few)}")
    by_joint = dict(zip(joints.truth, counts.tolist(), strict=True))
    all_counts = tuple(by_joint.get(joint, 0) for joint in range(len(own)))
    return SigmaEstimate(replace(data.skeleton, sigmas=tuple(own.tolist())), all_counts, tuple(notes))


_HARMLESS = {"missing_image", "unreadable_image", "other_size", "turned_image", "same_file"}


def is_about_splitting(note: str) -> bool:
    """Whether what a reader of labels says matters only to those who split them for a training."""
    return "need a group rule" in note


def _is_about_training(note: str) -> bool:
    return is_about_splitting(note) or note.endswith("left out") or "without a box of their own" in note


def _image_notes(problems: Sequence[Problem]) -> list[str]:
    odd = [problem for problem in problems if problem.kind != "missing_image"]
    return [f"{len(odd)} images are not what was labelled: {odd[0]}"] if odd else []


def _by_id(image: LabelledImage) -> tuple[int, int]:
    """COCO's tools go through images by id, which decides between equal scores; files without ids keep their order."""
    own = image.extra.get("id")
    return (0, own) if isinstance(own, int) else (1, 0)


def _name(data: LabelledData) -> str:
    return ", ".join(Path(path).name for path in data.sha256)


def _known_pairs(images: Sequence[LabelledImage], poses: Poses, table: EstimateTable) -> Ints:
    """(truths,) the row of the estimate that was made in each true subject's box, -1 where there is none."""
    assert poses.subjects is not None
    counts = np.array([len(image.instances) for image in images])
    starts = np.cumsum(counts) - counts
    found = np.full(int(counts.sum()), -1, np.intp)
    firsts = np.searchsorted(table.image, np.arange(len(images)))
    for start, first, image in zip(starts, firsts, images, strict=True):
        rows = np.array(poses.subjects.get(image.file_name, ()), np.intp)
        found[start + rows] = first + np.arange(len(rows))
    return found


def _joint_notes(truth: Skeleton, joints: CommonJoints) -> list[str]:
    notes = []
    missing = [name for place, name in enumerate(truth.joints) if place not in joints.truth]
    if missing:
        notes.append(f"not estimated, left out: {', '.join(missing)}")
    if not has_sigmas(joints.skeleton):
        notes.append(
            f"skeleton {truth.name!r} has no OKS sigmas: {DEFAULT_SIGMA} for every joint, so its AP compares with no "
            "other data set's; measure them with --estimate-sigmas, or give a --skeleton that has some"
        )
    elif not has_sigmas(truth):
        notes.append("the truth's skeleton has no OKS sigmas: those of the estimates' are taken")
    return notes


def _left_out_notes(left_out: set[str], data: LabelledData) -> list[str]:
    if not left_out:
        return []
    names = ", ".join(sorted(left_out)[:_LISTED]) + (", …" if len(left_out) > _LISTED else "")
    return [f"{len(left_out)} of {len(data.images)} images were not found or cannot be read, left out: {names}"]


def _odd(evaluation: Evaluation) -> list[str]:
    """What the figures hide."""
    subjects = evaluation.subjects
    notes = []
    if without := int(np.isnan(subjects.reference_px).sum()):
        notes.append(
            f"{without} of {len(subjects.truth)} subjects lack the joints of reference "
            f"{evaluation.options.reference!r}: PCK and AUC leave them out"
        )
    if len(evaluation.grouping.names) < 2 and evaluation.options.resamples:
        notes.append("all images are one group: there is nothing to resample, so no intervals; see --group")
    if evaluation.options.paired_by == "oks":
        notes.append("the estimates have no boxes: people are paired by OKS from 0.1 on")
    return notes
