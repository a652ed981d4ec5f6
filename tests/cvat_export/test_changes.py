"""What people changed, against recorded corrections of a CVAT server and by properties."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_export.changes import (
    ROUNDING_PX,
    SWAP_PX,
    Fate,
    InstanceChange,
    JointChange,
    compare,
    hull,
    match_instances,
    oks,
    rejoin_bbox,
    swapped_pairs,
)
from cvat_export.coco import read_coco
from cvat_export.cvat_labels import joint_ids
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton, read_skeleton

COCO = read_skeleton("coco17")
FACE = Skeleton("face", ("nose", "left_eye", "right_eye"), flip_pairs=((1, 2),))
BASE = Instance("face", (0, 0, 100, 100), ((50, 50), (60, 40), (40, 40)), (2, 2, 1))


def _with(instance, xy=None, visibility=None):
    """The instance with some joints' values replaced, by index."""
    points, flags = instance.xy.copy(), instance.visibility.copy()
    for joint, point in (xy or {}).items():
        points[joint] = point
    for joint, flag in (visibility or {}).items():
        flags[joint] = flag
    return replace(instance, xy=points, visibility=flags)


def _swapped(instance, pairs=FACE.flip_pairs):
    order = list(range(len(instance.visibility)))
    for left, right in pairs:
        order[left], order[right] = right, left
    return replace(instance, xy=instance.xy[order], visibility=instance.visibility[order])


coordinates = st.floats(0, 400, width=32)


@st.composite
def faces(draw):
    xy = draw(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=3))
    x, y = draw(coordinates), draw(coordinates)
    box = (x, y, x + draw(st.integers(1, 300)), y + draw(st.integers(1, 300)))
    return Instance("face", box, xy, draw(st.lists(st.integers(0, 2), min_size=3, max_size=3)))


@pytest.mark.shared_data
class TestRecorded:
    """Import, correction and job states of one recorded session."""

    @pytest.fixture
    def fates(self, shared_data):
        """Proposal id -> change, by the ids of CVAT's shapes, which survive a correction."""
        folder = shared_data / "cvat"
        (label,) = json.loads((folder / "labels.json").read_text("utf-8"))
        joints = joint_ids(label, COCO)
        before, after = (
            _shapes(folder / f"annotations_after_{name}.json", joints) for name in ("import", "correction")
        )
        changes = {}
        for identity in before | after:
            frame = (before | after)[identity][0]
            one, other = (shapes.get(identity, (0, None))[1] for shapes in (before, after))
            changes[identity] = compare(one, other, COCO, finished=True), frame
        return changes

    def test_every_change_is_found_and_nothing_else(self, fates):
        changes = {identity: change for identity, (change, _) in fates.items()}
        moved = float(np.hypot(5, 3))
        nose, wrist = changes[217].joints
        assert changes[217].fate is Fate.EDITED
        assert (nose.joint, nose.visibility_before, nose.visibility_after) == ("nose", 2, 2)
        assert nose.moved_px == pytest.approx(moved, abs=1e-4)
        assert wrist == JointChange("left_wrist", 0.0, 2, 1)
        swaps = {change.joint: change.swapped_with for change in changes[219].joints}
        assert swaps == {
            f"{side}_{part}": f"{other}_{part}"
            for part in ("hip", "knee", "ankle")
            for side, other in (("left", "right"), ("right", "left"))
        }
        assert all(change.moved_px is None for change in changes[219].joints)
        assert changes[289].joints == tuple(JointChange(f"{side}_ankle", None, 0, 2) for side in ("left", "right"))
        nothing = {identity: (change.fate, change.joints) for identity, change in changes.items()}
        assert nothing[220] == (Fate.DELETED, ())
        assert nothing[325] == (Fate.ADDED, ())
        assert nothing[218] == nothing[290] == (Fate.CONFIRMED, ())
        assert len(changes) == 7

    def test_boxes_come_back(self, shared_data):
        folder = shared_data / "cvat"
        (label,) = json.loads((folder / "labels.json").read_text("utf-8"))
        after = _shapes(folder / "annotations_after_correction.json", joint_ids(label, COCO))
        pushed = read_coco(folder / "pushed_person_keypoints_default.json").images
        untouched = rejoin_bbox(pushed[0].instances[0], after[218][1], 320, 240)
        assert untouched == pytest.approx(pushed[0].instances[0].bbox_xyxy)
        assert rejoin_bbox(pushed[1].instances[0], after[219][1], 320, 240) == pytest.approx(
            pushed[1].instances[0].bbox_xyxy, abs=0.01
        )
        before = pushed[3].instances[0]
        box = rejoin_bbox(before, after[289][1], 320, 240)
        margin = hull(before)[0] - before.bbox_xyxy[0]
        assert box[0] == pytest.approx(110 - margin, abs=0.01)  # the ankles were placed left of all other joints
        assert box[1:] == pytest.approx(before.bbox_xyxy[1:], abs=0.01)


def _shapes(path, joints):
    """Shape id -> frame and instance."""
    shapes = {}
    for shape in json.loads(path.read_text("utf-8"))["shapes"]:
        xy, visibility = np.zeros((17, 2)), np.zeros(17)
        for element in shape["elements"]:
            joint = joints[element["label_id"]]
            xy[joint] = element["points"]
            visibility[joint] = 0 if element["outside"] else 1 if element["occluded"] else 2
        shapes[shape["id"]] = shape["frame"], Instance("person", (0, 0, 320, 240), xy, visibility)
    return shapes


@pytest.mark.parametrize(
    ("finished", "fate"), [(True, Fate.CONFIRMED), (False, Fate.MACHINE_ONLY)], ids=["finished", "unfinished"]
)
def test_rounding_is_no_change(finished, fate):
    rounded = _with(BASE, {0: (50.0051, 49.9949)})
    assert compare(BASE, rounded, FACE, finished) == InstanceChange(fate)


def test_a_move_is_told_in_pixels():
    change = compare(BASE, _with(BASE, {0: (53, 46)}), FACE, True)
    assert change == InstanceChange(Fate.EDITED, (JointChange("nose", 5.0, 2, 2),))


@pytest.mark.parametrize(("before", "after"), [(0, 1), (0, 2), (1, 0), (2, 0)])
def test_a_joint_that_was_or_is_not_labelled_did_not_move(before, after):
    change = compare(_with(BASE, None, {0: before}), _with(BASE, {0: (9, 9)}, {0: after}), FACE, True)
    assert change == InstanceChange(Fate.EDITED, (JointChange("nose", None, before, after),))


def test_positions_of_unlabelled_joints_say_nothing():
    hidden = _with(BASE, None, {0: 0})
    assert compare(hidden, _with(hidden, {0: (9, 9)}), FACE, True).fate is Fate.CONFIRMED


def test_occlusion_alone_is_an_edit_without_a_move():
    change = compare(BASE, _with(BASE, None, {0: 1}), FACE, True)
    assert change == InstanceChange(Fate.EDITED, (JointChange("nose", 0.0, 2, 1),))


def test_a_swap_exchanges_names_and_takes_the_visibility_along():
    change = compare(BASE, _swapped(BASE), FACE, True)
    assert change.joints == (
        JointChange("left_eye", None, 1, 1, "right_eye"),
        JointChange("right_eye", None, 2, 2, "left_eye"),
    )


def test_a_swap_whose_visibility_stayed_is_told_against_the_partner():
    positions_only = _with(_swapped(BASE), None, {1: 2, 2: 1})
    left, right = compare(BASE, positions_only, FACE, True).joints
    assert (left.visibility_before, left.visibility_after) == (1, 2)
    assert (right.visibility_before, right.visibility_after) == (2, 1)


def test_a_swap_survives_rounding_but_not_a_move():
    swapped = _swapped(BASE)
    assert swapped_pairs(BASE, _with(swapped, {1: swapped.xy[1] + 0.0051}), FACE) == ((1, 2),)
    assert swapped_pairs(BASE, _with(swapped, {1: swapped.xy[1] + 0.1}), FACE) == ()


def test_joints_in_one_place_cannot_be_swapped():
    together = _with(BASE, {1: (40, 40)})
    assert swapped_pairs(together, _swapped(together), FACE) == ()


def test_a_pair_that_is_half_unlabelled_is_not_swapped():
    half = _with(BASE, None, {2: 0})
    assert swapped_pairs(half, _swapped(half), FACE) == ()


@pytest.mark.parametrize(
    ("proposal", "corrected", "finished", "fate"),
    [
        (BASE, None, True, Fate.DELETED),
        (BASE, None, False, Fate.MACHINE_ONLY),
        (None, BASE, True, Fate.ADDED),
        (None, BASE, False, Fate.ADDED),
    ],
)
def test_one_without_the_other(proposal, corrected, finished, fate):
    assert compare(proposal, corrected, FACE, finished) == InstanceChange(fate)


def test_unfinished_work_is_machine_only_and_says_what_was_done():
    change = compare(BASE, _with(BASE, {0: (53, 46)}), FACE, False)
    assert change == InstanceChange(Fate.MACHINE_ONLY, (JointChange("nose", 5.0, 2, 2),))


def test_another_category_is_an_edit():
    assert compare(BASE, replace(BASE, category="mask"), FACE, True) == InstanceChange(Fate.EDITED)


def test_nothing_and_a_strange_skeleton_are_refused():
    with pytest.raises(CvatExportError, match="neither"):
        compare(None, None, FACE, True)
    with pytest.raises(CvatExportError, match="got 3 joints, expected 17"):
        compare(BASE, BASE, COCO, True)


@given(faces())
def test_the_same_is_confirmed_with_its_own_box(face):
    assert compare(face, face, FACE, True) == InstanceChange(Fate.CONFIRMED)
    assert np.array_equal(rejoin_bbox(face, face, 50, 50), face.bbox_xyxy)


@given(faces())
def test_rounding_to_two_decimals_is_confirmed(face):
    rounded = replace(face, xy=np.round(face.xy.astype(float), 2))
    assert compare(face, rounded, FACE, True) == InstanceChange(Fate.CONFIRMED)


@given(faces())
def test_a_swap_and_a_swap_back_are_no_change(face):
    assert compare(face, _swapped(_swapped(face)), FACE, True).fate is Fate.CONFIRMED
    there, back = (swapped_pairs(*pair, FACE) for pair in ((face, _swapped(face)), (_swapped(face), face)))
    assert there == back
    apart = np.linalg.norm(face.xy[1].astype(float) - face.xy[2]) > 2 * SWAP_PX
    assert bool(there) == (apart and face.labelled[1:].all())


@given(faces(), faces())
def test_only_what_changed_is_listed(one, other):
    for change in compare(one, other, FACE, True).joints:
        moved = change.moved_px is not None and change.moved_px > ROUNDING_PX
        assert moved or change.swapped_with or change.visibility_before != change.visibility_after


@given(faces(), faces())
def test_a_rejoined_box_is_the_proposals_or_holds_what_is_labelled(one, other):
    box = rejoin_bbox(one, other, 400, 400)
    if not np.array_equal(box, one.bbox_xyxy):
        points = other.xy[other.labelled]
        assert (points >= box[:2] - 1e-3).all() and (points <= box[2:] + 1e-3).all()
        assert (box >= 0).all() and (box <= 400).all()


def test_a_box_keeps_its_margins_and_stays_in_the_image():
    proposal = replace(BASE, bbox_xyxy=(30, 45, 65, 60))  # beyond its hull by 10, none (it cuts the eyes), 5, 10
    assert rejoin_bbox(proposal, _with(BASE, {1: (90, 40), 0: (50, 70)}), 1000, 1000).tolist() == [30, 40, 95, 80]
    assert rejoin_bbox(proposal, _with(BASE, {1: (90, 40), 0: (50, 70)}), 92, 75).tolist() == [30, 40, 92, 75]


def test_a_box_follows_joints_that_became_labelled_or_unlabelled():
    box = (35, 35, 65, 55)  # 5 beyond all three joints
    proposal = replace(BASE, bbox_xyxy=box)
    assert rejoin_bbox(proposal, _with(BASE, None, {1: 0}), 99, 99).tolist() == [35, 35, 55, 55]
    assert rejoin_bbox(replace(_with(BASE, None, {1: 0}), bbox_xyxy=box), BASE, 99, 99).tolist() == [35, 35, 75, 55]


def test_boxes_where_nothing_is_labelled():
    nothing = _with(BASE, None, {0: 0, 1: 0, 2: 0})
    assert np.array_equal(rejoin_bbox(BASE, nothing, 99, 99), BASE.bbox_xyxy)
    assert rejoin_bbox(nothing, BASE, 99, 99).tolist() == hull(BASE).tolist()


def test_a_hull_is_of_labelled_joints_else_of_all_else_the_box():
    assert hull(BASE).tolist() == [40, 40, 60, 50]
    assert hull(_with(BASE, None, {2: 0})).tolist() == [50, 40, 60, 50]
    assert hull(_with(BASE, None, {0: 0, 1: 0, 2: 0})).tolist() == [40, 40, 60, 50]
    assert hull(Instance("box", (1, 2, 3, 4), np.zeros((0, 2)), ())).tolist() == [1, 2, 3, 4]


def test_oks_is_that_of_pycocotools():
    from pycocotools.coco import COCO as COCO_FILE
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(7)
    truth = Instance("person", (10, 20, 110, 220), rng.uniform(10, 200, (17, 2)), rng.integers(0, 3, 17))
    found = replace(truth, xy=truth.xy + rng.normal(0, 8, (17, 2)), visibility=np.full(17, 2))
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 100 * 200, "bbox": [10, 20, 100, 200]}
        | {"keypoints": np.column_stack([i.xy, i.visibility]).ravel().tolist(), "num_keypoints": 9, "score": 1.0}
        for i in (truth, found)
    ]
    header = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "person"}]}
    files = []
    for annotation in annotations:
        file = COCO_FILE()
        file.dataset = header | {"annotations": [annotation]}
        file.createIndex()
        files.append(file)
    evaluation = COCOeval(*files, "keypoints")
    evaluation._prepare()
    assert oks(truth, found, COCO) == pytest.approx(evaluation.computeOks(1, 1)[0, 0], abs=1e-6)


def test_nothing_in_common_is_no_similarity():
    assert oks(_with(BASE, None, {1: 0, 2: 0}), _with(BASE, None, {0: 0}), FACE) == 0
    assert oks(BASE, BASE, FACE) == 1


def _at(x, category="face"):
    return replace(BASE, xy=BASE.xy + np.array([x, 0]), bbox_xyxy=(x, 0, x + 100, 100), category=category)


def test_the_best_pairs_are_matched_first_and_one_to_one():
    first, second = [_at(0), _at(6)], [_at(5), _at(300)]
    assert match_instances(first, second, FACE, 0.1) == [(1, 0)]
    assert match_instances(first, [*second, _at(0.5)], FACE, 0.1) == [(0, 2), (1, 0)]


def test_ties_go_to_the_earliest():
    assert match_instances([_at(0), _at(0)], [_at(0), _at(0), _at(0)], FACE, 0.5) == [(0, 0), (1, 1)]


def test_categories_are_never_mixed():
    assert match_instances([_at(0)], [_at(0, "mask")], FACE, 0.0) == []


@given(st.lists(st.integers(0, 300), unique=True, max_size=6), st.lists(st.integers(0, 300), unique=True, max_size=6))
def test_matching_is_one_to_one_above_the_threshold_and_maximal(first, second):
    one, other = [_at(x) for x in first], [_at(x) for x in second]
    matches = match_instances(one, other, FACE, 0.3)
    assert len({i for i, _ in matches}) == len({j for _, j in matches}) == len(matches)
    assert all(oks(one[i], other[j], FACE) >= 0.3 for i, j in matches)
    left = [(i, j) for i in range(len(one)) for j in range(len(other)) if all(i != a and j != b for a, b in matches)]
    assert all(oks(one[i], other[j], FACE) < 0.3 for i, j in left)


@given(st.permutations(range(6)), st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_matching_is_the_same_both_ways_for_subjects_that_stand_apart(order, moves):
    one = [_at(150 * number) for number in range(6)]
    other = [_at(150 * number + moves[number]) for number in order]
    matches = match_instances(one, other, FACE, 0.3)
    assert matches == [(number, order.index(number)) for number in range(6)]
    assert sorted((j, i) for i, j in matches) == match_instances(other, one, FACE, 0.3)
