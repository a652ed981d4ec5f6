"""Where the cells of a heatmap, or the bins of SimCC, lie in a network's input."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Alignment = Literal["half-pixel", "stride", "align-corners"]
Size = tuple[int, int]  # (width, height)
FloatArray = npt.NDArray[np.float32]


def cells_to_input(
    cells: npt.NDArray[Any], input_size: Size, map_size: Size, alignment: Alignment
) -> npt.NDArray[np.float64]:
    """Positions counted in cells, (..., 2) as x, y, in pixels of the input.

    Cell i of w over an input of W pixels, each s = W / w wide, stands for
    half-pixel: (i + 0.5) * s, its own centre; the only one that a mirrored input mirrors exactly for any s.
    stride: the centre of pixel i * s, where SimpleBaseline (Xiao et al., 2018), HRNet and MMPose put it.
    align-corners: the first and last cells stand for the first and last pixels (UDP: Huang et al., 2020).
    """
    scale, offset = _line(input_size, map_size, alignment)
    return np.asarray(cells, np.float64) * scale + offset


def input_to_cells(
    xy: npt.NDArray[Any], input_size: Size, map_size: Size, alignment: Alignment
) -> npt.NDArray[np.float64]:
    """The inverse of `cells_to_input`."""
    scale, offset = _line(input_size, map_size, alignment)
    return (np.asarray(xy, np.float64) - offset) / scale


def average_mirrored(
    maps: npt.NDArray[Any], mirrored: npt.NDArray[Any], input_width: int, alignment: Alignment
) -> npt.NDArray[np.float32]:
    """The mean of a network's answers (..., w) to an input and to its mirror image, laid over each other.

    With "stride" the mirrored cells fall between the cells, 1 - 1/s further right: they are interpolated by cubics
    (Keys, 1981, a = -0.5). Moving by one whole cell, as is usual, leaves an error of 1/(2s) cells in the mean. A cell
    beyond the mirrored map's last one keeps its own value.
    """
    turned = mirrored[..., ::-1]
    if alignment == "stride":
        turned = _moved(turned, maps, 1 - maps.shape[-1] / input_width)
    averaged: npt.NDArray[np.float32] = np.float32(0.5) * (maps + turned)
    return averaged


def _moved(cells: npt.NDArray[Any], instead: npt.NDArray[Any], shift: float) -> npt.NDArray[np.float32]:
    """`cells` (..., w) moved right by `shift` cells, `instead` where they end."""
    width = cells.shape[-1]
    sources = np.arange(width) - shift
    left = np.floor(sources).astype(np.intp).clip(0, max(width - 2, 0))
    first, last = cells[..., :1], cells[..., -1:]
    extended = np.concatenate([2 * first - cells[..., 1:2], cells, 2 * last - cells[..., -2:-1]], axis=-1)
    moved = np.zeros(cells.shape, np.float32)
    for tap, weights in enumerate(_cubic_weights(sources - left)):
        moved += weights.astype(np.float32) * extended[..., left + tap]
    return np.where((sources >= 0) & (sources <= width - 1), moved, instead)


def _cubic_weights(share: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Of the cell before the left neighbour, both neighbours, and the cell after the right one."""
    t = share
    return [
        -0.5 * t + t**2 - 0.5 * t**3,
        1 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    ]


def _line(
    input_size: Size, map_size: Size, alignment: Alignment
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scale and offset, each (2,), of: position = cell * scale + offset."""
    pixels, cells = np.array(input_size, np.float64), np.array(map_size, np.float64)
    if alignment == "align-corners":
        return (pixels - 1) / np.maximum(cells - 1, 1), np.full(2, 0.5)
    stride = pixels / cells
    return stride, stride / 2 if alignment == "half-pixel" else np.full(2, 0.5)
