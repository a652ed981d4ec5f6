"""The highest points of heatmaps, and where between the cells they lie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.codecs.cells import FloatArray

Offsets = npt.NDArray[np.float32]  # (m, 2) as x, y, in cells
Cells = npt.NDArray[np.intp]  # (m, 2) as x, y
_FLOOR = 1e-6  # of the peak: what is lower counts as nothing, so that its logarithm bends no parabola
_LEAST = 1e-12  # what is lower is no evidence, so that its logarithm stays finite


def find_peaks(rows: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """The position and value of each row's highest entry, (m,) both, of (m, length).

    Entries that are NaN count as the lowest. A row without a highest entry (all equal, or all NaN) has the value NaN.
    """
    positions = rows.argmax(axis=1)
    values = rows[np.arange(len(rows)), positions]
    spoilt = np.flatnonzero(np.isnan(values))  # argmax stops at the first NaN
    if spoilt.size:
        cleaned = np.nan_to_num(rows[spoilt], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        positions[spoilt] = cleaned.argmax(axis=1)
        values[spoilt] = cleaned[np.arange(len(spoilt)), positions[spoilt]]
    first = np.flatnonzero(positions == 0)  # a flat row is one of these: argmax takes the first of equals
    if first.size:
        flat = ~(rows[first] < values[first, None]).any(axis=1)
        values[first[flat]] = np.nan
    return positions, values


def quarter_offsets(maps: FloatArray, cells: Cells) -> Offsets:
    """A quarter of a cell towards the higher neighbour on each axis (Newell et al., 2016; Xiao et al., 2018)."""
    around = _patches(maps, cells, radius=1)
    slope = np.stack([around[:, 1, 2] - around[:, 1, 0], around[:, 2, 1] - around[:, 0, 1]], axis=1)
    inside = (cells > 0) & (cells < _last_cell(maps))
    return np.where(inside, 0.25 * np.sign(slope), 0).astype(np.float32)


def dark_offsets(maps: FloatArray, cells: Cells, sigma: float, are_logits: bool) -> Offsets:
    """The maximum of a second-order Taylor expansion of the log of the map, smoothed by a Gaussian of `sigma` cells.

    Zhang et al., 2020 (DARK), equations 4 to 9, with second derivatives over one cell. Two things are ours. The
    smoothing looks no further than the map on either side goes, for cells made up beyond its border would pull the
    joint inwards. And a peak in a border cell is expanded about the cell beside it. Only the surroundings of each
    peak are smoothed: the paper's rescaling to the old maximum is a constant in the logarithm, and falls out.
    Offsets end at one cell; they are 0 where the surroundings are no hill.
    """
    last = _last_cell(maps)
    if last.min() < 2:
        return np.zeros(cells.shape, np.float32)
    centres = cells.clip(1, last - 1)
    radius = math.ceil(2.5 * sigma)
    patches = _patches(maps, centres, radius + 1)
    if are_logits:
        patches = sigmoid(patches)
    patches = np.nan_to_num(patches, nan=0)
    room = np.minimum(centres - 1, last - 1 - centres).clip(max=radius)
    blur = _smoothing(radius, sigma)[room]  # (m, 2, 3, 2 * radius + 3)
    smooth = blur[:, 1] @ patches @ blur[:, 0].transpose(0, 2, 1)  # (m, 3, 3)
    offsets, is_hill = _taylor_maximum(smooth)
    return np.where(is_hill[:, None], (centres - cells + offsets).clip(-1, 1), 0).astype(np.float32)


def parabola_offsets(rows: FloatArray, positions: npt.NDArray[np.intp], of_logarithms: bool) -> npt.NDArray[np.float64]:
    """How far, at most half an entry, each row's maximum lies from its highest entry, (m,), of (m, length).

    It is the top of a parabola through three values, or through their logarithms: exact for a Gaussian. 0 in the first
    and last entry.
    """
    last = rows.shape[1] - 1
    if last < 2:
        return np.zeros(len(rows))
    middle = positions.clip(1, last - 1)
    around = rows[np.arange(len(rows))[:, None], middle[:, None] + np.arange(-1, 2)].astype(np.float64)
    values = np.log(np.nan_to_num(around, nan=0).clip(_LEAST)) if of_logarithms else around
    bend = values[:, 0] - 2 * values[:, 1] + values[:, 2]
    usable = (middle == positions) & (bend < 0) & np.isfinite(bend)
    offset = (values[:, 0] - values[:, 2]) / np.where(usable, 2 * bend, 1)
    return np.where(usable, offset, 0).clip(-0.5, 0.5)


def sigmoid(logits: npt.NDArray[Any]) -> FloatArray:
    """1 / (1 + exp(-x)), without overflow."""
    return (0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float32)))).astype(np.float32)


def _taylor_maximum(smooth: FloatArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """-H^-1 g at the middle of log(smooth), (m, 3, 3), and where the Hessian H is that of a hill."""
    highest = smooth.max(axis=(1, 2), keepdims=True)
    positive = highest[:, 0, 0] > 0
    highest = np.where(highest > 0, highest, 1)
    log = np.log(np.maximum(smooth / highest, _FLOOR).astype(np.float64))
    dx, dy = (log[:, 1, 2] - log[:, 1, 0]) / 2, (log[:, 2, 1] - log[:, 0, 1]) / 2
    dxx = log[:, 1, 2] - 2 * log[:, 1, 1] + log[:, 1, 0]
    dyy = log[:, 2, 1] - 2 * log[:, 1, 1] + log[:, 0, 1]
    dxy = (log[:, 2, 2] - log[:, 2, 0] - log[:, 0, 2] + log[:, 0, 0]) / 4
    determinant = dxx * dyy - dxy * dxy
    is_hill = positive & (dxx < 0) & (determinant > 1e-12)
    divisor = np.where(is_hill, determinant, 1)
    offsets = np.stack([(dxy * dy - dyy * dx) / divisor, (dxy * dx - dxx * dy) / divisor], axis=1)
    return offsets, is_hill & np.isfinite(offsets).all(axis=1)


def _smoothing(radius: int, sigma: float) -> FloatArray:
    """What takes a patch to its smoothed middle, for 0 to `radius` cells of room: (radius + 1, 3, 2 radius + 3)."""
    distance = np.abs(np.arange(2 * radius + 3) - (radius + 1 + np.arange(-1, 2))[:, None])
    gaussian = np.exp(-(distance**2) / (2 * sigma**2))
    kernels = np.where(distance <= np.arange(radius + 1)[:, None, None], gaussian, 0)
    return (kernels / kernels.sum(axis=2, keepdims=True)).astype(np.float32)


def _patches(maps: FloatArray, cells: Cells, radius: int) -> FloatArray:
    """The squares around `cells`, (m, 2 radius + 1, 2 radius + 1); beyond the border its last cell is repeated."""
    around = np.arange(-radius, radius + 1)
    last = _last_cell(maps)
    columns = (cells[:, :1] + around).clip(0, last[0])
    lines = (cells[:, 1:] + around).clip(0, last[1])
    _, height, width = maps.shape
    starts = (np.arange(len(maps))[:, None] * height + lines) * width
    return maps.reshape(-1).take(starts[:, :, None] + columns[:, None, :])


def _last_cell(maps: FloatArray) -> npt.NDArray[np.intp]:
    return np.array([maps.shape[2] - 1, maps.shape[1] - 1])
