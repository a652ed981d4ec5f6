"""Charts of a page as inline SVG, in the page's colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import cycle

import numpy as np
import numpy.typing as npt

COLOURS = tuple(f"var(--series-{number})" for number in range(1, 6))  # in their order; page.css has the values

_PLOT_WIDTH, _PLOT_HEIGHT = 360, 200
_FEW_POINTS = 20


def histogram(title: str, values: npt.ArrayLike, low: float = 0.0, high: float = 1.0, bins: int = 20) -> str:
    """How `values` are spread between low and high, as inline SVG; what lies outside counts in the end bins."""
    numbers = np.clip(np.asarray(values, dtype=np.float64).ravel(), low, high)
    counts, edges = np.histogram(numbers, bins=bins, range=(low, high))
    width, height, base = 320, 120, 100
    step = width / bins
    bars = "".join(
        f'<rect class="bar" x="{i * step + 1:.1f}" y="{base - 88 * count / max(1, counts.max()):.1f}" '
        f'width="{step - 2:.1f}" height="{88 * count / max(1, counts.max()):.1f}">'
        f"<title>{edges[i]:.2f} to {edges[i + 1]:.2f}: {count}</title></rect>"
        for i, count in enumerate(counts)
    )
    ends = (
        f'<text x="0" y="{height - 4}">{low:g}</text>'
        f'<text x="{width}" y="{height - 4}" text-anchor="end">{high:g}</text>'
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'<figure><svg role="img" aria-label="{escape(title)}" {size}>{bars}{ends}</svg>'
        f"<figcaption>{escape(title)} (n = {numbers.size})</figcaption></figure>"
    )


def curves(
    title: str,
    series: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    x_label: str,
    y_label: str,
    diagonal: bool = False,
) -> str:
    """Lines over a common x from 0, y from 0 to 1, as inline SVG; points are marked where there are few.

    series: name -> x and y, NaN left out. diagonal: also the line on which y is x.
    """
    lines = {name: _finite_points(x, y) for name, (x, y) in series.items()}
    highest = max((float(points[:, 0].max()) for points in lines.values() if len(points)), default=1.0)
    scale = np.array([_PLOT_WIDTH / (1.0 if diagonal else highest or 1.0), -_PLOT_HEIGHT])
    drawn = [_curve(name, lines[name] * scale, lines[name], colour) for name, colour in _coloured(lines)]
    grid = "".join(
        f'<line x1="0" x2="{_PLOT_WIDTH}" y1="{-y * _PLOT_HEIGHT:.0f}" y2="{-y * _PLOT_HEIGHT:.0f}" '
        f'stroke="var(--line)"/><text x="-6" y="{4 - y * _PLOT_HEIGHT:.0f}" text-anchor="end">{y:g}</text>'
        for y in (0, 0.25, 0.5, 0.75, 1)
    )
    if diagonal:
        grid += (
            f'<line x1="0" y1="0" x2="{_PLOT_WIDTH}" y2="{-_PLOT_HEIGHT}" stroke="var(--soft)" stroke-dasharray="4 4"/>'
        )
    end = 1.0 if diagonal else highest
    axes = (
        f'<text x="0" y="16">0</text><text x="{_PLOT_WIDTH}" y="16" text-anchor="end">{end:g}</text>'
        f'<text x="{_PLOT_WIDTH / 2}" y="16" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="0" y="{-_PLOT_HEIGHT - 8}">{escape(y_label)}</text>'
    )
    box = f'viewBox="-36 {-_PLOT_HEIGHT - 24} {_PLOT_WIDTH + 46} {_PLOT_HEIGHT + 48}" width="{_PLOT_WIDTH + 46}"'
    svg = f'<svg role="img" aria-label="{escape(title)}" {box}>{grid}{axes}{"".join(drawn)}</svg>'
    legend = _legend(list(lines)) if len(lines) > 1 else ""
    return f"<figure>{svg}<figcaption>{escape(title)}{legend}</figcaption></figure>"


def stacked_bars(title: str, parts: Sequence[str], rows: Mapping[str, Sequence[float]]) -> str:
    """A bar a row, cut into parts that are shares of their sum, as inline SVG. A row of zeros has no bar."""
    label, width, step = 120, 360, 20
    bars = []
    for number, (name, values) in enumerate(rows.items()):
        total, start = sum(values), 0.0
        bars.append(f'<text x="{label - 8}" y="{number * step + 14}" text-anchor="end">{escape(name)}</text>')
        for value, (part, colour) in zip(values, _coloured(parts), strict=True):
            length = width * value / total if total else 0.0
            bars.append(
                f'<rect x="{label + start:.1f}" y="{number * step + 2}" width="{length:.1f}" height="{step - 5}" '
                f'fill="{colour}"><title>{escape(name)}: {escape(part)} {value:g} of {total:g}</title></rect>'
            )
            start += length
    size = f'viewBox="0 0 {label + width} {len(rows) * step}" width="{label + width}"'
    svg = f'<svg role="img" aria-label="{escape(title)}" {size}>{"".join(bars)}</svg>'
    return f"<figure>{svg}<figcaption>{escape(title)}{_legend(parts)}</figcaption></figure>"


def charts(*figures: str) -> str:
    """Figures side by side, wrapping where the page is narrow."""
    return f'<div class="charts">{"".join(figures)}</div>'


def _finite_points(x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
    points = np.column_stack([np.asarray(x, np.float64), np.asarray(y, np.float64)])
    finite: npt.NDArray[np.float64] = points[np.isfinite(points).all(axis=1)]
    return finite


def _curve(name: str, places: npt.NDArray[np.float64], points: npt.NDArray[np.float64], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    if len(points) > _FEW_POINTS:
        return line
    dots = (
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}">'
        f"<title>{escape(name)}: {x:.3f}, {y:.3f}</title></circle>"
        for (px, py), (x, y) in zip(places, points, strict=True)
    )
    return line + "".join(dots)


def _coloured(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    return zip(names, cycle(COLOURS), strict=False)


def _legend(names: Sequence[str]) -> str:
    entries = (f'<span><b style="color:{colour}">■</b>{escape(name)}</span>' for name, colour in _coloured(names))
    return f'<div class="legend">{"".join(entries)}</div>'
