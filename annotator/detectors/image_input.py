"""Whole images -> the array that a detector takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.detector import RgbImage
from trainers.letterbox import GREY, Letterbox, fit, stretch
from trainers.model_card import InputCard
from trainers.network_input import encode_input


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """pixels: one image as the network takes it. letterbox: where the image lies in them."""

    pixels: npt.NDArray[Any]
    letterbox: Letterbox


@dataclass(frozen=True)
class ImageInput:
    """card: size and colours. stride: see `letterbox.fit`; None where the size is the card's.

    stretched: whether the image fills the input, its aspect lost. border: RGB around one that does not. smooth: see
    `Letterbox`.
    """

    card: InputCard
    stride: int | None = None
    stretched: bool = False
    border: tuple[int, int, int] = GREY
    smooth: bool = False

    def encode(self, image: RgbImage) -> PreparedImage:
        """The image in its place, in the network's colours and layout."""
        size = (image.shape[1], image.shape[0])
        if self.stretched:
            letterbox = stretch(size, self.card.size)
        else:
            letterbox = fit(size, self.card.size, self.stride, self.border, self.smooth)
        return PreparedImage(encode_input(self.card, letterbox.apply(image)[None])[0], letterbox)

    def encode_grey(self) -> PreparedImage:
        """An image without content of the card's size, for trying a network."""
        return self.encode(np.full((self.card.height, self.card.width, 3), GREY, np.uint8))
