"""The clip plan: which frames of a video make which clip (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from frame_tools.errors import FrameToolsError


@dataclass(frozen=True)
class ClipSettings:
    """All in frames of the source. step: between frames of a clip. size: frames in a clip, None for all there are.

    clip_step: from one clip's first frame to the next one's; None puts clips one behind the other.
    """

    step: int = 1
    size: int | None = None
    clip_step: int | None = None

    def __post_init__(self) -> None:
        for name in ("step", "size", "clip_step"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FrameToolsError(f"clip plan: {name} is {value}, expected at least 1")


@dataclass(frozen=True)
class Clip:
    """frames: indices into the frames of the span, counted from 0, ascending."""

    number: int
    frames: range

    @property
    def name(self) -> str:
        """Its folder: clips sort by time."""
        return f"clip_{self.number:05}"


def plan_clips(frame_count: int, settings: ClipSettings) -> Iterator[Clip]:
    """The clips that fit whole into `frame_count` frames, or one shorter clip where none does."""
    step = settings.step
    size = settings.size or max(1, -(-frame_count // step))
    reach = (size - 1) * step + 1
    clip_step = settings.clip_step or size * step
    starts = range(0, max(0, frame_count - reach + 1), clip_step)
    for number, start in enumerate(starts):
        yield Clip(number, range(start, start + reach, step))
    if not starts and frame_count:
        yield Clip(0, range(0, frame_count, step))
