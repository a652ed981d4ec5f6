"""What in labels would hurt a training, by rules on numbers alone: no image is read here.

Each rule says only what it saw. Shares given at thresholds were counted on human labels of people, cats and a mouse.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cvat_export.dataset import LabelledImage
from cvat_export.labels import Instance, Visibility
from cvat_export.skeleton import DEFAULT_SIGMA, Skeleton, guess_flip_pairs
from cvat_export.suspects import crossed_sides, doubles, limb_lengths
from trainers.label_sources import LabelledData
from trainers.problem import Problem

TINY_PX = 24
FEW_SUBJECTS = 20
SELDOM_SHARE = 0.01
ONE_SIDED = 1.5  # times as often as on the other side; sides that people label alike differ by chance alone
ONE_SIDED_SIGMAS = 4.0  # of that chance
OUTSIDE_SHARE = 0.02  # of the image's longer side; nearer, a joint at the edge was placed by a hand
# Runners twist: narrower than this many times what suspects ask for, shoulders against hips are right half the time.
WIDER_PAIRS = 1.5
FAR_SIDES = 1.0  # longer sides of the box that a joint may lie outside it: hidden legs do, below what is seen
POINT_PX = 1.0  # joints all within so much are in one point
_NAMED = 4  # joints that a text names one by one
INSIDE_SHARE = 0.5  # of a subject's joints that its box should hold at least

# kind -> what it means, for a person; in the order in which they are listed
KINDS: Mapping[str, str] = {
    "missing_image": "An image of the labels is not there.",
    "unreadable_image": "An image is damaged or cut off.",
    "other_size": "An image has another size than that for which its labels were made.",
    "turned_image": "Labels were drawn on a picture lying on its side.",
    "negative_box": "A box has a negative width or height.",
    "joints_in_one_point": "All joints of a subject are in one point.",
    "joint_at_origin": "A joint is labelled at exactly (0, 0), which is what a missing one looks like.",
    "box_outside_image": "A box lies outside its image.",
    "nothing_labelled": "No subject has a labelled joint.",
    "same_image_in_both": "An image is both in training and in validation.",
    "same_group_in_both": "A video or another group is both in training and in validation.",
    "same_name_in_both": "Training and validation have an image of one name, with different content.",
    "crossed_sides": "Left and right are probably swapped.",
    "doubles": "A subject is labelled twice, or has its joints on another subject too.",
    "joints_outside_box": "A box does not hold its subject's joints.",
    "limb_lengths": "A limb is far longer than its twin, or too long for the subject.",
    "joints_outside_image": "Joints lie outside the image.",
    "same_image_twice": "An image is there twice, byte for byte.",
    "near_image_twice": "Two images are hardly different.",
    "unlabelled_subjects": "Subjects with a box and no joints stand beside labelled ones.",
    "image_without_labels": "Nothing is labelled in an image.",
    "tiny_subject": "A subject is too small to see its joints.",
    "few_subjects": "There are few subjects.",
    "joint_never_labelled": "A joint of the skeleton is labelled nowhere.",
    "joint_seldom_labelled": "A joint is labelled in few subjects.",
    "one_sided_joint": "A joint is labelled far more often on one side.",
    "one_visibility": "Every joint has the same visibility.",
    "hull_boxes": "Boxes are not drawn, but the hull of the joints.",
    "no_flips": "The skeleton has no flip pair for joints whose names say that they are one.",
    "side_without_twin": "A joint's name says left or right, and no other is its twin.",
    "default_sigmas": "The OKS sigmas are those by default.",
}


@dataclass(frozen=True)
class JointCounts:
    """How often each joint is labelled, occluded, and outside its image, (joints,) each; over `subjects` subjects."""

    subjects: int
    labelled: npt.NDArray[np.int64]
    occluded: npt.NDArray[np.int64]
    outside: npt.NDArray[np.int64]


def find_problems(data: LabelledData, tiny_px: float = TINY_PX) -> list[Problem]:
    """Everything that the labels alone show, in the order of KINDS."""
    found = [problem for image in data.images for problem in image_problems(image, data.skeleton, tiny_px)]
    found += dataset_problems(data)
    return in_order(found)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Errors first, then by kind; otherwise as they come."""
    places = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(problems, key=lambda p: (p.severity != "error", places[p.kind]))


def image_problems(image: LabelledImage, skeleton: Skeleton, tiny_px: float = TINY_PX) -> list[Problem]:
    """What is wrong with the subjects of one image, and with what is not labelled in it."""
    found = [
        replace(problem, file_name=image.file_name, instance=number)
        for number, instance in enumerate(image.instances, 1)
        if not instance.is_crowd
        for rule in _SUBJECT_RULES
        for problem in rule(instance, image, skeleton)
    ]
    found += _tiny(image, tiny_px)
    found += _suspected(image, skeleton)
    return [*found, *_unlabelled(image)]


def dataset_problems(data: LabelledData) -> list[Problem]:
    """What only all subjects together show."""
    counts = count_joints(data)
    return [problem for rule in _DATASET_RULES for problem in rule(data, counts)]


def count_joints(data: LabelledData) -> JointCounts:
    """Over the subjects that would be trained on."""
    sizes = {image.file_name: (image.width, image.height) for image in data.images}
    joints = len(data.skeleton.joints)
    labelled, occluded, outside = (np.zeros(joints, np.int64) for _ in range(3))
    for sample in data.samples:
        instance = sample.instance
        labelled += instance.labelled
        occluded += instance.visibility == Visibility.OCCLUDED
        outside += instance.labelled & (_distance_outside(instance.xy, *sizes[sample.file_name]) > 0)
    return JointCounts(len(data.samples), labelled, occluded, outside)


def problems_between(
    training: LabelledData, validation: LabelledData, same: Iterable[tuple[str, str]]
) -> list[Problem]:
    """What stands in both. same: pairs of file names, in training and in validation, whose pictures are alike."""
    fix = "leave it out of one of them; else validation measures what was learned by heart"
    alike = defaultdict(list)
    for first, second in same:
        alike[second].append(first)
    found = [
        Problem("same_image_in_both", "error", f"the same picture as {names[0]} in training", fix, name)
        for name, names in alike.items()
    ]
    found += _same_groups(training, validation)
    there = {image.file_name for image in training.images}
    found += [
        Problem("same_name_in_both", "warning", "training has another picture of this name", "rename one", name)
        for name in (image.file_name for image in validation.images)
        if name in there and name in validation.files and name in training.files and name not in alike
    ]
    return found


def _same_groups(training: LabelledData, validation: LabelledData) -> Iterator[Problem]:
    """One line a group; images that are each a group of their own are compared by their pictures."""
    ours, theirs = Counter(training.groups.values()), Counter(validation.groups.values())
    for group in sorted(ours.keys() & theirs.keys()):
        if not group.startswith(("image ", "file ", "folder ", "time ")):
            text = f"{group}: {ours[group]} images in training, {theirs[group]} in validation"
            yield Problem("same_group_in_both", "error", text, "put all of it on one side")


def _one_point(instance: Instance, image: LabelledImage, skeleton: Skeleton) -> Iterator[Problem]:
    points = instance.xy[instance.labelled]
    if len(points) > 2 and float(np.ptp(points, axis=0).max()) < POINT_PX:
        x, y = points[0]
        text = f"all its {len(points)} labelled joints are at ({x:.1f}, {y:.1f})"
        yield Problem("joints_in_one_point", "error", text, "delete this skeleton or place its joints")


def _at_origin(instance: Instance, image: LabelledImage, skeleton: Skeleton) -> Iterator[Problem]:
    there = instance.labelled & ~instance.xy.any(axis=1)
    if there.any():
        names = _named(there, skeleton)
        text = f"{', '.join(names)}: labelled at exactly (0, 0)"
        yield Problem("joint_at_origin", "error", text, "mark it as not labelled (visibility 0, outside)", joints=names)


def _box_off_image(instance: Instance, image: LabelledImage, skeleton: Skeleton) -> Iterator[Problem]:
    x1, y1, x2, y2 = (float(value) for value in instance.bbox_xyxy)
    has_area = x2 > x1 and y2 > y1
    if has_area and (x2 <= 0 or y2 <= 0 or x1 >= image.width or y1 >= image.height):
        text = f"its box ({x1:.0f}, {y1:.0f}) to ({x2:.0f}, {y2:.0f}) lies outside {image.width}×{image.height}"
        yield Problem("box_outside_image", "error", text, "look whether the labels belong to this image")


def _joints_off_image(instance: Instance, image: LabelledImage, skeleton: Skeleton) -> Iterator[Problem]:
    distances = _distance_outside(instance.xy, image.width, image.height)
    outside = instance.labelled & (distances > OUTSIDE_SHARE * max(image.width, image.height))
    if outside.any():
        names = _named(outside, skeleton)
        which = ", ".join(names) if len(names) <= _NAMED else f"{len(names)} joints"
        text = f"{which}: up to {distances[outside].max():.0f} px outside the image"
        fix = "mark what is cut off as not labelled, unless it was placed there on purpose"
        yield Problem("joints_outside_image", "warning", text, fix, joints=names)


def _joints_off_box(instance: Instance, image: LabelledImage, skeleton: Skeleton) -> Iterator[Problem]:
    box = instance.bbox_xyxy
    count = int(instance.labelled.sum())
    if count < 3 or not (box[2:] > box[:2]).all():
        return
    beyond = np.maximum(np.maximum(box[:2] - instance.xy, instance.xy - box[2:]), 0).max(axis=1)
    outside = instance.labelled & (beyond > 0)
    far = outside & (beyond > FAR_SIDES * float((box[2:] - box[:2]).max()))
    if outside.sum() > (1 - INSIDE_SHARE) * count:
        text = f"its box holds {count - outside.sum()} of its {count} labelled joints"
    elif far.any():
        text = f"{', '.join(_named(far, skeleton))}: up to {beyond[far].max():.0f} px outside the box"
    else:
        return
    yield Problem("joints_outside_box", "warning", text, _BOX_FIX, joints=_named(outside, skeleton))


SubjectRule = Callable[[Instance, LabelledImage, Skeleton], Iterator[Problem]]
_SUBJECT_RULES: tuple[SubjectRule, ...] = (_one_point, _at_origin, _box_off_image, _joints_off_image, _joints_off_box)

_BOX_FIX = "draw the box around the subject, or leave it out: the hull of the joints is taken then"
_SUSPECT_FIXES = {
    "crossed_sides": "exchange the two sides if they are the subject's own left and right",
    "limb_lengths": "look whether a joint is on somebody else",
    "doubles": "delete one of the two, or give it the joints of its own subject",
}


def _suspected(image: LabelledImage, skeleton: Skeleton) -> Iterator[Problem]:
    """What the rules for proposals see in labels.

    Not their rule on joints outside the box: people label legs that are hidden below a box of what is seen.
    """
    wide = [_in_larger_box(instance) for instance in image.instances]
    for number, instance in enumerate(image.instances):
        if instance.is_crowd:
            continue
        found = crossed_sides(wide, number, skeleton)
        found += limb_lengths(image.instances, number, skeleton) + doubles(image.instances, number, skeleton)
        for one in found:
            fix = _SUSPECT_FIXES[one.rule]
            yield Problem(one.rule, "warning", one.text, fix, image.file_name, number + 1, one.joints)


def _in_larger_box(instance: Instance) -> Instance:
    """So that `crossed_sides` judges only pairs that are wider by that factor."""
    middle = (instance.bbox_xyxy[:2] + instance.bbox_xyxy[2:]) / 2
    half = (instance.bbox_xyxy[2:] - instance.bbox_xyxy[:2]) / 2 * np.float32(WIDER_PAIRS)
    return replace(instance, bbox_xyxy=np.concatenate([middle - half, middle + half]))


def _tiny(image: LabelledImage, tiny_px: float) -> Iterator[Problem]:
    for number, instance in enumerate(image.instances, 1):
        longer = float((instance.bbox_xyxy[2:] - instance.bbox_xyxy[:2]).max())
        if 0 < longer < tiny_px and instance.labelled.any() and not instance.is_crowd:
            text = f"{longer:.0f} px long with {int(instance.labelled.sum())} labelled joints"
            fix = "leave such subjects out, or label larger images"
            yield Problem("tiny_subject", "warning", text, fix, image.file_name, number)


def _unlabelled(image: LabelledImage) -> Iterator[Problem]:
    subjects = [instance for instance in image.instances if not instance.is_crowd]
    bare = sum(not instance.labelled.any() for instance in subjects)
    if not image.instances:
        text = "nothing is labelled in it"
        yield Problem("image_without_labels", "warning", text, "fine where nobody is there", image.file_name)
    elif bare and bare < len(subjects):
        text = f"{bare} of {len(subjects)} subjects have a box and no joints"
        fix = "label them too, where their joints can be seen: beside others they count as background"
        yield Problem("unlabelled_subjects", "warning", text, fix, image.file_name)


def _few(data: LabelledData, counts: JointCounts) -> Iterator[Problem]:
    if not counts.subjects:
        text = f"no {data.category} has a labelled joint, in {len(data.images)} images"
        yield Problem("nothing_labelled", "error", text, "export a task that is labelled")
    elif counts.subjects < FEW_SUBJECTS:
        text = f"{counts.subjects} subjects are labelled"
        yield Problem("few_subjects", "warning", text, "label more: figures of so few say little")


def _rare_joints(data: LabelledData, counts: JointCounts) -> Iterator[Problem]:
    for name, count in zip(data.skeleton.joints, counts.labelled.tolist(), strict=True):
        if not counts.subjects or count >= max(1, SELDOM_SHARE * counts.subjects):
            continue
        kind = "joint_seldom_labelled" if count else "joint_never_labelled"
        text = f"{name}: labelled in {count} of {counts.subjects} subjects"
        yield Problem(kind, "warning", text, "label it, or train with a skeleton without it", joints=(name,))


def _one_sided(data: LabelledData, counts: JointCounts) -> Iterator[Problem]:
    for pair in data.skeleton.flip_pairs:
        fewer, more = sorted(pair, key=lambda joint: counts.labelled[joint])
        few, many = int(counts.labelled[fewer]), int(counts.labelled[more])
        if many > ONE_SIDED * few and many - few > ONE_SIDED_SIGMAS * np.sqrt(many + few):
            names = data.skeleton.joints[more], data.skeleton.joints[fewer]
            text = f"{names[0]} is labelled {many} times, {names[1]} {few} times"
            fix = "label both sides, hidden ones as occluded; left is the subject's own left"
            yield Problem("one_sided_joint", "warning", text, fix, joints=names)


def _one_visibility(data: LabelledData, counts: JointCounts) -> Iterator[Problem]:
    labelled, occluded = int(counts.labelled.sum()), int(counts.occluded.sum())
    if labelled and occluded in (0, labelled):
        which = "visible (2)" if not occluded else "occluded (1)"
        text = f"all {labelled} labelled joints are {which}"
        yield Problem("one_visibility", "warning", text, "do not train a visibility output on these labels")


def _hull_boxes(data: LabelledData, counts: JointCounts) -> Iterator[Problem]:
    boxes = {
        (image.file_name, tuple(instance.bbox_xyxy.tolist())) for image in data.images for instance in image.instances
    }
    hulls = sum((s.file_name, tuple(s.instance.bbox_xyxy.tolist())) not in boxes for s in data.samples)
    if hulls:
        text = f"{hulls} of {counts.subjects} subjects have no box of their own, as after every export of CVAT"
        fix = "fine, where the boxes at inference are hulls of joints too; a detector's are larger"
        yield Problem("hull_boxes", "warning", text, fix)


def _flips(data: LabelledData, counts: JointCounts) -> Iterator[Problem]:
    joints = data.skeleton.joints
    known = {frozenset(pair) for pair in data.skeleton.flip_pairs}
    for pair in guess_flip_pairs(joints):
        if frozenset(pair) not in known:
            names = joints[pair[0]], joints[pair[1]]
            text = f"skeleton {data.skeleton.name!r} has no flip pair of {' and '.join(names)}"
            fix = "add it under 'flips': mirrored images would teach the wrong side"
            yield Problem("no_flips", "error", text, fix, joints=names)
    paired = {joint for pair in known for joint in pair} | {j for pair in guess_flip_pairs(joints) for j in pair}
    for joint, name in enumerate(joints):
        if joint not in paired and re.search(r"(?i)left|right", name):
            text = f"{name} has no twin on the other side"
            fix = "name the twin alike, or add the pair under 'flips'; otherwise switch mirroring off"
            yield Problem("side_without_twin", "warning", text, fix, joints=(name,))


def _default_sigmas(data: LabelledData, counts: JointCounts) -> Iterator[Problem]:
    if all(sigma == DEFAULT_SIGMA for sigma in data.skeleton.sigmas):
        text = f"all sigmas of skeleton {data.skeleton.name!r} are {DEFAULT_SIGMA}"
        fix = "OKS figures then compare runs on this skeleton only; measure how far two people's labels differ"
        yield Problem("default_sigmas", "warning", text, fix)


DatasetRule = Callable[[LabelledData, JointCounts], Iterator[Problem]]
_DATASET_RULES: tuple[DatasetRule, ...] = (
    _few,
    _rare_joints,
    _one_sided,
    _one_visibility,
    _hull_boxes,
    _flips,
    _default_sigmas,
)


def _distance_outside(xy: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float64]:
    """How far each joint lies outside the image, px; 0 inside."""
    beyond = np.maximum(np.maximum(-xy, xy - np.array([width, height], np.float32)), 0).astype(np.float64)
    return np.asarray(np.linalg.norm(beyond, axis=1), np.float64)


def _named(chosen: npt.NDArray[np.bool_], skeleton: Skeleton) -> tuple[str, ...]:
    return tuple(skeleton.joints[joint] for joint in np.flatnonzero(chosen))
