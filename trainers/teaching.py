"""A teacher's proposals for the subjects that a network is trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from cvat_export.dataset import Dataset
from cvat_export.labels import Instance, box_iou
from cvat_export.skeleton import Skeleton
from trainers.errors import TrainersError
from trainers.label_sources import Sample
from trainers.samples import TeacherJoints

SAME_FROM_IOU = 0.5


def match_teacher(samples: Sequence[Sample], skeleton: Skeleton, teacher: Dataset) -> TeacherJoints:
    """For each sample the teacher's instance in the image of that name whose box overlaps it most.

    Joints are matched by name. Raises TrainersError where the teacher knows none of the joints, or none of the images.
    """
    category = next((category for category in teacher.categories if category.skeleton is not None), None)
    sources = skeleton.sources_in(category.skeleton) if category and category.skeleton else ()
    if category is None or all(source is None for source in sources):
        raise TrainersError(f"data.teacher: has no joint of skeleton {skeleton.name!r}: {', '.join(skeleton.joints)}")
    known = [(joint, source) for joint, source in enumerate(sources) if source is not None]
    proposals: dict[str, list[Instance]] = defaultdict(list)
    for image in teacher.images:
        mine = [instance for instance in image.instances if instance.category == category.name]
        proposals[PurePosixPath(image.file_name).name] += mine
    xy = np.full((len(samples), len(skeleton.joints), 2), np.nan, np.float32)
    scores = np.zeros((len(samples), len(skeleton.joints)), np.float32)
    for row, sample in enumerate(samples):
        found = _nearest(sample.instance, proposals[PurePosixPath(sample.file_name).name])
        if found is None:
            continue
        for joint, source in known:
            if found.labelled[source]:
                xy[row, joint] = found.xy[source]
                scores[row, joint] = 1 if found.joint_scores is None else found.joint_scores[source]
    if not scores.any():
        raise TrainersError(
            f"data.teacher: none of its proposals overlaps one of the {len(samples)} training subjects; expected the "
            "folder that annotator preannotate wrote for the same images"
        )
    return TeacherJoints(xy, scores)


def _nearest(instance: Instance, others: Sequence[Instance]) -> Instance | None:
    if not others:
        return None
    overlaps = box_iou(instance.bbox_xyxy, np.stack([other.bbox_xyxy for other in others]))
    return others[int(overlaps.argmax())] if overlaps.max() >= SAME_FROM_IOU else None
