"""Labels from elsewhere as the truth that a review's proposals are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from annotator.errors import AnnotatorError
from annotator.known_frames import FrameKey, file_key
from annotator.review.frames import Review, ReviewedFrame, ReviewedSubject
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.export_reading import read_export
from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Instance, Keypoints
from cvat_export.skeleton import Skeleton
from trainers.source_reading import label_root


def with_truth(review: Review, path: Path) -> Review:
    """The review with labels of any format that we read; images are matched by name, joints by name.

    Raises AnnotatorError where they are of none of its images, CvatExportError where they cannot be read.
    """
    dataset = read_export(label_root(path)).dataset
    images = {file_key(image.file_name): image for image in dataset.images}
    if images.keys().isdisjoint(frame.key for frame in review.frames):
        raise AnnotatorError(
            f"{path}: none of its {len(images)} images is among the {len(review.frames)} of {review.folder}; images "
            "are matched by file name"
        )
    wanted = {name: _category(dataset, name, path) for name in review.skeletons}
    frames = tuple(_with_labels(frame, images, wanted, review.skeletons) for frame in review.frames)
    return replace(review, frames=frames)


def _category(dataset: Dataset, name: str, path: Path) -> Category:
    """The one of that name, or the only one with joints."""
    jointed = [category for category in dataset.categories if category.skeleton is not None]
    named = [category for category in jointed if category.name == name]
    if len(named or jointed) != 1:
        known = ", ".join(category.name for category in jointed)
        raise AnnotatorError(f"{path}: got the categories with joints {known}, expected {name!r} among them, or one")
    return (named or jointed)[0]


def _with_labels(
    frame: ReviewedFrame,
    images: Mapping[FrameKey, LabelledImage],
    wanted: Mapping[str, Category],
    skeletons: Mapping[str, Skeleton],
) -> ReviewedFrame:
    image = images.get(frame.key)
    if image is None:
        return frame
    truth = [
        ReviewedSubject(_mapped(one, category, name, skeletons[name]))
        for name, category in wanted.items()
        for one in image.instances
        if one.category == category.name
    ]
    return replace(frame, truth=tuple(truth), has_truth=True)


def _mapped(one: Instance, category: Category, name: str, skeleton: Skeleton) -> Instance:
    assert category.skeleton is not None
    scores = np.zeros(len(one.visibility), np.float32)
    joints = map_joints(Keypoints(one.xy[None], scores[None], one.visibility[None]), category.skeleton, skeleton)
    return replace(one, category=name, xy=joints.xy[0], visibility=joints.visibility[0], joint_scores=None)
