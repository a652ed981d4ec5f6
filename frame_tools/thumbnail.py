"""Thumbnails made from a picture's luma and chroma planes, without a detour over RGB (pure).

They are neither turned nor stretched: they serve to compare frames and to measure them, not to be looked at. All are
made from a dozen samples a cell, because reading every pixel would cost a third of what decoding costs.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]  # (height, width)
Thumbnail = npt.NDArray[np.uint8]  # (THUMBNAIL_SIZE,)

LUMA_CELLS = 24
CHROMA_CELLS = 12
THUMBNAIL_SIZE = LUMA_CELLS**2 + 2 * CHROMA_CELLS**2

_SAMPLES = 4  # a cell's side, in samples


def thumbnail(planes: Sequence[Plane]) -> Thumbnail:
    """How brightness and colour lie in the picture: means over a grid of cells, luma first.

    planes: luma and two of chroma, or luma alone. The aspect ratio is given up, so that all thumbnails have one size.
    """
    luma, *chroma = planes
    cells = [_cells(luma, LUMA_CELLS)]
    cells += [_points(plane, CHROMA_CELLS) for plane in chroma] or [_NO_CHROMA, _NO_CHROMA]
    return np.concatenate(cells)


def checksum(thumb: Thumbnail) -> int:
    """32 bits by which a picture is known again."""
    return zlib.crc32(thumb.tobytes())


def halved(plane: Plane, longest: int) -> Plane:
    """The plane halved until its longer side is at most `longest`; an odd last row or column is left out."""
    while max(plane.shape) > longest and min(plane.shape) > 1:
        plane = _half(plane)
    return plane


def _cells(plane: Plane, count: int) -> Plane:
    side = _SAMPLES * count
    rows, columns = (np.arange(side) * size // side for size in plane.shape)
    samples = plane[rows][:, columns]  # rows first: whole rows are copied faster than single pixels are looked up
    return np.asarray(cv2.resize(samples, (count, count), interpolation=cv2.INTER_AREA), np.uint8).ravel()


def _points(plane: Plane, count: int) -> Plane:
    """Chroma is smooth: a value in the middle of each cell will do."""
    return np.asarray(cv2.resize(plane, (count, count), interpolation=cv2.INTER_LINEAR), np.uint8).ravel()


def _half(plane: Plane) -> Plane:
    height, width = plane.shape[0] // 2, plane.shape[1] // 2  # exact halves are what OpenCV averages fastest
    half = cv2.resize(plane[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(half, np.uint8)


_NO_CHROMA = np.full(CHROMA_CELLS**2, 128, np.uint8)
