"""Places in a video as people write them: seconds, HH:MM:SS.mmm, or a frame's ordinal (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from frame_tools.errors import FrameToolsError


@dataclass(frozen=True)
class Position:
    """Either a time since the first frame or a frame's ordinal, counted from 0."""

    seconds: Fraction | None = None
    ordinal: int | None = None

    def is_after(self, seconds: Fraction, ordinal: int) -> bool:
        """Whether this place lies after the frame with that time and ordinal."""
        if self.ordinal is not None:
            return ordinal < self.ordinal
        return self.seconds is not None and seconds < self.seconds

    def __str__(self) -> str:
        return f"{self.ordinal}f" if self.ordinal is not None else f"{float(self.seconds or 0):g} s"


@dataclass(frozen=True)
class Span:
    """From `start` on, up to but without `end`; None is open."""

    start: Position | None = None
    end: Position | None = None

    def is_before(self, seconds: Fraction, ordinal: int) -> bool:
        """Whether the whole span lies after a frame."""
        return self.start is not None and self.start.is_after(seconds, ordinal)

    def is_past(self, seconds: Fraction, ordinal: int) -> bool:
        """Whether the span has ended at a frame."""
        return self.end is not None and not self.end.is_after(seconds, ordinal)


WHOLE = Span()


def parse_position(text: str) -> Position:
    """`90`, `90.5`, `1:30`, `00:01:30.500`, `2700f`. Raises FrameToolsError."""
    text = text.strip()
    if match := re.fullmatch(r"(\d+)f", text):
        return Position(ordinal=int(match[1]))
    if match := re.fullmatch(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d+)?)", text):
        hours, minutes, seconds = (Fraction(part or 0) for part in match.groups())
        if match[2] is None or seconds < 60:
            return Position(seconds=hours * 3600 + minutes * 60 + seconds)
    raise FrameToolsError(f"place {text!r}: expected seconds (90.5), HH:MM:SS.mmm (00:01:30.500) or a frame (2700f)")
