"""The videos on the page: their frames, and pictures of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Lock

import numpy as np
import numpy.typing as npt

from annotator.errors import AnnotatorError
from frame_tools.analysis import FrameTable
from frame_tools.images import encode_image, shrink
from frame_tools.seeking import FrameIndex, Seeker, kept_index, sequential_index
from frame_tools.timing import WHOLE, Span
from frame_tools.video import Video

INDEX_FOLDER = ".picking"
SCREEN_SIDE_PX = 1280  # of a frame as the page shows it

_SCREEN_QUALITY, _FULL_QUALITY = 85, 95


class Courtesy:
    """Holds background work up while somebody waits for a picture."""

    def __init__(self) -> None:
        self._waiting = 0
        self._condition = Condition()

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """For what somebody waits for."""
        with self._condition:
            self._waiting += 1
        try:
            yield
        finally:
            with self._condition:
                self._waiting -= 1
                self._condition.notify_all()

    def give_way(self) -> None:
        """For what can wait, at every step of it."""
        with self._condition:
            while self._waiting:
                self._condition.wait()


@dataclass(frozen=True, eq=False)
class ShownFrames:
    """The frames of one video that the page offers. (n,) each, in order of time; places: of the seeker's index."""

    pts: npt.NDArray[np.int64]
    ordinals: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


@dataclass(eq=False)
class PickedVideo:
    """A video, the frames of it that may be picked, and the one decoder that shows them."""

    video: Video
    shown: ShownFrames
    seeker: Seeker
    notes: list[str]
    courtesy: Courtesy
    lock: Lock = field(default_factory=Lock)

    def jpeg(self, pts: int, full: bool = False) -> bytes:
        """A frame for the screen. full: in all its pixels. Raises AnnotatorError for a frame that is not offered."""
        with self.courtesy.hurry():
            with self.lock:
                frame = self.seeker.frame(self._place(pts))
            pixels = frame.image if full else shrink(frame.image, SCREEN_SIDE_PX)
            return encode_image(pixels, ".jpg", _FULL_QUALITY if full else _SCREEN_QUALITY)

    def offers(self, pts: int) -> bool:
        """Whether the frame is one that may be picked."""
        at = int(np.searchsorted(self.shown.pts, pts))
        return at < len(self.shown.pts) and int(self.shown.pts[at]) == pts

    def correct(self, table: FrameTable) -> bool:
        """Hold the frames against those that a pass has found to be good; whether others are offered now."""
        with self.lock:
            differs = not np.array_equal(self.shown.pts, table.pts)
            if differs:
                self.seeker.close()
                self.seeker = Seeker(self.video.twin(), _corrected(self.video, self.seeker.index, table))
                self.shown = ShownFrames(table.pts, table.ordinal, np.arange(len(table)))
            self.seeker.checksums = dict(zip(table.pts.tolist(), table.checksum.tolist(), strict=True))
        return differs

    def _place(self, pts: int) -> int:
        if not self.offers(pts):
            raise AnnotatorError(f"{self.video.path}: no frame with pts {pts} among those that may be picked")
        return int(self.shown.places[np.searchsorted(self.shown.pts, pts)])


def picked_video(video: Video, span: Span, folder: Path, courtesy: Courtesy) -> PickedVideo:
    """The video for the page; its index is kept in `folder`. Raises AnnotatorError when the span holds no frame."""
    index = kept_index(video, folder / INDEX_FOLDER)
    places = _places(video, index, span)
    if not len(places):
        raise AnnotatorError(
            f"{video.path}: no frames between {span.start or 'the start'} and {span.end or 'the end'}; "
            "check --start and --end"
        )
    notes = [index.warning] if index.warning else []
    shown = ShownFrames(index.pts[places], places, places)
    return PickedVideo(video, shown, Seeker(video.twin(), index), notes, courtesy)


def _places(video: Video, index: FrameIndex, span: Span) -> npt.NDArray[np.int64]:
    if span is WHOLE or span == WHOLE:
        return np.arange(len(index))
    facts = video.facts
    times = ((int(pts) - facts.first_pts) * facts.time_base for pts in index.pts)
    inside = [not span.is_before(time, place) and not span.is_past(time, place) for place, time in enumerate(times)]
    return np.flatnonzero(inside)


def _corrected(video: Video, index: FrameIndex, table: FrameTable) -> FrameIndex:
    if video.repaired_pts:
        return sequential_index(table.pts, video.facts.time_base, "some of its time stamps had to be repaired")
    return index.among(table.pts)
