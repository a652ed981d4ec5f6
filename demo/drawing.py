"""Painting flat shapes in order of depth, and who owns each pixel in the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from demo.palette import Rgb

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.floating[Any]]
Corners = npt.NDArray[np.int32]  # (..., 2), in the fixed-point pixels that OpenCV draws with
_SHIFT = 4  # OpenCV draws at sixteenths of a pixel
_CIRCLE = np.array([(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 24, endpoint=False)])


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks along y; (x, y, up) in metres, the image in pixels, its corner at (0, 0)."""

    x: float
    up: float
    focal_px: float
    width: int
    height: int
    horizon: float  # share of the image's height

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Image x, y (n, 2) of points in front of the camera (n, 3), and pixels a metre at their depths (n,)."""
        scale = self.focal_px / np.maximum(points[:, 1], 0.5)
        x = self.width / 2 + scale * (points[:, 0] - self.x)
        y = self.horizon * self.height + scale * (self.up - points[:, 2])
        return np.stack([x, y], axis=1), scale


@dataclass(frozen=True)
class Shape:
    """A convex polygon in one colour. depth: metres from the camera. owner: what `paint` writes into the owner map."""

    depth: float
    polygon: Corners
    colour: Rgb
    owner: int = 0


def discs(centres: FloatArray, radii: FloatArray) -> Corners:
    """Outlines (n, points, 2) of discs: centres (n, 2), radii (n,), pixels."""
    # OpenCV counts from the centre of the first pixel, we from its corner.
    outlines = centres[:, None] + radii[:, None, None] * _CIRCLE - 0.5
    return np.round(outlines * (1 << _SHIFT)).astype(np.int32)


def hull(centres: FloatArray, radii: FloatArray) -> Corners:
    """The outline (points, 2) of the convex hull of discs."""
    outline: Corners = cv2.convexHull(discs(centres, radii).reshape(-1, 2))[:, 0]  # type: ignore[assignment]
    return outline


def paint(image: Image, owners: Image | None, shapes: Sequence[Shape]) -> None:
    """Paint shapes in their order, smooth into the image and hard-edged into the owner map."""
    for shape in shapes:
        cv2.fillConvexPoly(image, shape.polygon, shape.colour, cv2.LINE_AA, _SHIFT)
        if owners is not None:
            cv2.fillConvexPoly(owners, shape.polygon, shape.owner, cv2.LINE_8, _SHIFT)
