"""Samples' fields: positions as shares, sides that together are the whole, and fingerprints that tell changes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.review.documents import SIDES, describe, fingerprint, side_edges
from annotator.review.frames import ReviewedFrame, ReviewedSubject
from cvat_export.skeleton import read_skeleton
from tests.annotator.review.folders_to_review import HEIGHT, SKELETON, WIDTH, frame_name, person

SKELETONS = {"person": SKELETON}


def described(tmp_path, *people):
    subjects = tuple(map(ReviewedSubject, people))
    frame = ReviewedFrame(frame_name(1), tmp_path / "a.jpg", WIDTH, HEIGHT, "", proposals=subjects)
    return describe(frame, SKELETONS)


@pytest.mark.parametrize("name", ["coco17", "lsp14", "mpii16"])
def test_each_edge_is_drawn_once(name):
    skeleton = read_skeleton(name)
    parts = [tuple(edge) for side in (*SIDES, None) for edge in side_edges(skeleton, side)]
    assert sorted(parts) == sorted(skeleton.edges)
    assert all(skeleton.sides[joint] == side for side in SIDES for edge in side_edges(skeleton, side) for joint in edge)


@given(hidden=st.sets(st.integers(0, 16)))
def test_sides_hold_their_joints_in_their_places(tmp_path_factory, hidden):
    seen = [0 if joint in hidden else 2 for joint in range(17)]
    fields = described(tmp_path_factory.getbasetemp(), person(40, 30, visibility=seen))
    whole = fields["proposals"][0]["points"]
    for joint, side in enumerate(SKELETON.sides):
        for own in SIDES:
            for part in fields[f"proposals_{own}"]:
                assert part["points"][joint] == (whole[joint] if side == own else None)
        assert (whole[joint] is None) == (joint in hidden)


def test_positions_are_shares_of_the_sides(tmp_path):
    fields = described(tmp_path, person(80, 60))
    assert fields["proposals"][0]["points"][0] == [0.5, 0.5]
    assert fields["proposal_boxes"][0]["bounding_box"] == pytest.approx(
        [70 / 160, 55 / 120, 20 / 160, 62 / 120], abs=1e-5
    )
    assert fields["frame_id"] == "ab12cd34-100"
    json.dumps(fields, allow_nan=False)


def test_a_fingerprint_tells_a_change(tmp_path):
    first, again, other = (fingerprint(described(tmp_path, person(x, 60))) for x in (80, 80, 81))
    assert first == again != other
