"""The figures' kinematics: bones keep their length, feet stay where they stand, left is left."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_export.skeleton import read_skeleton
from demo.figures import JOINTS, SHIN, THIGH, UPPER_ARM, Figure, Gesture, joint_positions, pose

seconds = st.floats(0, 30)


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    runs = draw(st.booleans())
    return Figure(
        suit=0,
        height=draw(st.floats(1.4, 2.0)),
        start=(draw(st.floats(-5, 5)), draw(st.floats(3, 9))),
        heading=draw(st.floats(-math.pi, math.pi)),
        speed=draw(st.floats(2.0, 2.5)) if runs else draw(st.floats(0, 1.2)),
        cadence=1.35 if runs else 0.95,
        stance=0.42 if runs else 0.6,
        phase=draw(st.floats(0, 1)),
        gesture=draw(st.sampled_from(Gesture)),
    )


def test_joints_are_those_of_coco_in_their_order() -> None:
    assert read_skeleton("coco17").joints == JOINTS


@given(figures(), seconds)
def test_bones_keep_their_length(figure: Figure, now: float) -> None:
    points = pose(figure, now)
    for side in ("left", "right"):
        for ends, length in ((("hip", "knee"), THIGH), (("knee", "ankle"), SHIN), (("shoulder", "elbow"), UPPER_ARM)):
            a, b = (points[f"{side}_{end}"] for end in ends)
            assert np.linalg.norm(a - b) == pytest.approx(length * figure.height, rel=2e-3)


@given(figures(), seconds)
def test_nobody_sinks_into_the_floor_or_flies(figure: Figure, now: float) -> None:
    points = pose(figure, now)
    lowest = min(points[name][2] for name in ("left_toe", "right_toe", "left_ankle", "right_ankle"))
    assert -0.03 * figure.height < lowest < 0.12 * figure.height  # a runner has both feet off the ground for a while


@given(st.floats(0.6, 1.2), st.floats(0, 1))
def test_a_standing_foot_does_not_slide(speed: float, phase: float) -> None:
    figure = Figure(0, 1.75, (0.0, 5.0), 0.0, speed, phase=phase)
    planted = [t for t in np.linspace(0, 1, 101) if (phase + figure.cadence * t) % 1 < 0.4 * figure.stance]
    places = [pose(figure, t)["left_ankle"][0] for t in planted if t <= planted[0] + 0.2]
    assert np.ptp(places) < 0.02


@given(figures(), seconds)
def test_left_is_to_the_left_of_the_way(figure: Figure, now: float) -> None:
    points = pose(figure, now)
    left = np.array([-math.sin(figure.heading), math.cos(figure.heading), 0])
    for joint in ("eye", "ear", "shoulder", "hip", "knee", "ankle"):
        assert (points[f"left_{joint}"] - points[f"right_{joint}"]) @ left > 0


def test_legs_swing_against_each_other_and_arms_against_legs() -> None:
    figure = Figure(0, 1.75, (0.0, 5.0), 0.0, 1.1)
    x = np.array([joint_positions(pose(figure, t))[:, 0] - 1.1 * t for t in np.arange(0, 4, 0.04)])
    ankles = x[:, JOINTS.index("left_ankle")], x[:, JOINTS.index("right_ankle")]
    wrist = x[:, JOINTS.index("left_wrist")]
    assert np.corrcoef(*ankles)[0, 1] < -0.5
    assert np.corrcoef(wrist, ankles[0])[0, 1] < -0.5
