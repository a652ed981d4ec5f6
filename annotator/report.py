"""The pages that a person looks at: one style, relative links only, nothing from the network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from importlib.resources import files
from itertools import cycle
from pathlib import Path
from string import Template

import numpy as np
import numpy.typing as npt

from cvat_export.atomic import write_text

PICTURES = "report_files"  # the folder beside report.html that holds its pictures
COLOURS = ("#2f7fd0", "#e0a526", "#d9730d", "#8e5bd0", "#c2352b")  # of series and parts, in their order

_PLOT_WIDTH, _PLOT_HEIGHT = 360, 200
_FEW_POINTS = 20


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet.

    picture: link relative to the page. keys: name -> number by which the sheet can be ordered, smallest first.
    """

    picture: str
    title: str
    lines: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    keys: Mapping[str, float] = field(default_factory=dict)
    target: str | None = None  # what a click opens; the picture itself when None


def write_page(path: Path, title: str, lead: str, summary: Mapping[str, object], sections: Iterable[str]) -> None:
    """Write a page atomically. sections: HTML as the functions below make it; all else is escaped here."""
    page = Template(files("annotator").joinpath("templates", "page.html").read_text("utf-8"))
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in summary.items()
    )
    write_text(
        path,
        page.substitute(
            title=escape(title),
            lead=escape(lead),
            summary=f"<dl>{cells}</dl>",
            body="\n".join(sections),
            version=version("cvat-pose-annotator"),
        ),
    )


def section(heading: str, *content: str, lead: str = "") -> str:
    """A heading, a sentence and HTML."""
    sentence = f"<p>{escape(lead)}</p>" if lead else ""
    return f"<section><h2>{escape(heading)}</h2>{sentence}{''.join(content)}</section>"


def contact_sheet(heading: str, tiles: Sequence[Tile], lead: str = "") -> str:
    """A section of lazily loaded pictures that can be searched, filtered by tag and ordered by key."""
    tags = sorted({tag for tile in tiles for tag in tile.tags})
    keys = list(dict.fromkeys(key for tile in tiles for key in tile.keys))
    tools = (
        '<div class="tools"><label>Find <input name="search" type="search"></label>'
        f"<label>Show {_select('tag', 'all', tags)}</label>"
        f"<label>Order {_select('order', 'as listed', keys)}</label><output></output></div>"
    )
    figures = "\n".join(map(_figure, tiles))
    sentence = f"<p>{escape(lead)}</p>" if lead else ""
    head = f"<h2>{escape(heading)}</h2>{sentence}{tools}"
    return f'<section data-sheet>{head}<div class="tiles">\n{figures}\n</div></section>'


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def bullets(sentences: Iterable[str]) -> str:
    """A plain list."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


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
    entries = (
        f'<span style="display:inline;margin-right:1em"><b style="color:{colour}">■</b> {escape(name)}</span>'
        for name, colour in _coloured(names)
    )
    return f"<div>{''.join(entries)}</div>"


def _select(name: str, neutral: str, values: Sequence[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f'<select name="{name}"><option value="">{neutral}</option>{options}</select>'


def _figure(tile: Tile) -> str:
    lines = "".join(f"<span>{escape(line)}</span>" for line in tile.lines)
    tags = "".join(f"<em>{escape(tag)}</em>" for tag in tile.tags)
    link = escape(tile.target or tile.picture)
    picture = f'<img loading="lazy" decoding="async" src="{escape(tile.picture)}" alt="{escape(tile.title)}">'
    return (
        f'<figure data-tags="{escape("|".join(tile.tags))}" data-keys="{escape(json.dumps(dict(tile.keys)))}">'
        f'<a href="{link}">{picture}</a>'
        f"<figcaption><strong>{escape(tile.title)}</strong>{lines}{tags}</figcaption></figure>"
    )
