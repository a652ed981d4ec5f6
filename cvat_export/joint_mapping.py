"""Keypoints of one skeleton as those of another: joints are matched by name, never by position."""

from __future__ import annotations

import numpy as np

from cvat_export.labels import Keypoints
from cvat_export.skeleton import Skeleton


def map_joints(keypoints: Keypoints, own: Skeleton, wanted: Skeleton) -> Keypoints:
    """The joints of `wanted`, in its order, from keypoints with the joints of `own`.

    A joint that `own` does not have is not labelled: visibility, score and position are 0.
    """
    sources = wanted.sources_in(own)
    there = np.array([source is not None for source in sources])
    taken = np.array([source or 0 for source in sources], np.intp)
    return Keypoints(
        np.where(there[:, None], keypoints.xy[:, taken], np.float32(0)),
        np.where(there, keypoints.scores[:, taken], np.float32(0)),
        np.where(there, keypoints.visibility[:, taken], np.uint8(0)),
    )
