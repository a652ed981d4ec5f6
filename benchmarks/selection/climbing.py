"""The protocol: label a few, train, select, label, train again; what each step gave is kept as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from cvat_export.atomic import write_text

START, WHOLE = "start", "all"  # instead of a strategy: what all strategies of a seed begin and end with

Labelled = tuple[int, ...]  # rows of the pool, in the order in which they were labelled


@dataclass(frozen=True)
class Choice:
    """What a strategy is to choose. before: what was labelled when the model before this one was trained."""

    strategy: str
    labelled: Labelled
    before: Labelled
    count: int
    seed: int


@dataclass(frozen=True)
class Score:
    """Counts by held-out image: labelled joints, and of these, by name of a threshold, those that are near enough.

    A threshold is a share of the box's longer side.
    """

    joints: tuple[int, ...]
    near: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Row:
    """One training. score: what it gave. chosen: by strategy, the rows that it chose by this model."""

    strategy: str
    seed: int
    labelled: Labelled
    score: Score
    chosen: Mapping[str, Labelled]


class Learner(Protocol):
    """Everything that costs time. The same arguments give the same answers."""

    @property
    def sizes(self) -> Sequence[int]:
        """How many are labelled, step by step; the last is the whole pool."""
        ...

    def first(self, seed: int) -> Labelled:
        """Drawn uniformly."""
        ...

    def score(self, labelled: Labelled, seed: int) -> Score:
        """Train on these and measure on what is held out."""
        ...

    def choose(self, choice: Choice) -> Labelled:
        """What the strategy selects of the rest, by the model that was trained on what is labelled."""
        ...


def climb(
    learner: Learner,
    folder: Path,
    strategies: Sequence[str],
    seeds: Sequence[int],
    notify: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """All rows of a data set: those that are in the folder are read, the others made and written there."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in _rows(learner, folder, strategies, seeds):
        notify(row)
        rows.append(row)
    return rows


def _rows(learner: Learner, folder: Path, strategies: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    for seed in seeds:
        start = kept(folder / f"{START}-{seed}.json", partial(_start, learner, strategies, seed))
        yield start
        for strategy in strategies:
            yield from _steps(learner, folder, strategy, start)
        yield kept(folder / f"{WHOLE}-{seed}.json", partial(_whole, learner, seed))


def kept(path: Path, make: Callable[[], Row]) -> Row:
    """The row in a file, made and written where it is not there."""
    if not path.exists():
        row = make()
        write_text(path, json.dumps(asdict(row)) + "\n")
        return row
    content = json.loads(path.read_text())
    return Row(
        strategy=content["strategy"],
        seed=content["seed"],
        labelled=tuple(content["labelled"]),
        score=Score(tuple(content["score"]["joints"]), _tuples(content["score"]["near"])),
        chosen=_tuples(content["chosen"]),
    )


def _tuples(content: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(values) for name, values in content.items()}


def _start(learner: Learner, strategies: Sequence[str], seed: int) -> Row:
    labelled = learner.first(seed)
    score = learner.score(labelled, seed)
    count = learner.sizes[1] - learner.sizes[0]
    chosen = {name: learner.choose(Choice(name, labelled, (), count, seed)) for name in strategies}
    return Row(START, seed, labelled, score, chosen)


def _steps(learner: Learner, folder: Path, strategy: str, start: Row) -> Iterator[Row]:
    """All but the first and the last; what the last one labels needs no choice."""
    row = start
    for size, following in pairwise(learner.sizes[1:]):
        count = following - size if following < learner.sizes[-1] else 0
        row = kept(folder / f"{strategy}-{start.seed}-{size}.json", partial(_later, learner, strategy, row, count))
        yield row


def _later(learner: Learner, strategy: str, before: Row, count: int) -> Row:
    labelled = (*before.labelled, *before.chosen[strategy])
    score = learner.score(labelled, before.seed)
    choice = Choice(strategy, labelled, before.labelled, count, before.seed)
    chosen = {strategy: learner.choose(choice)} if count else {}
    return Row(strategy, before.seed, labelled, score, chosen)


def _whole(learner: Learner, seed: int) -> Row:
    labelled = tuple(range(learner.sizes[-1]))
    return Row(WHOLE, seed, labelled, learner.score(labelled, seed), chosen={})
