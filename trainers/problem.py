"""What is wrong with labels, one thing at a time: what a person reads and a program can sort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that would hurt. severity: "error" where training would refuse, or measure or learn what is not so.

    kind: the rule that saw it. file_name: of the image, as in `LabelledData`; None where it concerns all of them.
    instance: the subject's place in its image, counted from 1 in the file's order. joints: their names. text: what was
    got and expected. fix: what to do.
    """

    kind: str
    severity: Severity
    text: str
    fix: str
    file_name: str | None = None
    instance: int | None = None
    joints: tuple[str, ...] = ()

    def __str__(self) -> str:
        number = f", instance {self.instance}" if self.instance is not None else ""
        where = f"{self.file_name}{number}: " if self.file_name is not None else ""
        return f"{where}{self.text}; {self.fix}"
