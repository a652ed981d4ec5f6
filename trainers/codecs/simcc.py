"""Joints <-> SimCC: one distribution over bins for x and one for y (Li et al., 2022)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.codecs.cells import Alignment, FloatArray, Size, cells_to_input, input_to_cells
from trainers.codecs.peaks import find_peaks, parabola_offsets


def encode_simcc(
    xy: npt.NDArray[Any], input_size: Size, bin_counts: Size, alignment: Alignment, sigma: float
) -> tuple[FloatArray, FloatArray]:
    """Gaussians of `sigma` bins that sum to 1, (..., x bins) and (..., y bins), of joints (..., 2) in input pixels.

    A joint of NaN, or so far outside that no bin is near it, gives zeros.
    """
    cells = input_to_cells(xy, input_size, bin_counts, alignment)
    known = np.isfinite(cells).all(axis=-1, keepdims=True)
    cells = np.where(known, cells, 0)
    encoded = []
    for axis, count in enumerate(bin_counts):
        gaussian = np.exp(-((np.arange(count) - cells[..., axis, None]) ** 2) / (2 * sigma**2)) * known
        total = gaussian.sum(axis=-1, keepdims=True)
        encoded.append((gaussian / np.where(total > 0, total, 1)).astype(np.float32))
    return encoded[0], encoded[1]


def decode_simcc(
    x_bins: npt.NDArray[Any],
    y_bins: npt.NDArray[Any],
    input_size: Size,
    alignment: Alignment,
    is_logit: bool,
    sigma: float,
) -> tuple[FloatArray, FloatArray]:
    """Joints (..., 2) in pixels of the input, and scores (...), of values over bins (..., x bins), (..., y bins).

    Between bins the peak is that of a parabola through the logarithms of three, exact for a Gaussian; it never leaves
    the highest bin. A score is the lower of the axes' peaks, cut to 0..1; with `is_logit` a peak's probability is
    divided by that of a perfect answer, 1 / (sigma sqrt(2 pi)), for a softmax over many bins is small everywhere.
    An axis that prefers no bin (flat, or all NaN) has found nothing: xy is NaN, the score 0.
    """
    outer = np.shape(x_bins)[:-1]
    decoded = [_decode_axis(bins, is_logit, sigma) for bins in (x_bins, y_bins)]
    cells = np.stack([positions for positions, _ in decoded], axis=1)
    bin_counts = (np.shape(x_bins)[-1], np.shape(y_bins)[-1])
    xy = cells_to_input(cells, input_size, bin_counts, alignment).astype(np.float32)
    scores = np.minimum(decoded[0][1], decoded[1][1])
    found = ~np.isnan(scores)
    xy = np.where(found[:, None], xy, np.float32(np.nan))
    return xy.reshape(*outer, 2), np.where(found, scores, 0).clip(0, 1).astype(np.float32).reshape(outer)


def _decode_axis(bins: npt.NDArray[Any], is_logit: bool, sigma: float) -> tuple[npt.NDArray[np.float64], FloatArray]:
    """Positions in bins and peaks, (m,) both; a peak is NaN where nothing was found."""
    rows = np.ascontiguousarray(bins, np.float32).reshape(-1, np.shape(bins)[-1])
    positions, peaks = find_peaks(rows)
    refined = positions + parabola_offsets(rows, positions, of_logarithms=not is_logit)
    if is_logit:
        shares = np.exp(rows - np.nan_to_num(peaks)[:, None])
        peaks = peaks * 0 + sigma * math.sqrt(2 * math.pi) / np.nansum(shares, axis=1)
    return refined, peaks
