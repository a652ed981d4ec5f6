"""Heatmaps -> joints, each where the network expects the highest OKS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainers.codecs.cells import Alignment, FloatArray, Size, cells_to_input
from trainers.codecs.heatmap import Refinement, softmax
from trainers.codecs.peaks import find_peaks, parabola_offsets

Decoding = Literal[Refinement, "expected-oks"]
_SUBJECT = 0.58  # root of a subject's area over that of the input's area, times the padding; see `oks_fall_offs`
_LEAST_OKS = 1e-12  # lower counts as 0: numbers too small for float32's full precision slow some processors down


def oks_fall_offs(sigmas: Sequence[float], input_size: Size, padding: float) -> tuple[float, ...]:
    """The distance at which each joint's OKS is exp(-1/2), in pixels of the input: COCO's 2 sigma sqrt(area).

    The box is not known here, but the input is cut around it: sqrt(area) is taken to be 0.58 sqrt(width height) /
    padding, the mean over the people of COCO (whose area is 0.53 of the box), 103 pixels of 192 x 256 at a padding of
    1.25. Accuracy is flat from 60 to 120 pixels.
    """
    area_root = _SUBJECT * math.sqrt(input_size[0] * input_size[1]) / padding
    return tuple(2 * sigma * area_root for sigma in sigmas)


def decode_expected_oks(
    logits: npt.NDArray[Any], input_size: Size, alignment: Alignment, fall_offs_px: Sequence[float], sigma: float
) -> tuple[FloatArray, FloatArray]:
    """Joints (..., joints, 2) in pixels of the input, and scores (..., joints), of logits (..., joints, h, w).

    fall_offs_px: (joints,), of `oks_fall_offs`. sigma: of the targets, in cells. A softmax makes of each map the shares
    p of its cells c. The OKS to expect of a place x, sum_c p(c) exp(-|x - c|^2 / (2 fall_off^2)), is p smoothed by a
    Gaussian (Purkrabek and Matas, ProbPose, CVPR 2025): a joint is where it is highest. Parabolas through the cells
    beside the highest one say where between them; a border cell's centre stands for itself.
    A score is that of `decode_heatmaps`: it tells better than the OKS to expect whether a joint is right (on COCO's
    people it is off by 0.010 once calibrated, the other by 0.038), and ranks subjects as well.
    A map that prefers no cell (flat, or all NaN) has found nothing: xy is NaN, its score 0. Other NaN cells have no
    probability.
    """
    *outer, joints, height, width = np.shape(logits)
    shares = softmax(np.ascontiguousarray(logits, np.float32).reshape(-1, height, width))
    _, peaks = find_peaks(shares.reshape(-1, height * width))
    found = ~np.isnan(peaks)
    shares[np.isnan(shares)] = 0
    first, second = cells_to_input(np.array([[0, 0], [1, 1]]), input_size, (width, height), alignment)
    stacked = shares.reshape(-1, joints, height, width)
    expected = _expected_oks(stacked, fall_offs_px, second - first).reshape(-1, height, width)
    cells = _highest_cells(expected)
    refined = cells + _offsets(expected, cells)
    xy = cells_to_input(refined, input_size, (width, height), alignment).astype(np.float32)
    xy = np.where(found[:, None], xy, np.float32(np.nan))
    scores = np.where(found, peaks * np.float32(2 * np.pi * sigma**2), 0).clip(0, 1).astype(np.float32)
    return xy.reshape(*outer, joints, 2), scores.reshape(*outer, joints)


def _expected_oks(shares: FloatArray, fall_offs_px: Sequence[float], cell_px: npt.NDArray[np.float64]) -> FloatArray:
    """Of each cell's centre, (n, joints, h, w) as the shares are. A Gaussian is one over y times one over x."""
    height, width = shares.shape[-2:]
    across, down = (
        _oks_between(size, tuple(fall_off / float(px) for fall_off in fall_offs_px))
        for size, px in zip((width, height), cell_px, strict=True)
    )
    return np.matmul(np.matmul(down, shares), across)


@lru_cache(maxsize=64)
def _oks_between(size: int, fall_offs: tuple[float, ...]) -> FloatArray:
    """Of cells of one axis for each other, (joints, size, size); the fall-offs are in cells."""
    distances = np.subtract.outer(np.arange(size), np.arange(size))
    exact = np.exp(-(distances**2) / (2 * np.array(fall_offs)[:, None, None] ** 2))
    oks = np.where(exact < _LEAST_OKS, 0, exact).astype(np.float32)
    oks.setflags(write=False)
    return oks


def _highest_cells(maps: FloatArray) -> npt.NDArray[np.intp]:
    """Of each map of (m, h, w), (m, 2) as x, y."""
    positions = maps.reshape(len(maps), maps.shape[1] * maps.shape[2]).argmax(axis=1)
    return np.stack([positions % maps.shape[2], positions // maps.shape[2]], axis=1)


def _offsets(maps: FloatArray, cells: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """From the cells to the tops of the parabolas along x and y, (m, 2), at most half a cell."""
    every, (x, y) = np.arange(len(maps)), cells.T
    along = (maps[every, y], x), (maps[every, :, x], y)
    return np.stack([parabola_offsets(rows, positions, of_logarithms=False) for rows, positions in along], axis=1)
