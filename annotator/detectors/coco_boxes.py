"""Boxes that somebody already drew or found: an existing COCO file as a detector."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from annotator.detector import DetectionOptions, RgbImage, keep_wanted, select_classes
from annotator.errors import AnnotatorError
from cvat_export.coco import read_coco
from cvat_export.dataset import LabelledImage
from cvat_export.labels import Boxes


def load_coco_boxes(path: Path, options: DetectionOptions) -> CocoBoxDetector:
    """Raises CvatExportError or AnnotatorError where the file is no COCO file or lacks the classes wanted."""
    dataset = read_coco(path)
    names = [category.name for category in dataset.categories]
    kept = {names[index] for index in select_classes(names, options.classes, where=str(path))}
    return CocoBoxDetector(path, dataset.images, frozenset(kept), options)


class CocoBoxDetector:
    """Looks an image up by its file name: the path as given, else the base name where it is the only one.

    Crowds (`iscrowd` 1) are left out, as such a box is no single subject. An annotation without a score has 1.
    An image that the file does not list is an error, not an image without subjects; so is one of another size.
    """

    def __init__(
        self, path: Path, images: Sequence[LabelledImage], classes: frozenset[str], options: DetectionOptions
    ) -> None:
        self.name = path.name
        self.session = None
        self.sha256: str | None = hashlib.sha256(path.read_bytes()).hexdigest()
        self._path = path
        self._options = options
        self._boxes = {image.file_name: (image, _boxes(image, classes)) for image in images}
        self._by_base_name = _base_names(self._boxes)

    def prepare(self, file_name: str, image: RgbImage) -> Boxes:
        """The boxes listed for the file, clipped to the image."""
        listed, boxes = self._find(file_name)
        height, width = image.shape[:2]
        if (listed.width, listed.height) != (width, height):
            raise AnnotatorError(
                f"{file_name}: the image has {width}x{height} pixels, but its boxes in {self._path} were made "
                f"for {listed.width}x{listed.height}; use the images that the boxes belong to"
            )
        return keep_wanted(boxes, (width, height), self._options)

    def detect(self, prepared: Sequence[Boxes]) -> list[Boxes]:
        """What `prepare` found."""
        return list(prepared)

    def _find(self, file_name: str) -> tuple[LabelledImage, Boxes]:
        if file_name in self._boxes:
            return self._boxes[file_name]
        matches = self._by_base_name.get(PurePosixPath(file_name).name, ())
        if len(matches) != 1:
            said = "does not list this image" if not matches else f"lists several: {', '.join(matches[:3])}"
            raise AnnotatorError(
                f"{file_name}: {self._path} {said}; add the image to the file (without annotations if it is empty)"
                if not matches
                else f"{file_name}: {self._path} {said}; name the image by its path in that file"
            )
        return self._boxes[matches[0]]


def _boxes(image: LabelledImage, classes: frozenset[str]) -> Boxes:
    kept = [one for one in image.instances if one.category in classes and not one.is_crowd]
    return Boxes(
        np.array([one.bbox_xyxy for one in kept], np.float32).reshape(-1, 4),
        np.array([1.0 if one.score is None else one.score for one in kept], np.float32),
        tuple(one.category for one in kept),
    )


def _base_names(file_names: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name in file_names:
        base = PurePosixPath(name).name
        found[base] = (*found.get(base, ()), name)
    return found
