"""Which pictures are the same: byte for byte, or so alike that one of them teaches nothing."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from trainers.errors import TrainersError
from trainers.image_files import ImageRef

CELLS = 24  # a print's side
# Saved again or scaled, a picture's cells differ by less; a mouse that moved by a step differs by 20 in some cell.
MOST_CELL = 6
MOST_MEAN = 1.5

_BLOCK = 6  # cells of a side that are compared first, as one
_WINDOW = 2000  # pictures next in brightness that are compared; the same picture differs in it by a tenth of a level
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class PicturePrint:
    """By what a picture is known again. sha256: of the file. cells: (CELLS * CELLS,) uint8, brightness over a grid."""

    sha256: str
    cells: npt.NDArray[np.uint8]


def picture_print(ref: ImageRef) -> PicturePrint:
    """Read the file, a JPEG at the least size it can be decoded to. Raises TrainersError for what is damaged."""
    try:
        content = ref.content()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                is_jpeg = image.format == "JPEG"
                image.draft("L", (4 * CELLS, 4 * CELLS))
                upright = ImageOps.exif_transpose(image)
                small = upright.convert("L").resize((CELLS, CELLS), Image.Resampling.BOX)
    except _UNREADABLE as error:
        raise TrainersError(f"{ref}: damaged or cut off: {error}") from error
    if is_jpeg and b"\xff\xd9" not in content:
        raise TrainersError(f"{ref}: cut off: its JPEG data has no end")
    return PicturePrint(hashlib.sha256(content).hexdigest(), np.asarray(small, np.uint8).ravel())


def alike(cells: npt.NDArray[np.uint8]) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """For each picture that has any: its index, and those of the pictures after it in brightness that look the same.

    cells: (n, CELLS * CELLS), as prints have them. Each pair comes once.
    """
    brightness = cells.mean(axis=1)
    order = np.argsort(brightness, kind="stable")
    ordered = cells[order].astype(np.int16)
    side = CELLS // _BLOCK
    blocks = ordered.reshape(-1, side, _BLOCK, side, _BLOCK).mean(axis=(2, 4)).reshape(len(cells), side * side)
    ends = np.searchsorted(brightness[order], brightness[order] + MOST_MEAN, side="right")
    for place in range(len(cells)):
        end = min(int(ends[place]), place + 1 + _WINDOW)
        near = place + 1 + np.flatnonzero((np.abs(blocks[place + 1 : end] - blocks[place]) <= MOST_CELL).all(axis=1))
        if near.size:
            difference = np.abs(ordered[near] - ordered[place])
            same = (difference.max(axis=1) <= MOST_CELL) & (difference.mean(axis=1) <= MOST_MEAN)
            if same.any():
                yield int(order[place]), order[near[same]]
