"""Images scaled into a model's input, and points back out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from frame_tools.frame import RgbImage

GREY = (114, 114, 114)  # what Ultralytics' networks were trained to see around an image


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in a model's input. All sizes are (width, height) in pixels.

    colour: RGB around it. smooth: whether an image that is made smaller is averaged, not sampled.
    """

    image_size: tuple[int, int]
    scaled_size: tuple[int, int]
    offset: tuple[int, int]
    input_size: tuple[int, int]
    colour: tuple[int, int, int] = GREY
    smooth: bool = False

    @property
    def scale(self) -> npt.NDArray[np.float64]:
        """Input pixels an image pixel, by axis: whole pixels make them differ a little."""
        return np.array(self.scaled_size) / np.array(self.image_size)

    def apply(self, image: RgbImage) -> RgbImage:
        """The image in its place, `colour` around it."""
        if self.scaled_size != self.image_size:
            way = cv2.INTER_AREA if self.smooth and self.scaled_size < self.image_size else cv2.INTER_LINEAR
            image = cv2.resize(image, self.scaled_size, interpolation=way)  # type: ignore[assignment]
        left, top = self.offset
        right, below = self.input_size[0] - left - image.shape[1], self.input_size[1] - top - image.shape[0]
        canvas: RgbImage = cv2.copyMakeBorder(  # type: ignore[assignment]
            image, top, below, left, right, cv2.BORDER_CONSTANT, value=self.colour
        )
        return canvas

    def place(self, xy: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Points of the image, (..., 2), as points of the input."""
        return (xy * self.scale + np.array(self.offset)).astype(np.float32)

    def undo(self, xy: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Points of the input, (..., 2), as points of the image."""
        return ((xy - np.array(self.offset)) / self.scale).astype(np.float32)


def fit(
    image_size: tuple[int, int],
    target: tuple[int, int],
    stride: int | None = None,
    colour: tuple[int, int, int] = GREY,
    smooth: bool = False,
) -> Letterbox:
    """The image centred in `target`, as large as it goes.

    With `stride` the input is only as large as needed, each side a multiple of it (for models of free input size).
    """
    ratio = min(target[0] / image_size[0], target[1] / image_size[1])
    scaled = tuple(max(1, round(side * ratio)) for side in image_size)
    around = target if stride is None else tuple(-(-side // stride) * stride for side in scaled)
    offset = tuple((outer - inner) // 2 for outer, inner in zip(around, scaled, strict=True))
    return Letterbox(image_size, scaled, offset, around, colour, smooth)  # type: ignore[arg-type]


def stretch(image_size: tuple[int, int], target: tuple[int, int]) -> Letterbox:
    """The image on all of `target`, its aspect lost."""
    return Letterbox(image_size, target, (0, 0), target)
