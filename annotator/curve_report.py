"""The page of the learning curve: accuracy by labels, what each round was judged, and whether more labels pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from annotator.gate import format_difference
from annotator.learning_curve import Curve
from annotator.report import section, table, write_page
from annotator.report_charts import charts
from trainers.metrics.bootstrap import Interval

_WIDTH, _HEIGHT = 640, 280
_TICK_STEPS = (1, 2, 5, 10)  # times a power of ten
_CURVE_POINTS = 60
_BESIDE_PX = 9  # between rounds that learnt from as many labels

_LEAD = "How accurate the model of each round is on the fixed evaluation set, and what more labels would bring."


@dataclass(frozen=True)
class CurveRow:
    """A round. labels: how many its model had learnt from. figure: of that model, on the fixed evaluation set.

    difference: to the model that was the old one then; None where there was none. accepted, reason: see `gate.Verdict`.
    """

    round: int
    labels: int
    figure: Interval
    difference: Interval | None
    accepted: bool
    reason: str


def write_curve_report(
    path: Path, rows: Sequence[CurveRow], curve: Curve | None, advice: str, figure: str = "accuracy", more: int = 100
) -> None:
    """Write the page, which needs no pictures beside it. figure: its name. more: labels that `advice` speaks of."""
    plot = [section(f"{figure} by labels", charts(_plot(rows, curve, figure, more)))] if rows else []
    sections = [section("Advice", lead=advice), *plot, section("Rounds", _table(rows, figure))]
    write_page(path, "Learning curve", _LEAD, _summary(rows, figure), sections)


@dataclass(frozen=True)
class _Axes:
    """From labels and accuracy to places in the plot, whose lower left corner is (0, 0)."""

    most_labels: float
    low: float
    high: float

    def x(self, labels: float) -> float:
        return _WIDTH * labels / self.most_labels

    def y(self, value: float) -> float:
        return -_HEIGHT * (value - self.low) / (self.high - self.low)


def _summary(rows: Sequence[CurveRow], figure: str) -> dict[str, object]:
    kept = [row for row in rows if row.accepted]
    return {
        "rounds": len(rows),
        "models accepted": len(kept),
        "labels": max((row.labels for row in rows), default=0),
        "model in use": f"round {kept[-1].round}" if kept else "-",
        f"its {figure}": f"{kept[-1].figure.value:.3f}" if kept else "-",
    }


def _table(rows: Sequence[CurveRow], figure: str) -> str:
    header = ("round", "labels", figure, "difference to the old model", "the new model is", "because")
    cells = (
        (
            row.round,
            row.labels,
            _on_one_line(_format_figure(row.figure)),
            _on_one_line(format_difference(row.difference)) if row.difference else "-",
            "accepted" if row.accepted else "refused",
            row.reason,
        )
        for row in rows
    )
    return table(header, cells)


def _format_figure(found: Interval) -> str:
    """As '0.812 [0.790, 0.834]'."""
    return f"{found.value:.3f}" + ("" if math.isnan(found.low) else f" [{found.low:.3f}, {found.high:.3f}]")


def _on_one_line(words: str) -> str:
    return words.replace(" ", "\u00a0")


def _plot(rows: Sequence[CurveRow], curve: Curve | None, figure: str, more: int) -> str:
    """Inline SVG, in the page's colours."""
    now = max(row.labels for row in rows)
    end = now + more if curve else round(1.1 * now)
    line = _sample_curve(rows, curve, end)
    axes = _axes([row.figure for row in rows] + [found for _, found in line], end)
    drawn = [_grid(axes), *([_next_labels(axes, curve, now, more)] if curve and now else []), _band(axes, line)]
    drawn += _points(axes, rows)
    labels = (
        f'<text x="{_WIDTH / 2}" y="34" text-anchor="middle">labels learnt from</text>'
        f'<text x="-40" y="{-_HEIGHT - 12}">{escape(figure)}</text>'
    )
    box = f'viewBox="-44 {-_HEIGHT - 28} {_WIDTH + 64} {_HEIGHT + 68}" width="{_WIDTH + 64}"'
    svg = f'<svg role="img" aria-label="{escape(figure)} by labels" {box}>{"".join(drawn)}{labels}</svg>'
    return f"<figure>{svg}<figcaption>{escape(_caption(curve, more))}</figcaption></figure>"


def _caption(curve: Curve | None, more: int) -> str:
    points = "Filled: accepted; hollow: refused; the numbers are the rounds', the bars 95 % of the evaluation set."
    return f"{points} Line and band: the fitted curve, 95 %; grey: the next {more} labels." if curve else points


def _sample_curve(rows: Sequence[CurveRow], curve: Curve | None, end: int) -> list[tuple[float, Interval]]:
    """Labels and expected accuracies, from the first round that learnt from any; nothing where there is no curve."""
    if curve is None:
        return []
    start = min(row.labels for row in rows if row.labels > 0)
    places = np.unique(np.geomspace(start, end, _CURVE_POINTS).round().astype(int))  # closest where it bends
    return [(float(labels), curve.at(int(labels))) for labels in places]


def _axes(shown: Sequence[Interval], most_labels: int) -> _Axes:
    """Around everything that is shown, with room below it for the rounds' numbers."""
    known = [value for one in shown for value in (one.value, one.low, one.high) if not math.isnan(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = max(0.1 * (high - low), 0.01)
    return _Axes(max(most_labels, 1), low - 1.5 * room, high + room)


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from low to high, at most so many."""
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in _TICK_STEPS if power * factor >= rough)
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid(axes: _Axes) -> str:
    values = _ticks(max(axes.low, 0), min(axes.high, 1))
    digits = 2 if all(math.isclose(value, round(value, 2), abs_tol=1e-9) for value in values) else 3
    levels = "".join(
        f'<line x1="0" x2="{_WIDTH}" y1="{axes.y(value):.1f}" y2="{axes.y(value):.1f}" stroke="var(--line)"/>'
        f'<text x="-6" y="{axes.y(value) + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>'
        for value in values
    )
    labels = "".join(
        f'<line x1="{axes.x(n):.1f}" x2="{axes.x(n):.1f}" y1="0" y2="4" stroke="var(--soft)"/>'
        f'<text x="{axes.x(n):.1f}" y="16" text-anchor="middle">{n:g}</text>'
        for n in _ticks(0, axes.most_labels, 8)
    )
    return f'{levels}<line x1="0" x2="{_WIDTH}" y1="0" y2="0" stroke="var(--soft)"/>{labels}'


def _next_labels(axes: _Axes, curve: Curve, now: int, more: int) -> str:
    left, right = axes.x(now), axes.x(now + more)
    said = f"next {more}: {format_difference(curve.gain(now, more))}"
    return (
        f'<rect x="{left:.1f}" y="{-_HEIGHT}" width="{right - left:.1f}" height="{_HEIGHT}" fill="var(--soft)" '
        f'fill-opacity="0.15"/><text x="{right:.1f}" y="{-_HEIGHT - 12}" text-anchor="end">{said}</text>'
    )


def _band(axes: _Axes, line: Sequence[tuple[float, Interval]]) -> str:
    if not line:
        return ""
    upper = [f"{axes.x(n):.1f},{axes.y(found.high):.1f}" for n, found in line]
    lower = [f"{axes.x(n):.1f},{axes.y(found.low):.1f}" for n, found in line]
    middle = " ".join(f"{axes.x(n):.1f},{axes.y(found.value):.1f}" for n, found in line)
    return (
        f'<polygon points="{" ".join(upper + lower[::-1])}" fill="var(--accent)" fill-opacity="0.15"/>'
        f'<polyline points="{middle}" fill="none" stroke="var(--accent)" stroke-width="2"/>'
    )


def _points(axes: _Axes, rows: Sequence[CurveRow]) -> list[str]:
    """A round beside the others that learnt from as many labels."""
    drawn = []
    for place, row in enumerate(rows):
        if math.isnan(row.figure.value):
            continue
        beside = sum(other.labels == row.labels for other in rows[:place])
        drawn.append(_point(axes, row, axes.x(row.labels) + _BESIDE_PX * beside))
    return drawn


def _point(axes: _Axes, row: CurveRow, x: float) -> str:
    """Its number stands below its interval, in front of grid and band."""
    found, fill = row.figure, "var(--ink)" if row.accepted else "var(--paper)"
    ends = (found.value, found.value) if math.isnan(found.low) else (found.low, found.high)
    y, low, high = (axes.y(value) for value in (found.value, *ends))
    said = f"round {row.round}, {row.labels} labels: {_format_figure(found)}; {row.reason}"
    return (
        f"<g><title>{escape(said)}</title>"
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="var(--ink)"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="var(--ink)" stroke-width="1.5"/>'
        f'<text x="{x:.1f}" y="{max(low, y + 6) + 12:.1f}" text-anchor="middle" paint-order="stroke" '
        f'stroke="var(--paper)" stroke-width="3">{row.round}</text></g>'
    )
