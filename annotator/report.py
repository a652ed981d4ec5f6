"""The pages that a person looks at: one style, relative links only, nothing from the network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np
import numpy.typing as npt

from cvat_export.atomic import write_text

PICTURES = "report_files"  # the folder beside report.html that holds its pictures


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


def charts(*figures: str) -> str:
    """Figures side by side, wrapping where the page is narrow."""
    return f'<div class="charts">{"".join(figures)}</div>'


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
