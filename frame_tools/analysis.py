"""One pass over a video that keeps what choosing frames needs, in memory that hardly grows with the video."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from frame_tools.decoding import DecodedPicture
from frame_tools.quality import change, exposure, sharpness
from frame_tools.scenes import scene_numbers
from frame_tools.thumbnail import THUMBNAIL_SIZE, Thumbnail, checksum, thumbnail
from frame_tools.video import FrameMark, Video

CANDIDATES = 8192  # frames whose thumbnails are kept: all of a short video, the sharpest of each moment of a long one


@dataclass(frozen=True, eq=False)
class FrameTable:
    """All frames seen, one row each, in order of presentation: 32 bytes a frame.

    seconds: since the video's first frame. sharpness, brightness, contrast: see `quality`. change: from the frame
    before, in grey levels. scene: counted from 0. blank: black, white or flat.
    """

    pts: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.int64]
    checksum: npt.NDArray[np.uint32]
    seconds: npt.NDArray[np.float64]
    sharpness: npt.NDArray[np.float32]
    brightness: npt.NDArray[np.float32]
    contrast: npt.NDArray[np.float32]
    change: npt.NDArray[np.float32]
    scene: npt.NDArray[np.int32]
    blank: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pts)

    def mark(self, row: int) -> FrameMark:
        """What is needed to decode that frame again."""
        return FrameMark(int(self.pts[row]), int(self.ordinal[row]), int(self.checksum[row]))


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known of a video. rows: (m,) of the table, those with thumbnails; thumbnails: (m, size) uint8.

    blurred_rows, blurred_thumbnails: the least sharp frame of each moment; empty unless asked for.
    """

    table: FrameTable
    rows: npt.NDArray[np.int64]
    thumbnails: npt.NDArray[np.uint8]
    blurred_rows: npt.NDArray[np.int64]
    blurred_thumbnails: npt.NDArray[np.uint8]


class Reservoir:
    """Keeps at most `capacity` thumbnails: the best one of each run of `stride` rows, where stride grows by doubling.

    Which ones does not depend on how long the video will turn out to be in any other way.
    """

    def __init__(self, capacity: int) -> None:
        self.stride = 1
        self._capacity = max(2, capacity + capacity % 2)
        self._count = 0
        self._rows = np.zeros(self._capacity, np.int64)
        self._scores = np.zeros(self._capacity, np.float64)
        self._thumbnails = np.zeros((self._capacity, THUMBNAIL_SIZE), np.uint8)

    def offer(self, row: int, score: float, thumb: Thumbnail) -> None:
        """Rows must come in order from 0. Of equal scores the earlier row is kept."""
        if row // self.stride >= self._capacity:
            self._halve()
        slot = row // self.stride
        if slot == self._count:
            self._count += 1
        elif score <= self._scores[slot]:
            return
        self._rows[slot], self._scores[slot], self._thumbnails[slot] = row, score, thumb

    def content(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Rows in order, and their thumbnails."""
        return self._rows[: self._count].copy(), self._thumbnails[: self._count].copy()

    def _halve(self) -> None:
        pairs = self._scores.reshape(-1, 2)
        kept = np.arange(0, self._capacity, 2) + (pairs[:, 1] > pairs[:, 0])
        self._count = len(kept)
        for column in (self._rows, self._scores, self._thumbnails):
            column[: self._count] = column[kept]
        self.stride *= 2


class Analyst:
    """Takes pictures in order and measures each. `result` may be called once, at the end."""

    def __init__(self, video: Video, capacity: int = CANDIDATES, keep_blurred: bool = False) -> None:
        self._full_range = video.facts.full_range
        self._time_base, self._first_pts = video.facts.time_base, video.facts.first_pts
        self._columns: dict[str, array[Any]] = {name: array(code) for name, (code, _) in _COLUMNS.items()}
        self._sharp = Reservoir(capacity)
        self._blurred = Reservoir(capacity if keep_blurred else 0)
        self._keep_blurred = keep_blurred
        self._previous: Thumbnail | None = None

    def look(self, decoded: DecodedPicture) -> None:
        """Measure one picture and forget it."""
        planes = decoded.planes()
        sharp = sharpness(planes[0])
        thumb = thumbnail(planes)
        light = exposure(thumb, self._full_range)
        row = len(self._columns["pts"])
        blank = light.is_blank
        changed = 0.0 if self._previous is None else change(thumb, self._previous)
        values = (
            decoded.pts,
            decoded.ordinal,
            checksum(thumb),
            sharp,
            light.brightness,
            light.contrast,
            changed,
            blank,
        )
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        self._sharp.offer(row, -1.0 if blank else sharp, thumb)
        if self._keep_blurred:
            self._blurred.offer(row, -np.inf if blank else -sharp, thumb)
        self._previous = thumb

    def result(self) -> Analysis:
        """All that was seen."""
        columns: dict[str, Any] = {name: np.array(column, _COLUMNS[name][1]) for name, column in self._columns.items()}
        seconds = (columns["pts"] - self._first_pts) * float(self._time_base)
        scene = scene_numbers(columns["change"], columns["blank"], seconds)
        table = FrameTable(**columns, seconds=seconds, scene=scene)
        rows, thumbnails = self._sharp.content()
        blurred_rows, blurred_thumbnails = self._blurred.content()
        return Analysis(table, rows, thumbnails, blurred_rows, blurred_thumbnails)


_COLUMNS: dict[str, tuple[str, type]] = {  # name -> type code while it grows, type of the finished column
    "pts": ("q", np.int64),
    "ordinal": ("q", np.int64),
    "checksum": ("L", np.uint32),
    "sharpness": ("f", np.float32),
    "brightness": ("f", np.float32),
    "contrast": ("f", np.float32),
    "change": ("f", np.float32),
    "blank": ("b", np.bool_),
}
