"""Subjects cut out of their images once, and kept small in memory for the epochs that follow."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cvat_export.errors import CvatExportError
from frame_tools.errors import FrameToolsError
from trainers.codecs import Size
from trainers.crops import Affines, RgbImage, crop_affines, crop_image
from trainers.errors import TrainersError
from trainers.label_sources import Sample
from trainers.model_card import CropCard

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, eq=False)
class Region:
    """A subject with its surroundings. from_image: image pixels -> pixels of this picture, (2, 3)."""

    pixels: RgbImage
    from_image: npt.NDArray[np.float64]


class CropStore:
    """Regions of samples, at the network's scale. Thread safe.

    reach: how many times as wide and high as the network's input a region is; with (1, 1) it is the crop that the
    network is given when it is used. Where all regions fit `budget_bytes` they are kept as they are. Else they are
    compressed, to JPEG if they are larger than the crop and without loss if they are not; what still does not fit is
    read from its image each time: slower, and the same to the byte.
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
        self._is_exact = reach == (1.0, 1.0)
        self.size = (round(input_size[0] * reach[0]), round(input_size[1] * reach[1]))
        boxes = np.array([sample.instance.bbox_xyxy for sample in samples]).reshape(-1, 4)
        self.to_input = crop_affines(boxes, input_size, crop.padding, crop.fit)
        self._from_image: Affines = self.to_input.copy()
        self._from_image[:, :, 2] += (np.array(self.size) - np.array(input_size)) / 2
        self._is_raw = len(samples) * self.size[0] * self.size[1] * 3 <= budget_bytes
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}
        self._room = budget_bytes
        self._lock = threading.Lock()

    def region(self, index: int) -> Region:
        """The region of the sample at `index`. Raises TrainersError where its image cannot be read any more."""
        kept = self._kept.get(index)
        if kept is None:
            kept = self._cut(index) if self._is_raw else self._compress(self._cut(index))
            with self._lock:
                if index not in self._kept and self._room >= kept.nbytes:
                    self._kept[index] = kept
                    self._room -= kept.nbytes
        pixels = kept if self._is_raw else cv2.imdecode(kept, cv2.IMREAD_COLOR)
        return Region(np.asarray(pixels, np.uint8), self._from_image[index])

    def _cut(self, index: int) -> RgbImage:
        sample = self.samples[index]
        try:
            image = sample.image.read()
        except (FrameToolsError, CvatExportError, OSError) as error:
            raise TrainersError(f"{sample.file_name}: its image cannot be read any more: {error}") from error
        return crop_image(image, self._from_image[index], self.size, self._crop.border)

    def _compress(self, pixels: RgbImage) -> npt.NDArray[np.uint8]:
        """The bytes of an image file. Its codec takes the channels for BGR; swapped on both ways, they are right."""
        suffix, options = (".png", _PNG) if self._is_exact else (".jpg", _JPEG)
        is_written, encoded = cv2.imencode(suffix, pixels, options)
        assert is_written
        return np.asarray(encoded, np.uint8)
