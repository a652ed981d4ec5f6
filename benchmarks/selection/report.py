"""The figures as tables of Markdown and as a plot."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.selection.figures import (
    ENOUGH,
    Curves,
    Summary,
    accuracies,
    gains,
    overall,
    summarise,
    with_ends,
)
from benchmarks.tables import markdown, with_interval
from trainers.metrics.bootstrap import Interval
from trainers.metrics.pairs import Floats

BASE = "uniform"
_COLOURS = {"hybrid": "C3", "uncertain": "C1", "disagreement": "C4", "diverse": "C2", BASE: "0.25"}


def data_set_report(name: str, curves: Curves, seeds: int, threshold: str) -> Iterator[str]:
    """Accuracies, differences, and what it takes to be nearly as good as with all labels."""
    yield f"{name}: PCK@{threshold} by labels, the mean over {seeds} seeds\n"
    yield markdown(["strategy", *map(str, curves.sizes)], list(_accuracy_rows(curves)))
    yield f"\n{name}: difference to {BASE}\n"
    middle = list(map(str, curves.sizes[1:-1]))
    yield markdown(["strategy", *middle], list(_gain_rows(curves)))
    yield f"\n{name}: the whole curve\n"
    yield summary_table(summarise(curves), curves.sizes[-1])


def overall_report(curves: Sequence[Curves]) -> str:
    """All data sets in one table."""
    names = f"{len(curves)} data sets: the mean area, the geometric mean of the shares of labels\n"
    return f"{names}\n{summary_table(overall([summarise(one) for one in curves]))}"


def summary_table(summary: Summary, total: int | None = None) -> str:
    """A row a strategy. total: labels there are, where they are those of one data set."""
    header = ["strategy", "area", f"less {BASE}", f"share of labels for {ENOUGH:.0%}", f"by {BASE}'s"]
    rows = []
    for name, areas in summary.areas.items():
        needed, others = summary.needed[name], summary.needed[BASE]
        row = [name, with_interval(with_ends(areas)), "", _share(needed), ""]
        if name != BASE:
            row[2] = with_interval(with_ends(areas - summary.areas[BASE]), "+")
            row[4] = with_interval(with_ends(needed / others))
        rows.append([*row, *([_number(needed * total)] if total else [])])
    return markdown([*header, *(["labels"] if total else [])], rows)


def draw_curves(found: Mapping[str, Curves], threshold: str) -> bytes:
    """A PNG: a panel a data set, a line a strategy with a band for its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(found), 4.2), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, curves) in zip(panels, found.items(), strict=True):
        _draw_panel(axes, curves)
        axes.set_title(name)
    panels[0].set_ylabel(f"PCK@{threshold} on held-out images")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90, metadata={"Software": None})
    return stream.getvalue()


def _draw_panel(axes: Any, curves: Curves) -> None:
    for name in curves.means:
        intervals = accuracies(curves, name)
        colour = _COLOURS.get(name)
        low, high = [one.low for one in intervals], [one.high for one in intervals]
        axes.fill_between(curves.sizes, low, high, color=colour, alpha=0.1, linewidth=0)
        values = [one.value for one in intervals]
        style = "--" if name == BASE else "-"
        axes.plot(curves.sizes, values, style, color=colour, marker="o", markersize=3, linewidth=1.5, label=name)
    enough = ENOUGH * curves.means[BASE][-1]
    axes.axhline(enough, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(curves.sizes, list(map(str, curves.sizes)))
    axes.minorticks_off()
    axes.set_xlabel("labels")
    axes.grid(alpha=0.3)


def _accuracy_rows(curves: Curves) -> Iterator[list[str]]:
    """What all strategies share stands in the row of the base alone."""
    for name in curves.means:
        cells = [with_interval(one) for one in accuracies(curves, name)]
        if name != BASE:
            cells[0] = cells[-1] = ""
        yield [name, *cells]


def _gain_rows(curves: Curves) -> Iterator[list[str]]:
    for name in curves.means:
        if name != BASE:
            yield [name, *(with_interval(one, "+") for one in gains(curves, name, BASE)[1:-1])]


def _share(values: Floats) -> str:
    return _shown(with_ends(values), lambda value: f"{value:.0%}", "100%")


def _number(values: Floats) -> str:
    return _shown(with_ends(values), lambda value: f"{value:.0f}", "all")


def _shown(figure: Interval, show: Any, most: str) -> str:
    """With what is never reached as more than the most there is."""
    value, low, high = (
        show(one) if math.isfinite(one) else f"more than {most}" for one in (figure.value, figure.low, figure.high)
    )
    return f"{value} [{low}, {high}]"
