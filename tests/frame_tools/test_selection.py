"""Which frames are chosen, from figures that are made up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_tools.novelty import NEAR_DUPLICATE
from frame_tools.sampling import Timeline, fair_shares, scene_rows, uniform_rows
from frame_tools.selection import (
    Candidates,
    Wishes,
    select,
)


def footage(looks, sharpness=None, scene=None, blank=(), seconds=None, subjects=None, kinds=None):
    """A video whose frame i looks like the number looks[i]; all of its frames are candidates."""
    count = len(looks)
    sharp = np.full(count, 1.0) if sharpness is None else np.array(sharpness, float)
    is_blank = np.zeros(count, bool)
    is_blank[list(blank)] = True
    times = np.arange(count, dtype=float) if seconds is None else np.array(seconds, float)
    scenes = np.zeros(count, int) if scene is None else np.array(scene)
    embeddings = np.array(looks, np.float32).reshape(count, -1)
    flags = {kind: np.array(values, bool) for kind, values in (kinds or {}).items()}
    counts = None if subjects is None else np.array(subjects)
    return Timeline(times, scenes, sharp, is_blank), Candidates(np.arange(count), embeddings, sharp, counts, flags)


def choose(*videos, **wishes):
    return select([v[0] for v in videos], [v[1] for v in videos], Wishes(**wishes))


def rows(selection, video=0):
    return [choice.row for choice in selection.choices if choice.video == video]


def test_near_duplicates_are_left_out_and_counted():
    selection = choose(footage([0, 1, 2, 100, 101, 200]), count=6)
    looks = [[0, 1, 2, 100, 101, 200][row] for row in rows(selection)]
    assert len(looks) == 3 and {round(look, -2) for look in looks} == {0, 100, 200}
    assert selection.shortfalls == (
        "3 of 6: the other frames looked at are 3 near-duplicates, 0 blurred, 0 black, white or flat, "
        "0 within the gap; --method uniform takes them whatever they look like",
    )


def test_blurred_and_blank_frames_are_left_out():
    video = footage([0, 50, 100, 150, 200, 250], sharpness=[1, 1, 0.5, 1, 1, 1], blank=[4])
    selection = choose(video, count=6)
    assert rows(selection) == [0, 1, 3, 5]
    assert "1 blurred" in selection.shortfalls[0] and "1 black" in selection.shortfalls[0]


def test_a_scene_that_is_dim_throughout_is_not_called_blurred():
    video = footage([0, 50, 100, 150], sharpness=[1, 1, 0.6, 0.6], scene=[0, 0, 1, 1])
    assert rows(choose(video, count=4)) == [0, 1, 2, 3]


def test_every_scene_is_visited_before_any_twice():
    looks = [0, 300, 600, 900, 10, 14, 20]
    video = footage(looks, scene=[0, 0, 0, 0, 1, 1, 2])
    assert {(0, 0, 0, 0, 1, 1, 2)[row] for row in rows(choose(video, count=3))} == {0, 1, 2}


def test_the_most_different_come_first():
    video = footage([0, 10, 20, 30, 1000])
    assert 4 in rows(choose(video, count=2))


def test_of_equal_news_the_sharper_is_taken():
    video = footage([0, 0.5, 100, 100.5, 50], sharpness=[1, 0.8, 0.8, 1, 1])
    assert 3 in rows(choose(video, count=3)) and 2 not in rows(choose(video, count=3))


def test_min_gap_holds_for_every_method():
    video = footage(list(range(0, 4000, 100)), seconds=np.arange(40) / 10)
    for method, extra in (("diverse", {}), ("uniform", {}), ("scenes", {}), ("every", {"step": 2})):
        count = None if method == "every" else 20
        times = [row / 10 for row in rows(choose(video, count=count, method=method, min_gap_seconds=0.5, **extra))]
        assert len(times) >= 5
        assert min(np.diff(times)) >= 0.5 - 1e-9


def test_several_videos_share_fairly_and_hand_on_what_they_cannot_give():
    poor, rich = footage([0, 1]), footage(list(range(1000, 9000, 100)))
    selection = choose(poor, rich, footage(list(range(20000, 29000, 100))), count=10)
    assert len(rows(selection, 0)) == 1
    assert sorted((len(rows(selection, 1)), len(rows(selection, 2)))) == [4, 5]


def test_the_same_in_two_videos_is_taken_once():
    selection = choose(footage([0, 100]), footage([0, 100]), count=4)
    assert len(selection.choices) == 2


def test_wanted_kinds_are_taken_and_a_shortfall_is_told():
    kinds = {"crowded": [1, 1, 0, 0, 0], "empty": [0, 0, 0, 0, 1]}
    video = footage([0, 100, 200, 300, 400], subjects=[6, 7, 1, 1, 0], kinds=kinds)
    selection = choose(video, count=4, wanted={"crowded": 2, "empty": 2})
    reasons = {choice.row: choice.reason for choice in selection.choices}
    assert reasons[0].startswith("wanted: crowded") and reasons[1].startswith("wanted: crowded")
    assert reasons[4].startswith("wanted: empty") and len(reasons) == 4
    assert selection.shortfalls[0].startswith("empty: 1 of 2 wanted; 1 of the 5 frames")


def test_blurry_needs_no_detector():
    video = footage([0, 100, 200, 300, 400], sharpness=[1, 1, 0.3, 1, 0.4])
    selection = choose(video, count=3, wanted={"blurry": 2})
    assert {2, 4} < set(rows(selection))


def test_with_a_detector_empty_frames_come_last():
    video = footage([0, 100, 200, 300], subjects=[0, 1, 0, 1])
    assert rows(choose(video, count=2)) == [1, 3]


def test_another_seed_is_another_choice_and_the_same_seed_the_same():
    video = footage(list(np.random.default_rng(0).uniform(0, 10_000, 200)))
    chosen = {seed: rows(choose(video, count=5, seed=seed)) for seed in range(6)}
    assert all(rows(choose(video, count=5, seed=seed)) == chosen[seed] for seed in chosen)
    assert len({tuple(value) for value in chosen.values()}) > 2


def test_every_takes_every_third():
    selection = choose(footage([0] * 10), count=None, method="every", step=3)
    assert rows(selection) == [0, 3, 6, 9]


def test_uniform_is_even_in_time_not_in_frames():
    seconds = np.concatenate([np.linspace(0, 1, 100), np.linspace(2, 10, 9)])
    times = seconds[uniform_rows(seconds, 5)]
    assert np.allclose(times, [1, 3, 5, 7, 9], atol=0.5)


@given(st.integers(1, 60), st.integers(0, 80), st.integers(0, 3))
def test_uniform_rows_are_distinct_and_in_order(frames, count, seed):
    chosen = uniform_rows(np.arange(frames) / 7, count, seed)
    assert chosen == sorted(set(chosen)) and all(0 <= row < frames for row in chosen)
    assert len(chosen) <= count


@given(st.integers(1, 60), st.integers(1, 60))
def test_uniform_takes_as_many_as_it_can(frames, count):
    assert len(uniform_rows(np.arange(frames) / 7, count)) == min(frames, count)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=6), st.integers(0, 100))
def test_shares_are_fair(available, count):
    shares = fair_shares(available, count)
    assert sum(shares) == min(count, sum(available))
    assert all(share <= most for share, most in zip(shares, available, strict=True))
    for share, most in zip(shares, available, strict=True):
        assert share == most or share >= max(shares) - 1


def test_scenes_take_the_sharpest_of_each_and_longest_first():
    timeline, _ = footage([0] * 10, sharpness=[1, 2, 1, 1, 1, 1, 5, 1, 1, 9], scene=[0] * 3 + [1] * 5 + [2] * 2)
    assert [row for row, _ in scene_rows(timeline, 3)] == [1, 6, 9]
    assert [row for row, _ in scene_rows(timeline, 1)] == [6]
    assert len(scene_rows(timeline, 50)) == 10


@pytest.mark.parametrize("distance", [NEAR_DUPLICATE * 0.9, NEAR_DUPLICATE * 1.1])
def test_the_limit_of_near_duplicates(distance):
    assert len(choose(footage([0, distance]), count=2).choices) == (1 if distance < NEAR_DUPLICATE else 2)
