"""What the recipes believe of their teachers."""

from pathlib import Path

import numpy as np
import pytest

from annotator.predictions import FrameSource, Prediction
from cvat_export.labels import Boxes, Instance, Keypoints, Visibility
from recipes.derive import FACE_JOINTS, NOT_EMPTY, PERSON, agreed_person, kept_out, with_face
from recipes.drawn import write_drawn

JOINTS = 17
BOX = np.array([10, 20, 60, 120], np.float32)  # 100 px high
BODY = np.linspace((12, 25), (58, 115), JOINTS).astype(np.float32)


def _prediction(xy, box_score=0.9, joint_score=0.8):
    boxes = Boxes(BOX[None], np.array([box_score], np.float32), ("person",))
    scores = np.full((1, JOINTS), joint_score, np.float32)
    joints = Keypoints(xy[None].astype(np.float32), scores, np.full((1, JOINTS), Visibility.VISIBLE, np.uint8))
    return Prediction("a.jpg", 100, 150, FrameSource("0" * 64, 0, None), boxes, joints)


def test_joints_on_which_teachers_agree_are_learnt_half_way_between_them():
    other = BODY + np.float32(2)
    other[3] += 20
    person = agreed_person(_prediction(BODY), _prediction(other), 0)
    assert person is not None
    assert person.visibility.tolist() == [
        Visibility.NOT_LABELLED if joint == 3 else Visibility.VISIBLE for joint in range(17)
    ]
    np.testing.assert_allclose(person.xy[0], BODY[0] + 1, atol=1e-4)
    np.testing.assert_array_equal(person.bbox_xyxy, BOX)


@pytest.mark.parametrize(("box_score", "joint_score", "wrong"), [(0.4, 0.8, 0), (0.9, 0.2, 0), (0.9, 0.8, 12)])
def test_nobody_is_believed_whom_the_teachers_doubt(box_score, joint_score, wrong):
    other = BODY.copy()
    other[:wrong] += 30
    assert agreed_person(_prediction(BODY, box_score, joint_score), _prediction(other), 0) is None


def test_a_box_needs_fewer_joints_than_a_pose():
    other = BODY.copy()
    other[:10] += 30
    person = agreed_person(_prediction(BODY), _prediction(other), 0)
    assert person is not None
    assert not person.labelled.any()


def _labelled():
    visibility = np.full(JOINTS, Visibility.VISIBLE, np.uint8)
    visibility[:FACE_JOINTS] = Visibility.NOT_LABELLED
    sources = [None] * FACE_JOINTS + list(range(JOINTS - FACE_JOINTS))
    body = Instance("person", BOX, BODY[FACE_JOINTS:], visibility[FACE_JOINTS:])
    return body, sources


def test_a_face_is_believed_where_the_body_is_right():
    body, sources = _labelled()
    proposal = np.column_stack([BODY, np.full(JOINTS, 0.7)]).astype(np.float32)
    proposal[0, 2] = 0.1
    person = with_face(body, sources, proposal)
    assert person.visibility.tolist() == [0] + [Visibility.VISIBLE] * 16
    np.testing.assert_allclose(person.xy[1:], BODY[1:])


def test_no_face_is_believed_where_the_shoulders_are_elsewhere():
    body, sources = _labelled()
    proposal = np.column_stack([BODY, np.full(JOINTS, 0.7)]).astype(np.float32)
    proposal[5, :2] += 30
    assert with_face(body, sources, proposal).visibility[:FACE_JOINTS].tolist() == [0] * FACE_JOINTS
    assert with_face(body, sources, None).visibility[:FACE_JOINTS].tolist() == [0] * FACE_JOINTS


def test_drawn_people_are_where_their_labels_say(tmp_path):
    dataset = write_drawn(tmp_path, pictures=6)
    assert dataset.categories == (PERSON,)
    people = [person for image in dataset.images for person in image.instances]
    assert len(dataset.images) == len(list(tmp_path.iterdir())) == 6
    assert people
    for person in people:
        inside = person.xy[person.visibility == Visibility.VISIBLE]
        assert (inside >= person.bbox_xyxy[:2] - 2).all() and (inside <= person.bbox_xyxy[2:] + 2).all()


def test_every_third_by_name_is_kept_out():
    files = [Path(folder) / f"{number:02}.jpg" for number, folder in enumerate("bacbacb")]
    assert [path.name for path in kept_out(files)] == ["00.jpg", "03.jpg", "06.jpg"]
    assert kept_out(files) == kept_out(files[::-1])


def test_pictures_with_somebody_in_them_are_not_kept_as_empty():
    files = [Path(f"scene_{number:04}.jpg") for number in range(300)]
    numbers = {int(path.stem[-4:]) for path in kept_out(files)}
    assert numbers == set(range(0, 300, 3)) - set(NOT_EMPTY)
    assert len(numbers) < 100
