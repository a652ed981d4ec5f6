"""The benchmark of selection: its protocol with a learner that only counts, its figures, and its measuring."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.selection.climbing import START, WHOLE, Choice, Row, Score, climb
from benchmarks.selection.figures import (
    accuracies,
    area,
    gains,
    labels_needed,
    make_curves,
    overall,
    summarise,
    with_ends,
)
from benchmarks.selection.report import data_set_report, draw_curves, overall_report

SIZES = (2, 4, 8, 12)
NAMES = ("hybrid", "uniform")
IMAGES = 6


@dataclass
class Counting:
    """A learner that knows more the more it has, a little more if it was not drawn uniformly. calls: what was asked."""

    sizes: tuple[int, ...] = SIZES
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def first(self, seed):
        return tuple(range(seed, seed + self.sizes[0]))

    def score(self, labelled, seed):
        self.calls.append(("score", labelled, seed))
        odd = sum(row % 2 for row in labelled)
        return Score((10,) * IMAGES, {"0.1": (min(10, len(labelled) // 2 + odd // 3),) * IMAGES})

    def choose(self, choice):
        self.calls.append(("choose", choice))
        rest = [row for row in range(self.sizes[-1]) if row not in choice.labelled]
        if choice.strategy == "hybrid":
            rest.sort(key=lambda row: (row % 2 == 0, row))
        return tuple(rest[: choice.count])


def test_strategies_of_a_seed_begin_and_end_together(tmp_path):
    learner = Counting()
    rows = climb(learner, tmp_path, NAMES, range(2))
    assert [(row.strategy, row.seed, len(row.labelled)) for row in rows] == [
        (name, seed, size)
        for seed in (0, 1)
        for name, size in [(START, 2), ("hybrid", 4), ("hybrid", 8), ("uniform", 4), ("uniform", 8), (WHOLE, 12)]
    ]
    scored = [call for call in learner.calls if call[0] == "score"]
    assert len(scored) == len(rows)


def test_a_strategy_goes_on_from_what_it_chose(tmp_path):
    rows = {(row.strategy, len(row.labelled)): row for row in climb(Counting(), tmp_path, NAMES, [0])}
    assert rows[START, 2].chosen["hybrid"] == (3, 5)
    assert rows["hybrid", 4].labelled == (0, 1, 3, 5)
    assert rows["hybrid", 8].labelled == (0, 1, 3, 5, *rows["hybrid", 4].chosen["hybrid"])
    assert rows["hybrid", 8].chosen == {}  # what is left is all labelled next


def test_a_choice_knows_the_model_before(tmp_path):
    learner = Counting()
    climb(learner, tmp_path, ["hybrid"], [0])
    choices = [call[1] for call in learner.calls if call[0] == "choose"]
    assert choices == [
        Choice("hybrid", (0, 1), (), 2, 0),
        Choice("hybrid", (0, 1, 3, 5), (0, 1), 4, 0),
    ]


def test_what_is_there_is_not_done_again(tmp_path):
    first = climb(Counting(), tmp_path, NAMES, range(2))
    again = Counting()
    assert climb(again, tmp_path, NAMES, range(2)) == first
    assert again.calls == []


@pytest.mark.parametrize("lost", ["start-0", "hybrid-0-4", "hybrid-0-8", "uniform-0-8", "all-0"])
def test_only_what_is_missing_is_done(tmp_path, lost):
    whole = climb(Counting(), tmp_path, NAMES, range(2))
    path = tmp_path / f"{lost}.json"
    content = path.read_bytes()
    path.unlink()
    learner = Counting()
    assert climb(learner, tmp_path, NAMES, range(2)) == whole
    assert [call[0] for call in learner.calls].count("score") == 1
    assert path.read_bytes() == content


def test_more_seeds_are_added_to_those_that_are_there(tmp_path):
    few = climb(Counting(), tmp_path, NAMES, range(1))
    learner = Counting()
    assert climb(learner, tmp_path, NAMES, range(2))[: len(few)] == few
    assert {call[2] for call in learner.calls if call[0] == "score"} == {1}


def test_a_training_that_fails_leaves_no_row(tmp_path):
    class Failing(Counting):
        def choose(self, choice):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        climb(Failing(), tmp_path, NAMES, [0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("accuracy", "needed"),
    [
        ((0.0, 0.475, 0.9, 1.0), 20 * 2**0.5),  # 0.95 lies half way between the last two, on a scale of logarithms
        ((0.95, 0.96, 0.99, 1.0), 5),  # the first is enough already
        ((0.0, 0.95, 0.5, 1.0), 10),  # what comes later does not count
        ((0.0, 0.0, 0.0, 1.0), 20 * 2**0.95),
        ((0.5, 0.6, 1.2, 1.0), 10 * 2 ** (0.35 / 0.6)),
        ((0.5, 0.6, 0.7, math.nan), math.inf),
    ],
)
def test_labels_that_are_enough(accuracy, needed):
    assert labels_needed((5, 10, 20, 40), accuracy) == pytest.approx(needed)


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_labels_that_are_enough_are_between_the_first_and_all(accuracy):
    assert 5 * 0.999 <= labels_needed((5, 10, 20, 40), accuracy) <= 40 * 1.001


def test_many_curves_at_once():
    table = np.random.default_rng(0).random((7, 3, 4))
    found = labels_needed((5, 10, 20, 40), table)
    assert found.shape == (7, 3)
    assert found[4, 1] == labels_needed((5, 10, 20, 40), table[4, 1])


def test_the_area_is_the_mean_over_the_logarithm():
    assert area((1, 2, 4), (0.0, 1.0, 1.0)) == pytest.approx(0.75)
    assert area((1, 10, 1000), (0.5, 0.5, 0.5)) == pytest.approx(0.5)


def _curves(gain, seeds=4, noise=0.0, images=30):
    """Uniform, and another that is right in `gain` more of 100 joints an image between the first and the last size."""
    rng = np.random.default_rng(5)
    rows = []
    for seed in range(seeds):
        luck = rng.integers(-10, 10, images)  # of images: the same for all strategies of a seed
        for name, size, right in [
            (START, 2, 30),
            *((n, s, 40 + 2 * s) for n in NAMES for s in (4, 8)),
            (WHOLE, 12, 70),
        ]:
            more = gain if name == "hybrid" else 0
            counts = right + more + luck + np.round(noise * rng.standard_normal(images)).astype(int)
            rows.append(
                Row(name, seed, tuple(range(size)), Score((100,) * images, {"0.1": tuple(counts.tolist())}), {})
            )
    return make_curves(rows, NAMES, np.arange(images), "0.1")


def test_means_are_those_of_the_rows():
    curves = _curves(0)
    assert curves.sizes == (2, 4, 8, 12)
    assert np.diff(curves.means["uniform"]) == pytest.approx([0.18, 0.08, 0.14])


def test_differences_are_paired():
    curves = _curves(5)
    accuracy, gain = accuracies(curves, "hybrid")[1], gains(curves, "hybrid", "uniform")[1]
    assert accuracy.high - accuracy.low > 0.01  # images and seeds differ
    assert (gain.low, gain.value, gain.high) == pytest.approx((0.05, 0.05, 0.05))  # by the same for both


def test_noise_widens_what_is_known_of_a_difference():
    calm, loud = (gains(_curves(3, noise=noise), "hybrid", "uniform")[2] for noise in (2.0, 20.0))
    assert calm.low < 0.03 < calm.high
    assert loud.high - loud.low > 4 * (calm.high - calm.low)


def test_all_strategies_share_both_ends():
    for place in (0, -1):
        end = gains(_curves(7, noise=3.0), "hybrid", "uniform")[place]
        assert (end.low, end.value, end.high) == (0, 0, 0)


def test_images_of_a_group_are_drawn_together():
    rows = [
        Row(name, 0, tuple(range(size)), Score((10,) * 4, {"0.1": (10, 10, 0, 0)}), {})
        for name, size in [(START, 2), ("uniform", 4), (WHOLE, 8)]
    ]
    alone = accuracies(make_curves(rows, ["uniform"], np.arange(4), "0.1"), "uniform")[1]
    together = accuracies(make_curves(rows, ["uniform"], np.array([0, 0, 1, 1]), "0.1"), "uniform")[1]
    assert alone.value == together.value == 0.5
    assert (together.low, together.high) == (0, 1)
    assert set(make_curves(rows, ["uniform"], np.array([0, 0, 1, 1]), "0.1").resampled["uniform"].ravel()) == {
        0,
        0.5,
        1,
    }


def test_over_data_sets_areas_are_averaged_and_shares_multiplied():
    first, second = summarise(_curves(0)), summarise(_curves(10))
    both = overall([first, second])
    assert both.areas["hybrid"][0] == pytest.approx((first.areas["hybrid"][0] + second.areas["hybrid"][0]) / 2)
    shares = first.needed["hybrid"] * second.needed["hybrid"]
    assert both.needed["hybrid"] == pytest.approx(np.sqrt(shares))
    assert with_ends(both.needed["hybrid"]).low <= with_ends(both.needed["hybrid"]).high


def test_the_report_has_a_line_a_strategy():
    curves = _curves(5, noise=2.0)
    text = "\n".join(data_set_report("cats", curves, 4, "0.1")) + overall_report([curves, curves])
    assert text.count("\n| hybrid |") == 4
    assert text.count("\n| uniform |") == 3  # has no difference to itself
    assert "nan" not in text


def test_the_plot_is_a_png():
    pytest.importorskip("matplotlib")
    assert draw_curves({"cats": _curves(5), "mouse": _curves(0)}, "0.1").startswith(b"\x89PNG")
