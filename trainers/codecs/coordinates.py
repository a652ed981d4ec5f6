"""Joints <-> rows of numbers, as networks give that regress positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainers.codecs.cells import FloatArray, Size
from trainers.codecs.peaks import sigmoid

Column = Literal["x", "y", "z", "score", "visibility", "presence", "ignored"]
Unit = Literal["fraction", "pixels", "pixel-indices"]


def encode_coordinates(
    xy: npt.NDArray[Any], scores: npt.NDArray[Any], order: Sequence[Column], unit: Unit, input_size: Size
) -> FloatArray:
    """Rows (..., len(order)) of joints (..., 2) in pixels of the input; columns that it knows nothing of are 0."""
    rows = np.zeros((*np.shape(scores), len(order)), np.float32)
    scale, offset = _line(unit, input_size)
    placed = (np.asarray(xy, np.float64) - offset) / scale
    for column, name in enumerate(order):
        if name in ("x", "y"):
            rows[..., column] = placed[..., "xy".index(name)]
        elif name in ("score", "presence", "visibility"):
            rows[..., column] = scores
    return rows


def decode_coordinates(
    rows: npt.NDArray[Any], order: Sequence[Column], unit: Unit, input_size: Size, is_logit: bool
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Joints (..., 2) in pixels of the input, scores (...) and whether each can be seen (...), of rows (..., columns).

    fraction: of the input's width and height. pixels: (0, 0) is the corner of the first pixel. pixel-indices: (0, 0)
    is its centre. A score is the column "score", else "presence", else "visibility" (1 where there is none), after a
    sigmoid if `is_logit`, cut to 0..1. Seen is what "visibility" puts at 0.5 or more. A position that is not finite
    was not found: xy is NaN, its score 0.
    """
    rows = np.asarray(rows, np.float32)
    scale, offset = _line(unit, input_size)
    xy = (rows[..., [order.index("x"), order.index("y")]] * scale + offset).astype(np.float32)
    found = np.isfinite(xy[..., :1]) & np.isfinite(xy[..., 1:])
    scores = _belief(rows, order, ("score", "presence", "visibility"), is_logit)
    seen = _belief(rows, order, ("visibility",), is_logit) >= 0.5
    return np.where(found, xy, np.float32(np.nan)), np.where(found[..., 0], scores, np.float32(0)), seen


def _belief(rows: FloatArray, order: Sequence[Column], names: Sequence[Column], is_logit: bool) -> FloatArray:
    column = next((order.index(name) for name in names if name in order), None)
    if column is None:
        return np.ones(rows.shape[:-1], np.float32)
    values = np.nan_to_num(sigmoid(rows[..., column]) if is_logit else rows[..., column], nan=0)
    return values.clip(0, 1).astype(np.float32)


def _line(unit: Unit, input_size: Size) -> tuple[npt.NDArray[np.float64], float]:
    """Scale and offset of: pixels = number * scale + offset."""
    if unit == "fraction":
        return np.array(input_size, np.float64), 0.0
    return np.ones(2), 0.5 if unit == "pixel-indices" else 0.0
