"""Painting flat shapes in order of depth, and who owns each pixel in the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demo.palette import Rgb

Image = npt.NDArray[np.uint8]
_SHIFT = 4  # OpenCV draws at sixteenths of a pixel
_CIRCLE = np.array([(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 24, endpoint=False)], np.float32)


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks along y; (x, y, up) in metres, the image in pixels, its corner at (0, 0)."""

    x: float
    up: float
    focal_px: float
    width: int
    height: int
    horizon: float  # share of the image's height

    def project(self, point: npt.NDArray[np.float64]) -> tuple[float, float]:
        """Image x, y of a point in front of the camera."""
        scale = self.scale(point)
        return (
            self.width / 2 + scale * (float(point[0]) - self.x),
            self.horizon * self.height + scale * (self.up - float(point[2])),
        )

    def scale(self, point: npt.NDArray[np.float64]) -> float:
        """Pixels a metre at a point's depth."""
        return self.focal_px / max(float(point[1]), 0.5)


@dataclass(frozen=True)
class Shape:
    """A polygon in one colour. depth: metres from the camera. owner: what `paint` writes into the owner map."""

    depth: float
    polygon: npt.NDArray[np.float32]  # (n, 2) pixels
    colour: Rgb
    owner: int = 0


def hull(camera: Camera, balls: Sequence[tuple[npt.NDArray[np.float64], float]]) -> npt.NDArray[np.float32]:
    """The outline of the convex hull of balls (centre, radius in metres)."""
    outlines = [disc(camera, centre, radius) for centre, radius in balls]
    return outlines[0] if len(outlines) == 1 else cv2.convexHull(np.concatenate(outlines))[:, 0]


def disc(camera: Camera, centre: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.float32]:
    """The outline of a ball."""
    return _CIRCLE * np.float32(camera.scale(centre) * radius) + np.array(camera.project(centre), np.float32)


def paint(image: Image, owners: Image | None, shapes: Sequence[Shape]) -> None:
    """Paint shapes in their order, smooth into the image and hard-edged into the owner map."""
    for shape in shapes:
        # OpenCV counts from the centre of the first pixel, we from its corner.
        corners = np.round((shape.polygon - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillConvexPoly(image, corners, shape.colour, cv2.LINE_AA, _SHIFT)
        if owners is not None:
            cv2.fillConvexPoly(owners, corners, shape.owner, cv2.LINE_8, _SHIFT)
