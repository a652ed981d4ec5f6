"""The gate, by hand at each of its borders, and by what must hold of all of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.errors import AnnotatorError
from annotator.gate import FASTER, MARGIN, format_difference, judge
from trainers.metrics.bootstrap import Difference, Interval, interval, share_above_zero


def apart(value, low, high):
    return Difference(Interval(value, low, high), 0.5)


def test_the_first_model_is_accepted():
    assert judge(None, None, "PCK@0.1") == judge(None, 0.5, "OKS AP")
    assert judge(None, None, "PCK@0.1").accepted and "first" in judge(None, None, "PCK@0.1").reason


@pytest.mark.parametrize(
    ("found", "speed", "accepted", "reason"),
    [
        ((0.031, 0.012, 0.049), None, True, "OKS AP +0.031 [+0.012, +0.049]: better"),
        ((0.031, 0.012, 0.049), 0.5, True, "OKS AP +0.031 [+0.012, +0.049]: better, though only 0.50 times as fast"),
        ((-0.031, -0.049, -0.012), 3.0, False, "OKS AP -0.031 [-0.049, -0.012]: worse: the old one stays"),
        (
            (0.004, -0.010, 0.018),
            1.02,
            False,
            "OKS AP +0.004 [-0.010, +0.018]: not told apart, and as fast as the old one: the old one stays",
        ),
        (
            (0.004, -0.010, 0.018),
            0.7,
            False,
            "OKS AP +0.004 [-0.010, +0.018]: not told apart, and only 0.70 times as fast: the old one stays",
        ),
        (
            (0.004, -0.010, 0.018),
            None,
            False,
            "OKS AP +0.004 [-0.010, +0.018]: not told apart, and speed was not measured: the old one stays",
        ),
        ((0.004, -0.010, 0.018), 1.4, True, "OKS AP +0.004 [-0.010, +0.018]: not told apart, and 1.40 times as fast"),
        (
            (0.004, -0.030, 0.038),
            1.4,
            False,
            "OKS AP +0.004 [-0.030, +0.038]: not told apart, and 1.40 times as fast, but a loss of 0.02 or more is not "
            "ruled out: the old one stays; with more frames held out it may be",
        ),
    ],
)
def test_the_verdict_and_its_reason(found, speed, accepted, reason):
    verdict = judge(apart(*found), speed, "OKS AP")
    assert (verdict.accepted, verdict.reason) == (accepted, reason)


def test_the_borders():
    assert judge(apart(0.0, 0.0, 0.0), FASTER, "PCK").accepted  # the same model, made faster
    assert not judge(apart(0.01, 0.0, 0.02), None, "PCK").accepted
    assert not judge(apart(0.0, -MARGIN, 0.01), FASTER, "PCK").accepted
    assert not judge(apart(-0.01, -0.02, 0.0), 1.0, "PCK").accepted


def test_without_an_interval_the_old_one_stays_and_it_says_what_to_do():
    single = np.array([0.05, 0.05])
    verdict = judge(Difference(interval(0.05, single, groups=1), share_above_zero(single)), 2.0, "PCK@0.1")
    assert not verdict.accepted
    assert verdict.reason.startswith("PCK@0.1 +0.050 without an interval: the evaluation set is too small")
    assert "hold out more frames" in verdict.reason


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_a_speed_that_is_none(speed):
    with pytest.raises(AnnotatorError, match="expected a positive number"):
        judge(apart(0.0, -0.01, 0.01), speed, "PCK")


_ENDS = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(sorted)
_SPEEDS = st.none() | st.floats(0.01, 100)


@given(_ENDS, _SPEEDS, st.floats(0, 0.5), st.floats(1, 10))
def test_a_better_or_faster_model_is_never_judged_worse(ends, speed, more, times):
    low, value, high = ends
    verdict = judge(apart(value, low, high), speed, "PCK")
    better = judge(apart(value + more, low + more, high + more), speed, "PCK")
    faster = judge(apart(value, low, high), None if speed is None else speed * times, "PCK")
    assert better.accepted >= verdict.accepted and faster.accepted >= verdict.accepted


@given(_ENDS, _SPEEDS)
def test_a_reason_has_the_numbers_and_says_who_stays(ends, speed):
    low, value, high = ends
    verdict = judge(apart(value, low, high), speed, "PCK")
    assert verdict.reason.startswith(f"PCK {format_difference(Interval(value, low, high))}: ")
    assert verdict.accepted != ("the old one stays" in verdict.reason)
    assert verdict.accepted <= (low > -MARGIN)
