"""Subjects cut out of their images once, and kept small in memory for the epochs that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from trainers.codecs import Size
from trainers.crops import Affines, RgbImage, crop_affines, crop_image
from trainers.image_files import read_again
from trainers.label_sources import Sample
from trainers.model_card import CropCard
from trainers.picture_cache import PictureCache


@dataclass(frozen=True, eq=False)
class Region:
    """A subject with its surroundings. from_image: image pixels -> pixels of this picture, (2, 3)."""

    pixels: RgbImage
    from_image: npt.NDArray[np.float64]


class CropStore:
    """Regions of samples, at the network's scale. Thread safe.

    reach: how many times as wide and high as the network's input a region is; with (1, 1) it is the crop that the
    network is given when it is used, and kept without loss. budget_bytes: see `PictureCache`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        input_size: Size,
        crop: CropCard,
        reach: tuple[float, float] = (1.0, 1.0),
        budget_bytes: int = 0,
    ) -> None:
        self.samples = samples
        self._crop = crop
        self.size = (round(input_size[0] * reach[0]), round(input_size[1] * reach[1]))
        boxes = np.array([sample.instance.bbox_xyxy for sample in samples]).reshape(-1, 4)
        self.to_input = crop_affines(boxes, input_size, crop.padding, crop.fit)
        self._from_image: Affines = self.to_input.copy()
        self._from_image[:, :, 2] += (np.array(self.size) - np.array(input_size)) / 2
        total = len(samples) * self.size[0] * self.size[1] * 3
        self._cache = PictureCache(total, budget_bytes, is_exact=reach == (1.0, 1.0))

    def region(self, index: int) -> Region:
        """The region of the sample at `index`. Raises TrainersError where its image cannot be read any more."""
        return Region(self._cache.get(index, partial(self._cut, index)), self._from_image[index])

    def _cut(self, index: int) -> RgbImage:
        sample = self.samples[index]
        image = read_again(sample.image, sample.file_name)
        return crop_image(image, self._from_image[index], self.size, self._crop.border)
