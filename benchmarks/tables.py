"""Figures as the README shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from trainers.metrics.bootstrap import Interval


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in (header, *rows))
    return "\n".join([head, f"|{'---|' * len(header)}", *body])


def figure_table(corner: str, figures: Mapping[str, Mapping[str, Interval]], shown: Mapping[str, str]) -> str:
    """A row each of `figures`, a column each of `shown`, name to title; without those that are not defined at all."""
    columns = {name: title for name, title in shown.items() if any(_defined(row.get(name)) for row in figures.values())}
    rows = {row: [with_interval(values.get(name)) for name in columns] for row, values in figures.items()}
    return markdown([corner, *columns.values()], [[row, *cells] for row, cells in rows.items() if set(cells) != {"-"}])


def with_interval(figure: Interval | None, sign: str = "") -> str:
    """`0.717 [0.690, 0.742]`, without ends where there are none, a dash for what is not defined. sign: + for always."""
    if figure is None or math.isnan(figure.value):
        return "-"
    ends = "" if math.isnan(figure.low) else f" [{figure.low:{sign}.3f}, {figure.high:{sign}.3f}]"
    return f"{figure.value:{sign}.3f}{ends}"


def _defined(figure: Interval | None) -> bool:
    return figure is not None and not math.isnan(figure.value)
