"""How a stored picture has to be turned and stretched to be seen as it was filmed (pure)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a picture: first transposed, then mirrored."""

    transpose: bool = False
    flip_horizontal: bool = False
    flip_vertical: bool = False

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The upright picture, contiguous; (height, width, …) or, transposed, (width, height, …)."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_horizontal:
            image = image[:, ::-1]
        if self.flip_vertical:
            image = image[::-1]
        return np.ascontiguousarray(image)

    @property
    def clockwise_degrees(self) -> int:
        """The turn to make; of a mirrored picture, the turn after mirroring it from left to right."""
        if self.transpose:
            return 90 if self.flip_horizontal else 270
        return 180 if self.flip_vertical else 0


def orientation_of_matrix(matrix: bytes) -> Orientation:
    """The orientation in a display matrix: nine native int32, as FFmpeg's libavutil/display.h lays them out.

    A point (x, y) is shown at (a·x + c·y, b·x + d·y) where the matrix begins a, b, u, c, d. A turn by anything but
    right angles is taken as the nearest one.
    """
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, flip_horizontal=c < 0, flip_vertical=b < 0)
    return Orientation(flip_horizontal=a < 0, flip_vertical=d < 0)


def square_size(width: int, height: int, sample_aspect: Fraction | None) -> tuple[int, int]:
    """The stored picture's size once its pixels are square: the short way is stretched, so no detail is lost.

    sample_aspect: width of a stored pixel over its height; None or 0 where the file does not say.
    """
    if not sample_aspect or sample_aspect == 1:
        return width, height
    if sample_aspect > 1:
        return max(1, round(width * sample_aspect)), height
    return width, max(1, round(height / sample_aspect))
