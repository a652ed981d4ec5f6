"""Strategies as pure functions: what each of them promises of any pool."""

import multiprocessing
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotator.acquisition.core_set import k_centres
from annotator.acquisition.pool import SIGNALS, Pool
from annotator.acquisition.strategies import STRATEGIES, Wish, ranks
from annotator.errors import AnnotatorError
from benchmarks.select import Journal, measure, random_pool

CELLS = st.integers(-20, 20).map(float)  # whole numbers: their distances are exact in float32


@st.composite
def pools(draw):
    """Small pools with at least one candidate, doubles among the embeddings, and signals missing here and there."""
    n = draw(st.integers(1, 30))
    embeddings = draw(hnp.arrays(np.float32, (n, 3), elements=CELLS))
    labelled, held_out = (draw(hnp.arrays(np.bool_, n)) for _ in range(2))
    labelled[0] = held_out[0] = False
    values = st.one_of(st.just(float("nan")), st.integers(0, 4).map(lambda tenths: tenths / 10))
    signals = {name: draw(hnp.arrays(np.float64, n, elements=values)) for name in SIGNALS}
    for name in ("peaks", "models"):
        signals[name][0] = 0.2
    return Pool(embeddings, labelled, held_out, signals, {"looks": slice(0, 1), "pose": slice(1, 3)})


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=30)
@given(pool=pools(), count=st.integers(1, 40), seed=st.integers(0, 3), share=st.floats(0, 1))
def test_as_many_as_wanted_each_once_and_never_what_is_labelled_or_held_out(name, pool, count, seed, share):
    wish = Wish(count, seed, share)
    picks = STRATEGIES[name](pool, wish)
    indices = [pick.index for pick in picks]
    assert len(indices) == len(set(indices)) == min(count, len(pool.candidates))
    assert set(indices) <= set(pool.candidates.tolist())
    assert all(pick.reason for pick in picks)
    assert STRATEGIES[name](pool, wish) == picks


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=30)
@given(pool=pools(), count=st.integers(1, 10))
def test_what_is_held_out_changes_nothing(name, pool, count):
    kept = ~pool.held_out
    without = Pool(
        pool.embeddings[kept],
        pool.labelled[kept],
        pool.held_out[kept],
        {signal: values[kept] for signal, values in pool.signals.items()},
        pool.blocks,
    )
    places = np.flatnonzero(kept)
    mapped = [replace(pick, index=int(places[pick.index])) for pick in STRATEGIES[name](without, Wish(count))]
    assert tuple(mapped) == STRATEGIES[name](pool, Wish(count))


@given(points=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(2)), elements=CELLS), data=st.data())
def test_k_centres_are_at_most_twice_as_far_as_the_best(points, data):
    count = data.draw(st.integers(1, len(points)))
    had = data.draw(hnp.arrays(np.float32, st.tuples(st.integers(0, 2), st.just(2)), elements=CELLS))
    rows = [centre.row for centre in k_centres(points, count, had, data.draw(st.integers(0, 2)))]
    assert len(set(rows)) == count
    best = min(
        _furthest(points, np.concatenate([had, points[list(c)]])) for c in combinations(range(len(points)), count)
    )
    assert _furthest(points, np.concatenate([had, points[rows]])) <= 2 * best + 1e-3


def _furthest(points, centres):
    """By the definition, in float64."""
    apart = points[:, None].astype(np.float64) - centres[None].astype(np.float64)
    return float(np.sqrt((apart**2).sum(axis=2)).min(axis=1).max())


def test_distances_are_those_of_the_definition_across_blocks():
    rng = np.random.default_rng(0)
    points, had = (rng.standard_normal((count, 3)).astype(np.float32) for count in (2500, 2100))
    (centre,) = k_centres(points, 1, had)
    distances = np.concatenate([_nearest(points[start : start + 500], had) for start in range(0, 2500, 500)])
    assert centre.row == distances.argmax()
    assert centre.distance == pytest.approx(distances.max(), abs=1e-3)


def _nearest(points, centres):
    return np.sqrt(((points[:, None].astype(np.float64) - centres[None]) ** 2).sum(axis=2)).min(axis=1)


def _graded_pool(n=200):
    """Frames on a line; the higher the number, the less sure the model."""
    line = np.linspace(0, 10, n, dtype=np.float32)[:, None]
    no = np.zeros(n, bool)
    return Pool(line, no, no, {"peaks": np.linspace(0, 1, n), "models": np.linspace(1, 0, n)})


@pytest.mark.parametrize("name", ["uniform", "hybrid"])
def test_the_uniform_share_is_unbiased(name):
    """The mean of its doubts over many seeds is that of all frames, though the other frames are the doubtful ones."""
    pool = _graded_pool()
    means, seen = [], np.zeros(200)
    for seed in range(400):
        drawn = [p for p in STRATEGIES[name](pool, Wish(40, seed, 0.5)) if p.reason.startswith("uniform")]
        indices = [pick.index for pick in drawn]
        assert len(drawn) == (40 if name == "uniform" else 20)
        assert drawn[0].figures["inclusion_probability"] == len(drawn) / 200
        means.append(pool.signals["peaks"][indices].mean())
        seen[indices] += 1
    sampled = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - 0.5) < 4 * sampled
    expected = 400 * len(drawn) / 200
    assert abs(seen - expected).max() < 5 * np.sqrt(expected)


def test_uncertain_takes_the_least_sure_and_says_by_what():
    picks = STRATEGIES["uncertain"](_graded_pool(), Wish(3))
    assert [pick.index for pick in picks] == [199, 198, 197]
    assert picks[1].reason == "uncertain: several peaks a joint (entropy 0.99), above 99% of frames"
    assert picks[0].figures == {"uncertainty": 0.995, "peaks": 1.0}


def test_disagreement_takes_the_models_where_there_are_two_else_the_detector():
    pool = _graded_pool()
    assert STRATEGIES["disagreement"](pool, Wish(1))[0].index == 0
    alone = replace(pool, signals={"detector": pool.signals["peaks"]})
    (pick,) = STRATEGIES["disagreement"](alone, Wish(1))
    assert pick.index == 199 and "box and joints disagree (IoU 0.00)" in pick.reason


def test_diverse_goes_where_nothing_is_labelled():
    line = np.arange(11, dtype=np.float32)[:, None]
    labelled = np.zeros(11, bool)
    labelled[:4] = True
    pool = Pool(line, labelled, np.zeros(11, bool), blocks={"looks": slice(0, 1)})
    picks = STRATEGIES["diverse"](pool, Wish(2))
    assert [pick.index for pick in picks] == [10, 6]
    assert picks[1].reason == "diverse: 3.00 from the nearest labelled or selected frame (100% looks)"


def test_hybrid_takes_doubtful_frames_that_are_not_doubles():
    """Half of the frames are doubtful and all but one of these the same picture."""
    embeddings = np.zeros((40, 2), np.float32)
    embeddings[39] = 5
    no = np.zeros(40, bool)
    pool = Pool(embeddings, no, no, {"peaks": np.where(np.arange(40) < 20, 0.0, 1.0)})
    picks = STRATEGIES["hybrid"](pool, Wish(4, uniform_share=0))
    assert 39 in {pick.index for pick in picks}
    assert all(pick.index >= 20 and "; diverse: " in pick.reason for pick in picks)


@pytest.mark.parametrize("name", STRATEGIES)
def test_of_nothing_nothing_is_selected(name):
    everything = np.ones(3, bool)
    pool = Pool(np.zeros((3, 2), np.float32), everything, ~everything, {"peaks": np.zeros(3)})
    assert STRATEGIES[name](pool, Wish(2)) == ()


def test_without_signals_the_reason_is_an_error():
    no = np.zeros(3, bool)
    pool = Pool(np.zeros((3, 1), np.float32), no, no, {"peaks": np.full(3, np.nan)})
    with pytest.raises(AnnotatorError, match="none of the signals peaks, flip, shift, jump for any of 3 frames"):
        STRATEGIES["uncertain"](pool, Wish(1))


def test_ranks():
    np.testing.assert_array_equal(ranks(np.array([0.2, np.nan, 0.1, 0.2, 0.9])), [0.25, np.nan, 0, 0.25, 0.75])


@pytest.mark.slow
def test_a_long_journal_in_little_memory():
    """A quarter of a million frames; what a strategy takes beside the arrays is at most as much again."""
    journal = Journal(frames=250_000, size=64, labelled=500, wanted=100)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as process:
        _, _, base = process.apply(measure, ("uniform", journal))
        _, processor_seconds, most = process.apply(measure, ("diverse", journal))
    arrays = random_pool(journal).embeddings.nbytes / 2**20
    assert most - base < 1.5 * arrays
    assert processor_seconds < 30
