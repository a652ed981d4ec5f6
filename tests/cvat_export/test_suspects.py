"""Each rule sees what it is for and lets real labels pass."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_export.coco import read_coco
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton, read_skeleton
from cvat_export.skeleton_layout import lay_out
from cvat_export.suspects import (
    RULES,
    crossed_sides,
    doubles,
    find_suspects,
    limb_lengths,
    low_scores,
    outside_box,
)

COCO = read_skeleton("coco17")
LEGS = ("hip", "knee", "ankle")


def _person(**joints):
    """A standing person, 200 x 200 px, with some joints elsewhere or, given None, not labelled."""
    xy, visibility = 2 * np.array(lay_out(COCO)), np.full(17, 2)
    for name, point in joints.items():
        joint = COCO.find(name)
        xy[joint], visibility[joint] = ((0, 0), 0) if point is None else (point, 2)
    return Instance("person", (20, 4, 180, 190), xy, visibility)


def _position(name):
    return tuple(_person().xy[COCO.find(name)])


def _swap(instance, skeleton, parts):
    order = list(range(len(skeleton.joints)))
    for left, right in skeleton.flip_pairs:
        if any(part in skeleton.joints[left].casefold() for part in parts):
            order[left], order[right] = right, left
    return replace(instance, xy=instance.xy[order], visibility=instance.visibility[order])


def _stretch(instance, skeleton, inner, outer, factor):
    """The limb between two joints as many times as long, its inner end in its place."""
    xy, (a, b) = instance.xy.copy(), (skeleton.find(inner), skeleton.find(outer))
    xy[b] = xy[a] + factor * (xy[b] - xy[a])
    return replace(instance, xy=xy)


def test_a_good_person_is_not_suspicious():
    assert find_suspects([_person()], COCO) == [()]
    assert find_suspects([], COCO) == []


@pytest.mark.parametrize("parts", [LEGS, ("hip",), ("hip", "knee")])
def test_a_swapped_lower_body_is_found(parts):
    (suspicion,) = crossed_sides([_swap(_person(), COCO, parts)], 0, COCO)
    assert set(suspicion.joints) == {f"{side}_{part}" for side in ("left", "right") for part in parts}
    assert "left_hip and right_hip run against left_shoulder and right_shoulder" in suspicion.text


def test_a_swapped_upper_body_is_found_at_the_fewer_joints():
    (suspicion,) = crossed_sides([_swap(_person(), COCO, ("shoulder",))], 0, COCO)
    assert suspicion.joints == ("left_shoulder", "right_shoulder")


@pytest.mark.parametrize("parts", [("knee", "ankle"), ("ankle",), ("wrist",), ("elbow", "wrist")])
def test_limbs_that_cross_are_not_suspicious(parts):
    assert crossed_sides([_swap(_person(), COCO, parts)], 0, COCO) == []


def test_a_person_seen_from_behind_is_not_crossed():
    mirrored = replace(_person(), xy=_person().xy * (-1, 1) + (200, 0))
    assert crossed_sides([mirrored], 0, COCO) == []


def test_hips_seen_from_the_side_say_nothing():
    x, y = _position("left_hip")
    person = _person(left_hip=(x - 20, y), right_hip=(x - 15, y))
    assert crossed_sides([person], 0, COCO) == []


def test_unlabelled_hips_say_nothing():
    person = _swap(_person(left_hip=None), COCO, LEGS)
    assert crossed_sides([person], 0, COCO) == []


def test_shoulders_that_hang_on_a_neck_are_a_trunk():
    mpii = read_skeleton("mpii16")
    body = Instance("person", (0, 0, 200, 200), 2 * np.array(lay_out(mpii)), np.full(16, 2))
    assert crossed_sides([body], 0, mpii) == []
    assert len(crossed_sides([_swap(body, mpii, LEGS)], 0, mpii)) == 1


def test_a_skeleton_without_sides_or_edges_has_nothing_to_cross():
    bare = Skeleton("bare", COCO.joints)
    assert find_suspects([_swap(_person(), COCO, LEGS)], bare) == [()]


def test_a_blown_up_limb_is_found_with_its_lengths():
    (suspicion,) = limb_lengths([_stretch(_person(), COCO, "left_knee", "left_ankle", 4)], 0, COCO)
    assert set(suspicion.joints) == {"left_knee", "left_ankle"}
    assert "128 px long, 4.0 times the other side's 32 px" in suspicion.text


def test_a_limb_longer_than_the_box_is_found_without_its_twin():
    person = _stretch(_person(right_ankle=None), COCO, "left_knee", "left_ankle", 9)
    (suspicion,) = limb_lengths([person], 0, COCO)
    assert "times the box's diagonal" in suspicion.text


def test_a_foreshortened_limb_is_not_suspicious():
    assert limb_lengths([_stretch(_person(), COCO, "left_elbow", "left_wrist", 0.1)], 0, COCO) == []


def test_unlabelled_ends_have_no_length():
    far = _stretch(_person(), COCO, "left_knee", "left_ankle", 9)
    hidden = np.where(np.arange(17) == COCO.find("left_ankle"), 0, 2)
    assert find_suspects([replace(far, visibility=hidden)], COCO) == [()]


@pytest.mark.parametrize(("low", "others", "found"), [(17, 0.35, 17), (9, 0.9, 9), (8, 0.9, None), (0, 0.45, None)])
def test_low_scores(low, others, found):
    scores = np.full(17, others)
    scores[:low] = min(others, 0.25)
    suspicions = low_scores([replace(_person(), joint_scores=scores)], 0, COCO)
    assert [len(suspicion.joints) for suspicion in suspicions] == ([] if found is None else [found])


def test_scores_of_unlabelled_joints_and_of_people_do_not_count():
    person = replace(_person(nose=None), joint_scores=np.where(np.arange(17) == 0, 0.0, 0.41))
    assert low_scores([person, _person()], 0, COCO) == low_scores([person, _person()], 1, COCO) == []
    (suspicion,) = low_scores([replace(person, joint_scores=np.full(17, 0.39))], 0, COCO)
    assert "16 joints is 0.39" in suspicion.text
    assert "nose" not in suspicion.joints


def test_joints_outside_the_box():
    assert outside_box([_person(left_wrist=(270, 100))], 0, COCO) != []
    assert outside_box([_person(left_wrist=(262, 100))], 0, COCO) == []
    (suspicion,) = outside_box([_person(left_wrist=(280, 100), nose=None)], 0, COCO)
    assert suspicion.joints == ("left_wrist",)
    assert "100 px outside the box, whose side is 173 px" in suspicion.text


def test_a_double_is_the_one_of_lower_score():
    low, high = replace(_person(), score=0.3), replace(_person(nose=(101, 25)), score=0.8)
    for pair, expected in (([low, high], [1, 0]), ([high, low], [0, 1]), ([low, low], [0, 1])):
        assert [len(doubles(pair, position, COCO)) for position in range(2)] == expected


def test_a_box_tells_a_double_where_joints_cannot():
    upper = _person(**dict.fromkeys(COCO.joints[7:]))
    lower = _person(**dict.fromkeys(COCO.joints[:7]))
    ((), (suspicion,)) = find_suspects([upper, lower], COCO)
    assert suspicion.rule == "doubles" and "IoU 1.00" in suspicion.text
    apart = replace(lower, bbox_xyxy=lower.bbox_xyxy + 60)
    assert doubles([upper, apart], 1, COCO) == []


def test_neighbours_crowds_and_other_categories_are_no_doubles():
    person = _person()
    beside = replace(person, xy=person.xy + np.array([60, 0]), bbox_xyxy=person.bbox_xyxy + np.array([60, 0, 60, 0]))
    crowd, cat = replace(person, is_crowd=True), replace(person, category="cat")
    for other in (beside, crowd, cat):
        assert doubles([other, person], 1, COCO) == []
    assert find_suspects([person, crowd], COCO)[1] == ()


def test_suspicions_name_their_rule_and_its_joints():
    bad = _stretch(_swap(_person(), COCO, LEGS), COCO, "left_elbow", "left_wrist", 8)
    bad = replace(bad, joint_scores=np.full(17, 0.2), score=0.1)
    suspicions = find_suspects([replace(_swap(_person(), COCO, LEGS), score=0.9), bad], COCO)[1]
    assert {suspicion.rule for suspicion in suspicions} == set(RULES)
    for suspicion in suspicions:
        assert set(suspicion.joints) <= set(COCO.joints)
        assert suspicion.joints and suspicion.text


def test_another_skeletons_joints_are_refused():
    with pytest.raises(CvatExportError, match="17 joints, expected 14"):
        find_suspects([_person()], read_skeleton("lsp14"))


coordinates = st.floats(-1e3, 1e3, width=32)


@given(
    st.lists(st.tuples(coordinates, coordinates), min_size=17, max_size=17),
    st.lists(st.integers(0, 2), min_size=17, max_size=17),
    st.tuples(coordinates, coordinates, coordinates, coordinates),
)
def test_positions_of_unlabelled_joints_do_not_matter(xy, flags, box):
    instance = Instance("person", box, xy, flags)
    (judged,) = find_suspects([instance], COCO)
    elsewhere = replace(instance, xy=np.where(instance.labelled[:, None], instance.xy, 12345))
    assert find_suspects([elsewhere], COCO) == [judged]


def test_two_subjects_without_joints_or_boxes():
    empty = Instance("person", (0, 0, 0, 0), np.zeros((17, 2)), np.zeros(17))
    assert find_suspects([empty, empty], COCO) == [(), ()]


TRUTHS = {  # file -> parts of the lower body; a cat has no hips in its skeleton
    "coco_people/annotations/person_keypoints_val.json": LEGS,
    "standing_people/annotations/person_keypoints.json": LEGS,
    "lspet/annotations/person_keypoints_train.json": LEGS,
    "cats/annotations/cat_keypoints_train.json": ("knee", "heel", "rear"),
}


@pytest.fixture(scope="module", params=TRUTHS)
def truth(request, shared_data):
    dataset = read_coco(shared_data / request.param)
    images = [[i for i in image.instances if i.labelled.any()] for image in dataset.images]
    return images[:2000], dataset.categories[0].skeleton, TRUTHS[request.param]


@pytest.mark.shared_data
def test_few_real_labels_are_suspicious(truth):
    images, skeleton, _ = truth
    judged = [suspicions for image in images for suspicions in find_suspects(image, skeleton)]
    fired = Counter(rule for suspicions in judged for rule in {suspicion.rule for suspicion in suspicions})
    assert sum(map(bool, judged)) < 0.05 * len(judged)
    assert all(count < 0.03 * len(judged) for count in fired.values()), fired


@pytest.mark.shared_data
def test_most_swapped_lower_bodies_are_suspicious(truth):
    images, skeleton, parts = truth
    needed = [j for j, name in enumerate(skeleton.joints) if any(p in name.casefold() for p in (*parts, "shoulder"))]
    whole = [instance for image in images for instance in image if instance.labelled[needed].all()]
    found = [bool(crossed_sides([_swap(i, skeleton, parts)], 0, skeleton)) for i in whole]
    assert len(found) > 100
    assert np.mean(found) > (0.7 if parts == LEGS else 0.5)  # cats are mostly seen from the side


@pytest.mark.shared_data
@pytest.mark.parametrize("limb", [("left_elbow", "left_wrist"), ("left_knee", "left_ankle")])
def test_most_blown_up_limbs_are_suspicious(truth, limb):
    images, skeleton, _ = truth
    if skeleton.find(limb[1]) is None:
        limb = {"left_wrist": ("left_elbow", "front_left_paw"), "left_ankle": ("left_heel", "rear_left_paw")}[limb[1]]
    needed = [joint for name in limb for joint in (skeleton.find(name), skeleton.flip_order[skeleton.find(name)])]
    whole = [instance for image in images for instance in image if instance.labelled[needed].all()]
    found = [bool(find_suspects([_stretch(i, skeleton, *limb, 4)], skeleton)[0]) for i in whole]
    assert len(found) > 100
    assert np.mean(found) > 0.7
