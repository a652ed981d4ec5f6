"""Joints <-> heatmaps."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainers.codecs.cells import Alignment, FloatArray, Size, cells_to_input, input_to_cells
from trainers.codecs.peaks import dark_offsets, find_peaks, quarter_offsets, sigmoid

Refinement = Literal["argmax", "quarter-offset", "dark"]
Activation = Literal["none", "sigmoid", "softmax"]


def encode_heatmaps(
    xy: npt.NDArray[Any], input_size: Size, map_size: Size, alignment: Alignment, sigma: float
) -> FloatArray:
    """Gaussians of height 1 and `sigma` cells about joints (..., 2) in pixels of the input: (..., h, w).

    Centres are not rounded to cells (Zhang et al., 2020, section 3.3). A joint of NaN gives a map of zeros.
    """
    cells = input_to_cells(xy, input_size, map_size, alignment)
    known = np.isfinite(cells).all(axis=-1, keepdims=True)
    cells = np.where(known, cells, 0)
    along_x, along_y = (
        np.exp(-((np.arange(size) - cells[..., axis, None]) ** 2) / (2 * sigma**2)).astype(np.float32)
        for axis, size in enumerate(map_size)
    )
    return along_y[..., :, None] * (along_x * known)[..., None, :]


def decode_heatmaps(
    heatmaps: npt.NDArray[Any],
    input_size: Size,
    alignment: Alignment,
    decoding: Refinement = "dark",
    sigma: float = 2.0,
    activation: Activation = "none",
) -> tuple[FloatArray, FloatArray]:
    """Joints (..., 2) in pixels of the input, and scores (...), of heatmaps (..., h, w).

    sigma: of the targets' Gaussians, in cells. A score is the value of the map's highest cell, cut to 0..1, after the
    activation. A softmax shares 1 among all cells: its peak is divided by that of a perfect answer, 1 / (2 pi sigma^2).
    A map that prefers no cell (flat, or all NaN) has found nothing: xy is NaN, its score 0. Other NaN cells count as
    the lowest.
    """
    *outer, height, width = np.shape(heatmaps)
    maps = np.ascontiguousarray(heatmaps, np.float32).reshape(-1, height, width)
    if activation == "softmax":
        maps = softmax(maps) * np.float32(2 * np.pi * sigma**2)
    positions, values = find_peaks(maps.reshape(-1, height * width))
    cells = np.stack([positions % width, positions // width], axis=1)
    refined = cells + _offsets(maps, cells, decoding, sigma, activation == "sigmoid")
    xy = cells_to_input(refined, input_size, (width, height), alignment).astype(np.float32)
    found = ~np.isnan(values)
    scores = np.where(found, sigmoid(values) if activation == "sigmoid" else values, 0).clip(0, 1)
    return np.where(found[:, None], xy, np.nan).reshape(*outer, 2), scores.astype(np.float32).reshape(outer)


def turn_negative(heatmaps: npt.NDArray[Any]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Heatmaps (..., h, w) whose largest absolute value is positive, and which of them (...) were turned for it."""
    maps = np.asarray(heatmaps, np.float32)
    lowest, highest = (np.nan_to_num(reach(maps, axis=(-2, -1))) for reach in (np.fmin.reduce, np.fmax.reduce))
    is_negative = -lowest > highest
    return np.where(is_negative[..., None, None], -maps, maps), is_negative


def softmax(maps: FloatArray) -> FloatArray:
    """Over the cells of each map, (m, h, w); NaN cells share in nothing."""
    shares = np.exp(maps - np.nan_to_num(np.fmax.reduce(maps, axis=(1, 2), keepdims=True)))
    total: FloatArray = np.nansum(shares, axis=(1, 2), keepdims=True)
    return np.divide(shares, total, out=np.full_like(shares, np.nan), where=total > 0)


def _offsets(
    maps: FloatArray, cells: npt.NDArray[np.intp], decoding: Refinement, sigma: float, are_logits: bool
) -> FloatArray:
    match decoding:
        case "dark":
            return dark_offsets(maps, cells, sigma, are_logits)
        case "quarter-offset":
            return quarter_offsets(maps, cells)
        case "argmax":
            return np.zeros(cells.shape, np.float32)
