"""What a step of a round is, and what it knows of the project and of the steps before it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError
from annotator.journal import FrameRow, Journal, StepRow
from annotator.project import Project
from annotator.rounds.words import Figures


@dataclass(frozen=True)
class Done:
    """What a step came to: figures for the journal, the same whenever and however often it was run; files to hash.

    frames: whose role it changed.
    """

    figures: Figures
    outputs: Sequence[Path] = ()
    frames: Iterable[FrameRow] = ()


@dataclass(frozen=True)
class Waiting:
    """A step that people must end. words: what is waited for."""

    figures: Figures
    words: str


@dataclass(frozen=True)
class Ended:
    """There is nothing more to do, and why."""

    words: str


@dataclass(frozen=True)
class Step:
    """inputs: all that the result depends on, as plain values. run: into a folder, begun anew or gone on with.

    lasting: whether what an earlier round has made serves as long as its inputs are the same. folder: where it always
    writes, below the project; a folder of the round by default.
    """

    name: str
    inputs: Callable[[CurrentRound], Mapping[str, Any]]
    run: Callable[[CurrentRound, Path], Done | Waiting | Ended]
    lasting: bool = False
    folder: str | None = None


@dataclass(frozen=True)
class CurrentRound:
    """A round that is gone on with. rows: all steps in the journal. patient: whether to wait until people are done."""

    project: Project
    journal: Journal
    number: int
    patient: bool = True
    say: Callable[[str], None] = field(default=lambda _: None)

    @cached_property
    def rows(self) -> list[StepRow]:
        """As the journal has them when they are first asked for."""
        return self.journal.steps()

    def done(self, name: str, number: int | None = None) -> StepRow:
        """The step as it was done in a round, this one by default. Raises AnnotatorError where it was not."""
        wanted = self.number if number is None else number
        for row in reversed(self.rows):
            if row.name == name and row.round == wanted and row.state == "done":
                return row
        raise AnnotatorError(
            f"{self.journal.path}: step {name} of round {wanted} is not done; run annotator round next"
        )

    def folder(self, name: str, number: int | None = None) -> Path:
        """What a step that was done has written into."""
        return self.project.root / self.done(name, number).folder

    def every(self, name: str) -> list[StepRow]:
        """The step in all rounds in which it is done, in order."""
        return [row for row in self.rows if row.name == name and row.state == "done"]

    def model(self) -> str | None:
        """The pose model that is in use: that of the last round whose gate let it in, else that of the project file.

        None where there is none yet.
        """
        return self._in_use("gate", self.project.config.models.pose)

    def detector(self) -> str | None:
        """The detector that is in use, likewise."""
        return self._in_use("detector", self.project.config.models.detection)

    def _in_use(self, judged: str, first: str | None) -> str | None:
        for row in reversed(self.every(judged)):
            if row.figures["accepted"]:
                return str(self.project.root / row.figures["model"])
        return None if first is None else self.project.place(first)

    def strategy(self) -> str:
        """How frames are selected: as the project file says, or by looks where that asks a model and there is none."""
        wanted = self.project.config.frames.strategy
        return wanted if wanted == "uniform" or self.model() else "diverse"

    def relative(self, path: Path) -> str:
        """Below the project, as the journal names files."""
        return path.relative_to(self.project.root).as_posix()


def hash_file(path: Path) -> str:
    """sha256 of the content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
