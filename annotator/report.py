"""The pages that a person looks at: one style, relative links only, nothing from the network."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from cvat_export.atomic import write_text

REPORT_FILE = "report.html"
PICTURES = "report_files"  # the folder beside report.html that holds its pictures

Links = Sequence[tuple[str, str]]  # words and address

_NAV = re.compile(r'<nav data-of="(?P<title>[^"]*)">.*?</nav>')


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet.

    picture: link relative to the page. facets: name of a filter -> the values by which it finds the tile, shown on it.
    keys: name -> number by which the sheet can be ordered and narrowed down; left out where there is none.
    links: beside the picture's own, such as the frame's job in CVAT. target: what a click opens; the picture itself
    when None.
    """

    picture: str
    title: str
    lines: tuple[str, ...] = ()
    facets: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    keys: Mapping[str, float] = field(default_factory=dict)
    links: Links = ()
    target: str | None = None


def write_page(path: Path, title: str, lead: str, summary: Mapping[str, object], sections: Iterable[str]) -> None:
    """Write a page atomically. sections: HTML as the functions below make it; all else is escaped here."""
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in summary.items()
    )
    page = Template(template("page.html")).substitute(
        title=escape(title),
        lead=escape(lead),
        style=template("colours.css") + template("page.css"),
        summary=f"<dl>{cells}</dl>",
        body="\n".join(sections),
        version=version("cvat-pose-annotator"),
        script=template("sheet.js"),
    )
    write_text(path, page)


def section(heading: str, *content: str, lead: str = "") -> str:
    """A heading, a sentence and HTML."""
    sentence = f"<p>{escape(lead)}</p>" if lead else ""
    return f"<section><h2>{escape(heading)}</h2>{sentence}{''.join(content)}</section>"


def contact_sheet(heading: str, tiles: Sequence[Tile], lead: str = "") -> str:
    """A section of pictures that can be searched, filtered by facets, narrowed down and ordered by keys.

    All tiles stand in a <noscript>, a line each: a browser without script shows them plainly, and `sheet.js` takes
    from there those near the view, so that ten thousand open at once.
    """
    figures = "\n".join(map(_figure, tiles))
    plain = f'<noscript><div class="tiles">\n{figures}\n</div></noscript>'
    grid = f'<div class="sheet" role="list" aria-label="{escape(heading)}"></div>'
    sentence = f"<p>{escape(lead)}</p>" if lead else ""
    return f"<section data-sheet><h2>{escape(heading)}</h2>{sentence}{_tools(tiles)}{grid}{plain}</section>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A plain table."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def bullets(sentences: Iterable[str]) -> str:
    """A plain list."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def link_tiles(path: Path, links: Mapping[str, Links]) -> None:
    """Give the tiles of a written page these links instead of theirs, by title; none where no link is given."""

    def linked(found: re.Match[str]) -> str:
        return _nav(found["title"], links.get(unescape(found["title"]), ()))

    write_text(path, _NAV.sub(linked, path.read_text("utf-8")))


def template(name: str) -> str:
    """The text of a file in templates/."""
    return files("annotator").joinpath("templates", name).read_text("utf-8")


def _tools(tiles: Sequence[Tile]) -> str:
    """What finds tiles: the same tools in the same order on every page. Hidden until the script makes them work."""
    tools = ['<label>Find <input name="find" type="search"></label>', *_facet_tools(tiles), *_key_tools(tiles)]
    return f'<form class="tools" hidden>{"".join(tools)}<button type="reset">Clear</button><output></output></form>'


def _facet_tools(tiles: Sequence[Tile]) -> list[str]:
    """A select a facet, with how many tiles have each value; none where all tiles have the same."""
    tools = []
    for facet in dict.fromkeys(facet for tile in tiles for facet in tile.facets):
        counts = Counter(value for tile in tiles for value in _values(tile, facet))
        if any(count < len(tiles) for count in counts.values()):
            options = [(value, f"{value} ({counts[value]})") for value in sorted(counts, key=_natural)]
            tools.append(_select(facet, facet.capitalize(), [("", "all"), *options], "data-facet"))
    return tools


def _key_tools(tiles: Sequence[Tile]) -> list[str]:
    """A range of one key, which is chosen with its ends as a hint, and the order."""
    keys = dict.fromkeys(key for tile in tiles for key in tile.keys)
    if not keys:
        return []
    values = {key: [tile.keys[key] for tile in tiles if key in tile.keys] for key in keys}
    choices = "".join(
        f'<option data-low="{min(found):g}" data-high="{max(found):g}">{escape(key)}</option>'
        for key, found in values.items()
    )
    ends = "".join(
        f'<label>{words} <input name="{name}" type="number" step="any"></label>'
        for name, words in (("least", "at least"), ("most", "at most"))
    )
    ways = (("", "lowest first"), ("-", "highest first"))
    orders = [(f"{sign}{key}", f"{key}, {words}") for key in keys for sign, words in ways]
    return [
        f'<span role="group" aria-label="Range"><label>Only <select name="key">{choices}</select></label>{ends}</span>',
        _select("order", "Order", [("", "as listed"), *orders]),
    ]


def _select(name: str, label: str, options: Sequence[tuple[str, str]], attributes: str = "") -> str:
    shown = "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in options)
    return f'<label>{escape(label)} <select name="{escape(name)}" {attributes}>{shown}</select></label>'


def _figure(tile: Tile) -> str:
    """One line of HTML, as `sheet.js` reads it."""
    lines = "".join(f"<span>{escape(line)}</span>" for line in tile.lines)
    facets = {facet: _values(tile, facet) for facet in tile.facets}
    marks = "".join(
        f"<em>{escape(facet)}: {escape(value)}</em>" for facet, values in facets.items() for value in values
    )
    data = "".join(
        f' data-{name}="{escape(json.dumps(value, ensure_ascii=False))}"'
        for name, value in (("facets", facets), ("keys", dict(tile.keys)))
    )
    picture = f'<img loading="lazy" decoding="async" src="{escape(tile.picture)}" alt="{escape(tile.title)}">'
    figure = (
        f'<figure role="listitem"{data}><a href="{escape(tile.target or tile.picture)}">{picture}</a>'
        f"<figcaption><strong>{escape(tile.title)}</strong>{lines}{marks}{_nav(escape(tile.title), tile.links)}"
        "</figcaption></figure>"
    )
    return figure.replace("\r", "&#13;").replace("\n", "&#10;")


def _values(tile: Tile, facet: str) -> tuple[str, ...]:
    found = tile.facets.get(facet, ())
    return (found,) if isinstance(found, str) else tuple(found)


def _nav(title: str, links: Links) -> str:
    """title: escaped already."""
    shown = "".join(f'<a href="{escape(address)}">{escape(words)}</a>' for words, address in links)
    return f'<nav data-of="{title}">{shown}</nav>'


def _natural(value: str) -> list[int | str]:
    """An order in which numbers count as numbers."""
    return [int(part) if place % 2 else part.casefold() for place, part in enumerate(re.split(r"(\d+)", value))]
