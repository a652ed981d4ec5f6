"""What is true of the images that somebody may be asked to label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from cvat_export.coco import read_coco
from cvat_export.dataset import Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Truth:
    """images: base name without extension, as CVAT matches them, -> who is there. skeletons: by category."""

    images: Mapping[str, LabelledImage]
    skeletons: Mapping[str, Skeleton]

    @classmethod
    def of(cls, dataset: Dataset) -> Truth:
        """Of subjects with a skeleton that have at least one joint: nobody could draw the others."""
        skeletons = {c.name: c.skeleton for c in dataset.categories if c.skeleton is not None}
        images = {}
        for image in dataset.images:
            drawable = (one for one in image.instances if one.category in skeletons and one.labelled.any())
            images[_stem(image.file_name)] = replace(image, instances=tuple(drawable))
        return cls(images, skeletons)

    def image(self, file_name: str) -> LabelledImage:
        """Who is in the image of this name. Raises CvatExportError where nothing is known of it."""
        found = self.images.get(_stem(file_name))
        if found is None:
            raise CvatExportError(
                f"image {file_name}: is not among the {len(self.images)} images of the truth; give the truth of the "
                "video or folder that was pushed"
            )
        return found


def read_truth(path: Path) -> Truth:
    """Of a COCO person_keypoints file, as `python -m demo footage --truth` writes one. Raises CvatExportError."""
    return Truth.of(read_coco(path))


def _stem(file_name: str) -> str:
    return PurePosixPath(file_name).stem
