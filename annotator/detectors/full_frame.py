"""The whole image as one box, for footage of which somebody knows that one subject fills it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotator.detector import RgbImage
from cvat_export.labels import Boxes

CLASS_NAME = "subject"


class FullFrameDetector:
    """Never chosen unasked: where nothing is found, nothing is what other detectors say."""

    name = "full-frame"
    sha256: str | None = None
    session = None

    def prepare(self, file_name: str, image: RgbImage) -> tuple[int, int]:
        """Height and width."""
        return image.shape[0], image.shape[1]

    def detect(self, prepared: Sequence[tuple[int, int]]) -> list[Boxes]:
        """One box an image, of score 1."""
        return [
            Boxes(np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32), (CLASS_NAME,))
            for height, width in prepared
        ]
