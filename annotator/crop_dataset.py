"""Every subject's crop as a dataset of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from annotator.predictions import Prediction
from cvat_export.atomic import write_bytes
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from frame_tools.frame import RgbImage
from frame_tools.images import encode_image

CROPS_FOLDER = "crops"


@dataclass(frozen=True)
class CropWriter:
    """Cuts boxes grown by padding_px, to whole pixels of the image, into OUT/crops."""

    out: Path
    padding_px: int

    def write(self, pixels: RgbImage, prediction: Prediction) -> None:
        """The pictures of one image's subjects."""
        images = self.out / CROPS_FOLDER / "images"
        images.mkdir(parents=True, exist_ok=True)
        for name, (x1, y1, x2, y2), _ in self._crops(prediction.labelled("")):
            write_bytes(images / name, encode_image(pixels[y1:y2, x1:x2], ".jpg"))

    def dataset(self, predictions: Sequence[Prediction], category: Category) -> Dataset:
        """One image a subject, with box and joints moved into it. Images without subjects have no crop."""
        images = [
            LabelledImage(name, x2 - x1, y2 - y1, (_moved(instance, x1, y1),))
            for prediction in predictions
            for name, (x1, y1, x2, y2), instance in self._crops(prediction.labelled(category.name))
        ]
        return Dataset((category,), tuple(images))

    def _crops(self, image: LabelledImage) -> Iterator[tuple[str, tuple[int, int, int, int], Instance]]:
        for position, instance in enumerate(image.instances):
            low = np.floor(instance.bbox_xyxy[:2] - self.padding_px).clip(0).astype(int)
            high = np.ceil(instance.bbox_xyxy[2:] + self.padding_px).astype(int)
            x2, y2 = min(int(high[0]), image.width), min(int(high[1]), image.height)
            name = f"{PurePosixPath(image.file_name).stem}-{position:02}.jpg"
            yield name, (int(low[0]), int(low[1]), x2, y2), instance


def _moved(instance: Instance, left_px: int, top_px: int) -> Instance:
    offset = np.array([left_px, top_px], np.float32)
    return replace(instance, bbox_xyxy=instance.bbox_xyxy - np.tile(offset, 2), xy=instance.xy - offset)
