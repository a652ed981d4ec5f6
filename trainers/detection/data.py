"""The labels that a detector's config names, split into what is learnt and what is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.detection.boxed_images import BoxedData, BoxedImage, read_boxed_images
from trainers.training_config import DataConfig, DetectionConfig, SourceConfig, UltralyticsConfig
from trainers.training_split import Split, label_source, split_samples


@dataclass(frozen=True, eq=False)
class DetectionData:
    """Images with the boxes of one category. sha256: of the label files by path."""

    category: str
    split: Split[BoxedImage]
    notes: tuple[str, ...]
    sha256: dict[str, str]


def read_detection_data(config: DetectionConfig | UltralyticsConfig) -> DetectionData:
    """The labels that a config names, split. Raises TrainersError or CvatExportError for all that is wrong in them."""
    data = config.data
    found = _read(data.train, data.category, data)
    others = _read(data.validation, found.category, data) if data.validation else None
    return DetectionData(found.category, *split_samples(config, found, others))


def _read(sources: Sequence[SourceConfig], category: str | None, data: DataConfig) -> BoxedData:
    labels = [(label_source(source), source.complete) for source in sources]
    return read_boxed_images(labels, category, data.leave_out_faulty)
