"""Box -> the input of a pose network, and back: upright crops, exact to a fraction of a pixel.

Positions are pixels with (0, 0) at the outer corner of the first pixel, in the image as in the input. OpenCV counts
from the centre of that pixel; `pixel_indices` is the one place that knows.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from trainers.codecs import Size
from trainers.errors import TrainersError

RgbImage = npt.NDArray[np.uint8]  # (height, width, 3)
Affines = npt.NDArray[np.float64]  # (..., 2, 3)
Fit = Literal["contain", "stretch"]
_MARGIN = 2  # input pixels around a crop, for the neighbours that interpolation looks at


def crop_affines(bbox_xyxy: npt.NDArray[Any], input_size: Size, padding: float, fit: Fit) -> Affines:
    """What takes points of the image to points of the input, (n, 2, 3), of boxes (n, 4).

    The box's centre comes to the input's centre. Raises TrainersError for a box without area.
    """
    corners = np.asarray(bbox_xyxy, np.float64).reshape(-1, 4)
    sides = corners[:, 2:] - corners[:, :2]
    degenerate = np.flatnonzero(~(np.isfinite(corners).all(axis=1) & (sides > 0).all(axis=1)))
    if degenerate.size:
        row = degenerate[0]
        raise TrainersError(
            f"box {row}: got x1, y1, x2, y2 = {', '.join(f'{value:g}' for value in corners[row])}, expected finite "
            "numbers with x1 < x2 and y1 < y2; drop boxes without area before poses are estimated"
        )
    scale = np.array(input_size) / (sides * padding)
    if fit == "contain":
        scale = np.repeat(scale.min(axis=1, keepdims=True), 2, axis=1)
    affines = np.zeros((len(corners), 2, 3))
    affines[:, [0, 1], [0, 1]] = scale
    affines[:, :, 2] = np.array(input_size) / 2 - scale * (corners[:, :2] + corners[:, 2:]) / 2
    return affines


def invert_affines(affines: Affines) -> Affines:
    """The way back, (..., 2, 3)."""
    inverse = np.linalg.inv(affines[..., :2])
    return np.concatenate([inverse, -inverse @ affines[..., 2:]], axis=-1)


def transform_points(affines: Affines, xy: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Points (n, joints, 2) moved by the affines (n, 2, 3) of their rows."""
    moved: npt.NDArray[np.float64] = xy @ affines[:, :, :2].transpose(0, 2, 1) + affines[:, None, :, 2]
    return moved


def crop_image(
    image: RgbImage, affine: npt.NDArray[np.float64], input_size: Size, border: tuple[int, int, int]
) -> RgbImage:
    """The (height, width, 3) input that an upright `affine` of `crop_affines` cuts out; `border` beyond the image.

    Only the part of the image that is needed is touched. Where several image pixels fall on one of the input they
    are first averaged in whole blocks, until fewer than two are left for the bilinear step, which sees both.
    """
    scale = affine[[0, 1], [0, 1]]
    block = np.maximum(1, np.floor(1 / scale)).astype(int)
    start, stop = _needed(image, affine, input_size, scale)
    if (stop <= start).any():
        return np.full((input_size[1], input_size[0], 3), border, np.uint8)
    part = _averaged(image[start[1] : stop[1], start[0] : stop[0]], block, border)
    from_part = affine.copy()
    from_part[:, 2] += affine[:, :2] @ start
    from_part[:, :2] *= block
    cropped: RgbImage = cv2.warpAffine(  # type: ignore[assignment]
        part, pixel_indices(from_part), input_size, flags=cv2.INTER_LINEAR, borderValue=border
    )
    return cropped


def _needed(
    image: RgbImage, affine: npt.NDArray[np.float64], input_size: Size, scale: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and last corner, as x, y, of what the crop takes of the image; nothing where stop <= start."""
    margin = np.ceil(_MARGIN / scale) + _MARGIN
    first = np.floor(-affine[:, 2] / scale) - margin
    last = np.ceil((np.array(input_size) - affine[:, 2]) / scale) + margin
    whole = np.array([image.shape[1], image.shape[0]])
    return first.clip(0, whole).astype(np.intp), last.clip(0, whole).astype(np.intp)


def _averaged(part: RgbImage, block: npt.NDArray[np.int_], border: tuple[int, int, int]) -> RgbImage:
    """The means of blocks of `block` (x, y) pixels; the last ones are filled up with the border's colour."""
    if (block == 1).all():
        return part
    height, width = part.shape[:2]
    right, below = -width % block[0], -height % block[1]
    if right or below:
        part = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_CONSTANT, value=border)  # type: ignore[assignment]
    size = (math.ceil(width / block[0]), math.ceil(height / block[1]))
    averaged: RgbImage = cv2.resize(part, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return averaged


def pixel_indices(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same map between positions that are counted from the centre of the first pixel, as OpenCV's are."""
    shifted = affine.copy()
    shifted[:, 2] += affine[:, :2].sum(axis=1) / 2 - 0.5
    return shifted
