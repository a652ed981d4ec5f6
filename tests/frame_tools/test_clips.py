"""The clip plan, and places as people write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_tools.clips import ClipSettings, plan_clips
from frame_tools.errors import FrameToolsError
from frame_tools.timing import Position, parse_position

steps = st.integers(1, 12)


def frames(count, **settings):
    return [list(clip.frames) for clip in plan_clips(count, ClipSettings(**settings))]


def test_plans_as_documented():
    assert frames(10) == [list(range(10))]
    assert frames(10, size=3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert frames(10, size=3, step=2) == [[0, 2, 4], [6, 8, 10]][:1]
    assert frames(11, size=3, step=2) == [[0, 2, 4], [6, 8, 10]]
    assert frames(10, size=3, step=2, clip_step=1) == [[s, s + 2, s + 4] for s in range(6)]
    assert frames(10, step=4) == [[0, 4, 8]]
    assert frames(5, size=8) == [[0, 1, 2, 3, 4]]
    assert frames(0, size=8) == []


@given(st.integers(0, 200), steps, steps, steps)
def test_clips_are_whole_evenly_spaced_and_as_many_as_fit(count, step, size, clip_step):
    clips = list(plan_clips(count, ClipSettings(step, size, clip_step)))
    reach = (size - 1) * step + 1
    if count < reach:
        assert len(clips) <= 1
        return
    assert [clip.frames[0] for clip in clips] == list(range(0, count - reach + 1, clip_step))
    for clip in clips:
        assert len(clip.frames) == size and clip.frames[-1] < count and clip.frames.step == step
    assert [clip.name for clip in clips] == sorted({clip.name for clip in clips})


@pytest.mark.parametrize("name", ["step", "size", "clip_step"])
def test_a_plan_without_progress_is_refused(name):
    with pytest.raises(FrameToolsError, match=f"{name} is 0"):
        ClipSettings(**{name: 0})


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("90", Position(seconds=Fraction(90))),
        ("90.5", Position(seconds=Fraction(181, 2))),
        ("1:30", Position(seconds=Fraction(90))),
        ("01:00:01.25", Position(seconds=Fraction(14405, 4))),
        ("2700f", Position(ordinal=2700)),
    ],
)
def test_places_are_read_exactly(text, position):
    assert parse_position(text) == position


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:2:3:4", "f", "1.5f", "ten", "1:99:00", "nan"])
def test_other_places_are_refused(text):
    with pytest.raises(FrameToolsError, match="expected seconds"):
        parse_position(text)
