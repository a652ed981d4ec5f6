"""Labelled files of any of our formats -> the subjects that a pose model is trained on, each with its image.

Everything that would stop a training is looked for up front, so that nothing fails after an hour.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvat_export.dataset import LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Instance, Keypoints
from cvat_export.skeleton import Skeleton
from trainers.errors import TrainersError
from trainers.image_files import ImageRef as ImageRef
from trainers.image_files import read_size
from trainers.problem import Problem
from trainers.source_reading import LabelSource as LabelSource
from trainers.source_reading import ReadSource, own_names, read_sources, source_sha256
from trainers.splits import image_groups
from trainers.subject_boxes import box_problem, training_box

_LISTED = 5  # problems that an error names


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled subject.

    file_name: unique over all sources: as in the file where that is unique, else with the source's name before it.
    group: what must not be split: its video, and so on. instance: its joints in the order of the skeleton; its box
    always has area.
    """

    image: ImageRef
    file_name: str
    group: str
    instance: Instance
    weight: float


@dataclass(frozen=True)
class LabelledData:
    """What was read of all sources.

    images: everything, crowds, subjects without joints and empty images included, with joints of `skeleton`, boxes as
    in the file, `file_name` as in `Sample`. notes: what was left out, with counts. sha256: of each source's label
    file by path. files, groups: of each image by `file_name`.
    """

    skeleton: Skeleton
    category: str
    samples: tuple[Sample, ...]
    images: tuple[LabelledImage, ...]
    notes: tuple[str, ...]
    sha256: Mapping[str, str]
    files: Mapping[str, ImageRef]
    groups: Mapping[str, str]


def read_labels(
    sources: Sequence[LabelSource],
    skeleton: Skeleton | None = None,
    category: str | None = None,
    leave_out_faulty: bool = False,
) -> LabelledData:
    """The subjects of all sources with the joints of `skeleton`, that of the first source unless given.

    category: needed where the first source has several with joints. Raises TrainersError or CvatExportError for
    everything that a training would stumble over, listed together; leave_out_faulty: images and subjects with which
    it would are left out instead, and counted in the notes.
    """
    data, problems = inspect_labels(sources, skeleton, category)
    if problems and not leave_out_faulty:
        raise TrainersError(say_problems(sources, problems))
    if problems:
        data = _without(data, problems)
    if not data.samples:
        raise TrainersError(_nothing_labelled(sources, data))
    return data


def say_problems(sources: Sequence[LabelSource], problems: Sequence[Problem]) -> str:
    """Why labels cannot be trained on, and how to go on."""
    listed = "".join(f"\n  {problem}" for problem in problems[:_LISTED])
    more = f"\n  and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    return (
        f"{_paths(sources)}: cannot be trained on; problems: {len(problems)}, all listed by annotator check "
        f"(data.leave_out_faulty: true trains without them):{listed}{more}"
    )


def _without(data: LabelledData, problems: Sequence[Problem]) -> LabelledData:
    faulty = {(problem.file_name, problem.instance) for problem in problems}
    images = tuple(
        replace(
            image,
            instances=tuple(i for n, i in enumerate(image.instances, 1) if (image.file_name, n) not in faulty),
        )
        for image in data.images
        if image.file_name in data.files
    )
    return replace(data, images=images, notes=(*data.notes, *faulty_notes(problems), f"the first: {problems[0]}"))


def faulty_notes(problems: Sequence[Problem]) -> list[str]:
    """How much was left out, by kind."""
    counts = Counter(problem.kind for problem in problems)
    return [f"left out as faulty: {count} x {kind}" for kind, count in counts.items()]


def inspect_labels(
    sources: Sequence[LabelSource], skeleton: Skeleton | None = None, category: str | None = None
) -> tuple[LabelledData, tuple[Problem, ...]]:
    """As `read_labels`, with the problems of images and boxes beside what is sound instead of an error."""
    read = read_sources(sources, category)
    return _joined(read, skeleton or read[0].own, read[0].category.name)


def _joined(read: Sequence[ReadSource], skeleton: Skeleton, category: str) -> tuple[LabelledData, tuple[Problem, ...]]:
    problems: list[Problem] = []
    notes: list[str] = []
    samples: list[Sample] = []
    images: list[LabelledImage] = []
    files: dict[str, ImageRef] = {}
    groups: dict[str, str] = {}
    for source, names in zip(read, own_names(read), strict=True):
        notes += [*source.notes, *_joint_notes(source, skeleton)]
        mapped = [
            replace(
                image,
                file_name=name,
                instances=tuple(_with_joints(i, source.own, skeleton, category) for i in image.instances),
            )
            for image, name in zip(source.images, names, strict=True)
        ]
        found, trouble = find_images(source, mapped)
        own_groups, group_notes = image_groups(source.images, source.label.group, source.name)
        problems += trouble
        notes += group_notes
        images += mapped
        files |= found
        groups |= {image.file_name: group for image, group in zip(mapped, own_groups, strict=True)}
        chosen, sample_notes, box_problems = _samples(source, mapped, files, groups)
        samples += chosen
        notes += sample_notes
        problems += box_problems
    if len(groups) < len(images):
        raise TrainersError(
            "labels: two images have one name in spite of their sources' names; rename one of the files"
        )
    hashes = {str(source.label.path): source_sha256(source.label.path) for source in read}
    data = LabelledData(skeleton, category, tuple(samples), tuple(images), tuple(notes), hashes, files, groups)
    return data, tuple(problems)


def _joint_notes(source: ReadSource, wanted: Skeleton) -> Iterator[str]:
    there = wanted.sources_in(source.own)
    missing = [joint for joint, own in zip(wanted.joints, there, strict=True) if own is None]
    if len(missing) == len(wanted.joints):
        raise TrainersError(
            f"{source.label.path}: got no joint of skeleton {wanted.name!r}: it has {', '.join(source.own.joints)}, "
            f"expected some of {', '.join(wanted.joints)}; give the skeleton aliases for its names"
        )
    if missing:
        yield f"{source.label.path}: has no {', '.join(missing)}: not labelled"
    unused = [joint for index, joint in enumerate(source.own.joints) if index not in there]
    if unused:
        yield f"{source.label.path}: {', '.join(unused)} left out: not in skeleton {wanted.name!r}"


def _with_joints(instance: Instance, own: Skeleton, wanted: Skeleton, category: str) -> Instance:
    if own.joints == wanted.joints:
        return instance if instance.category == category else replace(instance, category=category)
    scores = instance.joint_scores if instance.joint_scores is not None else np.zeros(len(own.joints), np.float32)
    taken = map_joints(Keypoints(instance.xy[None], scores[None], instance.visibility[None]), own, wanted)
    return replace(
        instance,
        category=category,
        xy=taken.xy[0],
        visibility=taken.visibility[0],
        joint_scores=None if instance.joint_scores is None else taken.scores[0],
    )


def find_images(source: ReadSource, mapped: Iterable[LabelledImage]) -> tuple[dict[str, ImageRef], list[Problem]]:
    """Where each image lies, and what is wrong with those that are missing, unreadable or of another size."""
    found: dict[str, ImageRef] = {}
    owners: dict[ImageRef, str] = {}
    problems = []
    for image, name, subset in zip(mapped, source.names_in_file, source.subsets, strict=True):
        ref = source.places.find(name, subset)
        problem: Problem | None
        if ref is None:
            problem = _missing(image, name, source)
        elif owners.setdefault(ref, image.file_name) != image.file_name:
            text = f"{ref} is the only file for it and for {owners[ref]!r}"
            fix = "lay the images out in folders as the labels name them"
            problem = Problem("missing_image", "error", text, fix, image.file_name)
        else:
            problem = _size_problem(image, ref)
        if problem is not None:
            problems.append(problem)
        elif ref is not None:
            found[image.file_name] = ref
    return found, problems


def _missing(image: LabelledImage, name: str, source: ReadSource) -> Problem:
    text = f"no image {name!r}, looked in {source.places}"
    return Problem("missing_image", "error", text, "copy it there or name the folder of the images", image.file_name)


def _size_problem(image: LabelledImage, ref: ImageRef) -> Problem | None:
    try:
        size = read_size(ref)
    except (TrainersError, CvatExportError, OSError) as error:
        return Problem("unreadable_image", "error", str(error), "copy it again", image.file_name)
    expected = (image.width, image.height)
    if expected == (size.width, size.height):
        return None
    got = f"{ref} is {size.width}×{size.height}, its labels were made for {image.width}×{image.height}"
    if size.turned and expected == (size.height, size.width):
        text = f"{got}: they were drawn on the picture lying on its side, without its EXIF orientation"
        fix = "save the image without that orientation"
        return Problem("turned_image", "error", text, fix, image.file_name)
    return Problem("other_size", "error", got, "take the very images that were labelled", image.file_name)


def _samples(
    source: ReadSource, mapped: Iterable[LabelledImage], files: Mapping[str, ImageRef], groups: Mapping[str, str]
) -> tuple[list[Sample], list[str], list[Problem]]:
    counts: dict[str, int] = defaultdict(int)
    samples, problems = [], []
    for image in mapped:
        for number, instance in enumerate(image.instances, 1):
            if problem := box_problem(instance, image, number):
                problems.append(problem)
                continue
            box, reason = training_box(instance, image)
            if reason:
                counts[reason] += 1
            if box is not None and image.file_name in files:
                one = replace(instance, bbox_xyxy=box)
                name = image.file_name
                samples.append(Sample(files[name], name, groups[name], one, source.label.weight))
    return samples, [f"{source.label.path}: {count} x {reason}" for reason, count in counts.items()], problems


def _nothing_labelled(sources: Sequence[LabelSource], data: LabelledData) -> str:
    subjects = sum(len(image.instances) for image in data.images)
    notes = "".join(f"\n  {note}" for note in data.notes)
    return (
        f"{_paths(sources)}: got {len(data.images)} images with {subjects} subjects of {data.category!r}, expected at "
        f"least one with a labelled joint; export a task that is labelled, or name another category{notes}"
    )


def _paths(sources: Sequence[LabelSource]) -> str:
    return ", ".join(str(source.path) for source in sources)
