"""A template in CVAT is readable: joints apart, inside, and the subject's left on the viewer's right."""

from itertools import combinations
from math import dist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_export.skeleton import Skeleton, embedded_skeletons, read_skeleton
from cvat_export.skeleton_layout import MARGIN, MIN_GAP, lay_out


def _skeleton(count, edges=()):
    return Skeleton("s", tuple(f"joint {number}" for number in range(count)), tuple(edges))


def _least_gap(points):
    return min(dist(a, b) for a, b in combinations(points, 2))


def _all_inside(points):
    return all(MARGIN <= value <= 100 - MARGIN for point in points for value in point)


@pytest.mark.parametrize("name", embedded_skeletons())
def test_embedded_skeletons_are_readable(name):
    skeleton = read_skeleton(name)
    points = lay_out(skeleton)
    assert len(points) == len(skeleton.joints)
    assert _least_gap(points) >= MIN_GAP - 0.01
    assert _all_inside(points)


@pytest.mark.parametrize("name", ["blazepose33", "cat16", "coco17", "lsp14", "mouse4", "mpii16"])
def test_the_subjects_left_is_on_the_viewers_right(name):
    skeleton = read_skeleton(name)
    points = lay_out(skeleton)
    assert all(points[left][0] > points[right][0] for left, right in skeleton.flip_pairs)


def test_a_body_stands():
    skeleton = read_skeleton("coco17")
    heights = dict(zip(skeleton.joints, (y for _, y in lay_out(skeleton)), strict=True))
    parts = ("left_eye", "nose", "left_shoulder", "left_elbow", "left_hip", "left_knee", "left_ankle")
    assert [heights[part] for part in parts] == sorted(heights[part] for part in parts)


def test_what_hangs_on_a_body_is_the_same_on_both_sides():
    coco = read_skeleton("coco17")
    joints = (*coco.joints, *(f"{side}_tool{n}" for side in ("left", "right") for n in (1, 2)))
    held = ((9, 17), (9, 18), (10, 19), (10, 20))
    points = lay_out(Skeleton("s", joints, (*coco.edges, *held), (*coco.flip_pairs, (17, 19), (18, 20))))
    for left, right in ((17, 19), (18, 20)):
        assert points[left][0] + points[right][0] == pytest.approx(100, abs=0.02)
        assert points[left][1] == pytest.approx(points[right][1], abs=0.02)
        assert points[left][1] > points[9][1] or points[left][0] > points[9][0]


def test_a_body_is_known_by_its_aliases_and_spelling():
    odd = Skeleton(
        "s",
        ("L_SH", "Right Shoulder", "left-hip", "RightHip"),
        (),
        ((0, 1), (2, 3)),
        aliases={"L_SH": ("left_shoulder",)},
    )
    coco = dict(zip(read_skeleton("coco17").joints, lay_out(read_skeleton("coco17")), strict=True))
    assert lay_out(odd) == tuple(coco[n] for n in ("left_shoulder", "right_shoulder", "left_hip", "right_hip"))


def test_children_of_a_tree_are_below_it():
    points = lay_out(_skeleton(4, [(0, 1), (0, 2), (2, 3)]))
    assert points[0][1] < points[1][1] == points[2][1] < points[3][1]


@given(st.integers(2, 40), st.data())
def test_any_skeleton_is_readable_and_always_looks_the_same(count, data):
    ends = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(ends, ends).filter(lambda edge: edge[0] != edge[1]), max_size=2 * count))
    skeleton = _skeleton(count, edges)
    points = lay_out(skeleton)
    assert _least_gap(points) >= MIN_GAP - 0.01
    assert _all_inside(points)
    assert points == lay_out(skeleton)


def test_more_joints_than_fit_at_the_full_gap_are_placed_nearer():
    points = lay_out(_skeleton(700))
    assert 1 < _least_gap(points) < MIN_GAP
    assert _all_inside(points)


def test_one_joint_is_placed():
    assert _all_inside(lay_out(_skeleton(1)))
