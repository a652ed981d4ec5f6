"""Tables as the README shows them, and the plot."""

import math

import pytest

from benchmarks.released.robustness import BOXES, POSES, draw_robustness
from benchmarks.tables import figure_table, markdown, with_interval
from trainers.metrics.bootstrap import Interval

NAN = math.nan


def test_a_table_of_markdown():
    assert markdown(("", "a"), [("x", "1"), ("--- y", "2")]).splitlines() == [
        "|  | a |",
        "|---|---|",
        "| x | 1 |",
        "| --- y | 2 |",
    ]


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (Interval(0.71749, 0.69, 0.7424), "0.717 [0.690, 0.742]"),
        (Interval(1.0, NAN, NAN), "1.000"),
        (Interval(NAN, NAN, NAN), "-"),
        (None, "-"),
    ],
)
def test_a_figure_with_its_interval(figure, shown):
    assert with_interval(figure) == shown


def test_a_difference_shows_its_sign():
    assert with_interval(Interval(0.25, -0.1, 0.5), "+") == "+0.250 [-0.100, +0.500]"


def test_what_is_defined_nowhere_is_not_shown():
    some, none = Interval(0.5, 0.4, 0.6), Interval(NAN, NAN, NAN)
    figures = {"one": {"a": some, "b": none}, "two": {"a": none, "c": some}, "three": {"b": none}}
    table = figure_table("model", figures, {"c": "C", "b": "B", "a": "A"})
    assert table.splitlines() == [
        "| model | C | A |",
        "|---|---|---|",
        "| one | - | 0.500 [0.400, 0.600] |",
        "| two | 0.500 [0.400, 0.600] | - |",
    ]


def test_the_plot_is_a_png():
    pytest.importorskip("matplotlib")

    def found(shown):
        return {damage: {model: dict.fromkeys(shown, Interval(0.5, 0.4, 0.6)) for model in "ab"} for damage in "xy"}

    assert draw_robustness(found(POSES), found(BOXES)).startswith(b"\x89PNG")
