"""Joints of one skeleton as another's."""

import numpy as np

from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Keypoints
from cvat_export.skeleton import Skeleton


def test_joints_meet_by_name():
    own = Skeleton("own", ("nose", "Left Eye", "tail"))
    wanted = Skeleton("wanted", ("left_eye", "ear", "snout"), aliases={"snout": ("nose",)})
    keypoints = Keypoints(np.arange(12).reshape(2, 3, 2), np.arange(6).reshape(2, 3), np.full((2, 3), 2))
    mapped = map_joints(keypoints, own, wanted)
    assert mapped.xy[0].tolist() == [[2, 3], [0, 0], [0, 1]]
    assert mapped.scores.tolist() == [[1, 0, 0], [4, 0, 3]]
    assert mapped.visibility.tolist() == [[2, 0, 2], [2, 0, 2]]
    assert map_joints(Keypoints.empty(3), own, wanted).xy.shape == (0, 3, 2)
