"""A decoded picture and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]  # (height, width, 3), upright, square pixels

HASH_DIGITS = 8  # of the source's hash, in a file name


@dataclass(frozen=True, order=True)
class FrameId:
    """What makes a frame the same frame on any machine: the hash of its source's bytes and its time stamp."""

    source_sha256: str  # 64 hexadecimal digits
    pts: int  # in units of the video's time base


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    image: (height, width, 3) uint8 RGB, upright, with square pixels. ordinal: how many frames of the source come
    before it, those lost to damage included. seconds counts from the time base's zero, not from the first frame.
    """

    image: RgbImage
    id: FrameId
    time_base: Fraction
    ordinal: int

    @property
    def seconds(self) -> Fraction:
        """The exact time of the frame on the video's own clock."""
        return self.id.pts * self.time_base


def frame_file_name(stem: str, frame_id: FrameId, suffix: str) -> str:
    """`match-0f3a9c21-15360.jpg`: the same in every round, and different for two videos of one name.

    suffix: with its dot.
    """
    return f"{stem}-{frame_id.source_sha256[:HASH_DIGITS]}-{frame_id.pts}{suffix}"
