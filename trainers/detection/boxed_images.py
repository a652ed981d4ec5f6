"""Labelled files of any of our formats -> the images that a detector is trained on, with a box for each subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvat_export.dataset import LabelledImage
from cvat_export.labels import FloatArray, Instance
from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.image_files import ImageRef
from trainers.label_sources import faulty_notes, find_images, say_problems
from trainers.problem import Problem
from trainers.source_reading import LabelSource, ReadSource, own_names, read_sources, source_sha256
from trainers.splits import image_groups
from trainers.subject_boxes import box_problem, training_box


@dataclass(frozen=True, eq=False)
class BoxedImage:
    """One image to learn from; an image without subjects is one too.

    file_name, group: as of a `Sample`. size: (width, height). bbox_xyxy: (n, 4) of subjects, areas: (n,) px², of the
    outline where it is known. ignored_xyxy: (m, 4) of crowds, in which nothing is learnt. complete: whether who has no
    box is not there.
    """

    image: ImageRef
    file_name: str
    group: str
    size: Size
    bbox_xyxy: FloatArray
    areas: FloatArray
    ignored_xyxy: FloatArray
    complete: bool
    weight: float


@dataclass(frozen=True, eq=False)
class BoxedData:
    """What was read of all sources. notes, sha256: as of `LabelledData`."""

    category: str
    images: tuple[BoxedImage, ...]
    notes: tuple[str, ...]
    sha256: dict[str, str]

    @property
    def samples(self) -> tuple[BoxedImage, ...]:
        """See `Found`: a detector learns from whole images."""
        return self.images


def read_boxed_images(
    sources: Sequence[tuple[LabelSource, bool]], category: str | None = None, leave_out_faulty: bool = False
) -> BoxedData:
    """The images of all sources, each given with whether every subject in its images has a box.

    category: needed where the first source has several. Raises TrainersError or CvatExportError for everything that a
    training would stumble over; leave_out_faulty: see `read_labels`.
    """
    read = read_sources([label for label, _ in sources], category, needs_joints=False)
    return _joined(read, [complete for _, complete in sources], read[0].category.name, leave_out_faulty)


def _joined(read: Sequence[ReadSource], complete: Sequence[bool], category: str, leave_out_faulty: bool) -> BoxedData:
    labels = [source.label for source in read]
    images: list[BoxedImage] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for source, names, is_complete in zip(read, own_names(read), complete, strict=True):
        found, trouble, said = _boxed_images(source, names, is_complete)
        images += found
        problems += trouble
        notes += said
    if problems and not leave_out_faulty:
        raise TrainersError(say_problems(labels, problems))
    notes += faulty_notes(problems)
    if not any(len(image.bbox_xyxy) for image in images):
        raise TrainersError(
            f"{', '.join(str(label.path) for label in labels)}: got no box of {category!r} to learn from"
        )
    return BoxedData(category, tuple(images), tuple(notes), {str(one.path): source_sha256(one.path) for one in labels})


def _boxed_images(
    source: ReadSource, names: Sequence[str], complete: bool
) -> tuple[list[BoxedImage], list[Problem], list[str]]:
    named = [replace(image, file_name=name) for image, name in zip(source.images, names, strict=True)]
    files, problems = find_images(source, named)
    groups, notes = image_groups(source.images, source.label.group, source.name)
    reasons: Counter[str] = Counter()
    images = []
    for image, group in zip(named, groups, strict=True):
        trouble = [box_problem(instance, image, number) for number, instance in enumerate(image.instances, 1)]
        problems += [problem for problem in trouble if problem]
        sound = [instance for instance, problem in zip(image.instances, trouble, strict=True) if problem is None]
        if image.file_name in files:
            images.append(_boxed(source, image, sound, files[image.file_name], group, complete, reasons))
    said = [f"{source.label.path}: {count} x {reason}" for reason, count in reasons.items()]
    return images, problems, [*source.notes, *notes, *said]


def _boxed(
    source: ReadSource,
    image: LabelledImage,
    instances: Sequence[Instance],
    file: ImageRef,
    group: str,
    complete: bool,
    reasons: Counter[str],
) -> BoxedImage:
    boxes, areas, ignored = [], [], []
    for instance in instances:
        if instance.is_crowd:
            ignored.append(instance.bbox_xyxy)
            continue
        box, reason = _subject_box(instance, image)
        reasons.update([reason] if reason else [])
        if box is not None:
            boxes.append(box)
            areas.append(float(instance.extra.get("area") or np.prod(box[2:] - box[:2])))
    return BoxedImage(
        image=file,
        file_name=image.file_name,
        group=group,
        size=(image.width, image.height),
        bbox_xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        areas=np.array(areas, np.float32),
        ignored_xyxy=np.array(ignored, np.float32).reshape(-1, 4),
        complete=complete,
        weight=source.label.weight,
    )


def _subject_box(instance: Instance, image: LabelledImage) -> tuple[FloatArray | None, str]:
    if len(instance.xy) and instance.labelled.any():
        return training_box(instance, image)
    if (instance.bbox_xyxy[2:] > instance.bbox_xyxy[:2]).all():
        return instance.bbox_xyxy, ""
    return None, "subject without a box or joints left out"
