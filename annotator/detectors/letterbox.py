"""Images scaled into a model's input without distortion, and points back out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from annotator.detector import RgbImage

_GREY = 114  # what Ultralytics' networks were trained to see around an image


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in a model's input. All sizes are (width, height) in pixels."""

    image_size: tuple[int, int]
    scaled_size: tuple[int, int]
    offset: tuple[int, int]
    input_size: tuple[int, int]

    @property
    def scale(self) -> npt.NDArray[np.float64]:
        """Input pixels an image pixel, by axis: whole pixels make them differ a little."""
        return np.array(self.scaled_size) / np.array(self.image_size)

    def apply(self, image: RgbImage) -> RgbImage:
        """The image in its place, grey around it."""
        if self.scaled_size != self.image_size:
            image = cv2.resize(image, self.scaled_size, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        canvas = np.full((self.input_size[1], self.input_size[0], 3), _GREY, np.uint8)
        left, top = self.offset
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
        return canvas

    def undo(self, xy: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Points of the input, (..., 2), as points of the image."""
        return ((xy - np.array(self.offset)) / self.scale).astype(np.float32)


def fit(image_size: tuple[int, int], target: tuple[int, int], stride: int | None = None) -> Letterbox:
    """The image centred in `target`, as large as it goes.

    With `stride` the input is only as large as needed, each side a multiple of it (for models of free input size).
    """
    ratio = min(target[0] / image_size[0], target[1] / image_size[1])
    scaled = tuple(max(1, round(side * ratio)) for side in image_size)
    around = target if stride is None else tuple(-(-side // stride) * stride for side in scaled)
    offset = tuple((outer - inner) // 2 for outer, inner in zip(around, scaled, strict=True))
    return Letterbox(image_size, scaled, offset, around)  # type: ignore[arg-type]
