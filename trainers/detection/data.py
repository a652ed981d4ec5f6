"""The labels that a detector's config names, split into what is learnt and what is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainers.detection.boxed_images import BoxedData, BoxedImage, read_boxed_images
from trainers.splits import split_by_group
from trainers.training_config import DataConfig, DetectionConfig, SourceConfig
from trainers.training_data import label_source, shared_groups


@dataclass(frozen=True, eq=False)
class BoxedSplit:
    """Images for learning and for validation. sha256: of the label files by path."""

    category: str
    training: tuple[BoxedImage, ...]
    validation: tuple[BoxedImage, ...]
    notes: tuple[str, ...]
    sha256: dict[str, str]

    def describe(self) -> dict[str, Any]:
        """For the run's record."""
        return {
            "training": len(self.training),
            "validation": len(self.validation),
            "validation_images": sorted(image.file_name for image in self.validation),
        }


def read_detection_data(config: DetectionConfig) -> BoxedSplit:
    """The labels that a config names, split. Raises TrainersError or CvatExportError for all that is wrong in them."""
    data = config.data
    found = _read(data.train, data.category, data)
    if not data.validation:
        groups = [image.group for image in found.images]
        kept = split_by_group(groups, data.split.validation, config.seed, data.split.folds, data.split.fold)
        training = tuple(image for image, is_kept in zip(found.images, kept, strict=True) if not is_kept)
        validation = tuple(image for image, is_kept in zip(found.images, kept, strict=True) if is_kept)
        return BoxedSplit(found.category, training, validation, found.notes, found.sha256)
    others = _read(data.validation, found.category, data)
    notes = (*found.notes, *others.notes, *shared_groups(found.images, others.images))
    return BoxedSplit(found.category, found.images, others.images, notes, {**found.sha256, **others.sha256})


def _read(sources: Sequence[SourceConfig], category: str | None, data: DataConfig) -> BoxedData:
    labels = [(label_source(source), source.complete) for source in sources]
    return read_boxed_images(labels, category, data.leave_out_faulty)
