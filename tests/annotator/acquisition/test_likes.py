"""Frames like hard ones: as many as promised, each once, never held out, and the nearest."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.acquisition.likes import LIKE_SHARE, with_likes
from annotator.acquisition.pool import Pool
from annotator.acquisition.strategies import STRATEGIES, Wish
from tests.annotator.acquisition.test_strategies import pools


@settings(max_examples=60)
@given(pool=pools(), count=st.integers(1, 40), seed=st.integers(0, 3), data=st.data())
def test_a_quarter_at_most_each_once_and_never_what_is_labelled_or_held_out(pool, count, seed, data):
    rows = data.draw(st.sets(st.integers(0, len(pool.labelled) - 1)))
    picks = with_likes(pool, {row: f"{row}.jpg" for row in rows}, Wish(count, seed), STRATEGIES["diverse"])
    indices = [pick.index for pick in picks]
    likes = [pick for pick in picks if pick.reason.startswith("like:")]
    assert len(indices) == len(set(indices)) <= count
    assert set(indices) <= set(pool.candidates.tolist())
    assert len(likes) <= count * LIKE_SHARE
    if rows and not pool.held_out[list(rows)].all():
        assert len(indices) == min(count, len(pool.candidates))


@given(pool=pools(), count=st.integers(1, 10))
def test_without_hard_frames_it_is_the_strategy(pool, count):
    assert with_likes(pool, {}, Wish(count), STRATEGIES["diverse"]) == STRATEGIES["diverse"](pool, Wish(count))


def test_the_nearest_are_taken_by_turns_with_the_reason():
    places = np.array([[0.0], [100.0], [1.0], [2.0], [99.0], [50.0], [51.0], [52.0]], np.float32)
    labelled = np.arange(8) < 2
    pool = Pool(places, labelled, np.zeros(8, bool))
    picks = with_likes(pool, {0: "a.jpg", 1: "b.jpg"}, Wish(8), lambda pool, wish: ())
    assert [pick.index for pick in picks] == [2, 4]
    assert picks[0].reason == "like: 1.00 from a.jpg, which somebody tagged hard"
