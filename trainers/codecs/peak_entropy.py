"""How torn a network is between several places for a joint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.codecs.cells import FloatArray

_LEAST_SHARE = 0.1  # of the highest peak: lower ones are ripples


def peak_entropy(maps: npt.NDArray[Any], sigma: float) -> FloatArray:
    """(...) nats, of maps (..., h, w) that are 0 where there is no evidence: 0 for one peak, ln k for k equal ones.

    Multiple peak entropy (Liu and Ferrari, 2017, Active Learning for Human Pose Estimation): the entropy of the heights
    of the local maxima, made to sum to 1. Theirs is a softmax over all maxima, in which the many of height
    nearly 0 outweigh the few that matter; here heights are divided by their sum, and what is below a tenth of the
    highest is left out. A peak is the highest within `sigma` cells on each axis, of the targets' Gaussians. NaN where
    no cell is above 0.
    """
    *outer, height, width = np.shape(maps)
    rows = np.nan_to_num(np.asarray(maps, np.float32), nan=0, posinf=0, neginf=0).reshape(-1, height, width)
    heights = np.where(_is_peak(rows, max(1, math.ceil(sigma))), rows, 0).reshape(len(rows), -1)
    highest = heights.max(axis=1, keepdims=True, initial=0)
    heights = np.where(heights >= _LEAST_SHARE * highest, heights, 0)
    shares = heights / np.where(highest > 0, heights.sum(axis=1, keepdims=True), 1)
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy = np.where(highest[:, 0] > 0, -(shares * logarithms).sum(axis=1), np.nan)
    return entropy.clip(0, None).astype(np.float32).reshape(outer)


def _is_peak(rows: FloatArray, radius: int) -> npt.NDArray[np.bool_]:
    """Which cells no other within `radius` exceeds; of equal ones only the first."""
    _, height, width = rows.shape
    padded = np.pad(rows, ((0, 0), (radius, radius), (radius, radius)), constant_values=-np.inf)
    is_peak = rows > 0
    reach = range(2 * radius + 1)
    for down, right in ((down, right) for down in reach for right in reach if (down, right) != (radius, radius)):
        neighbours = padded[:, down : down + height, right : right + width]
        is_peak &= rows > neighbours if (down, right) < (radius, radius) else rows >= neighbours
    return is_peak
