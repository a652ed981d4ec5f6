"""The labels that a training config names, split into what is learnt and what is validated on, and cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cvat_export.dataset import Dataset
from cvat_export.skeleton import Skeleton, read_skeleton
from trainers.augmentation import reach
from trainers.crop_store import CropStore
from trainers.errors import TrainersError
from trainers.image_files import ImageRef
from trainers.label_sources import LabelledData, LabelSource, Sample, read_labels
from trainers.samples import SampleView, TeacherJoints
from trainers.splits import split_by_group
from trainers.teaching import match_teacher
from trainers.training_config import DataConfig, PoseConfig, SourceConfig


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Samples for learning and for validation, of one skeleton. sha256: of the label files by path."""

    skeleton: Skeleton
    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    notes: tuple[str, ...]
    sha256: dict[str, str]


def read_training_data(config: PoseConfig) -> TrainingData:
    """The labels that a config names, split. Raises TrainersError or CvatExportError for all that is wrong in them."""
    data = config.data
    skeleton = read_skeleton(data.skeleton) if data.skeleton else None
    found = _read(data.train, skeleton, data)
    if not data.validation:
        groups = [sample.group for sample in found.samples]
        kept = split_by_group(groups, data.split.validation, config.seed, data.split.folds, data.split.fold)
        training = tuple(sample for sample, is_kept in zip(found.samples, kept, strict=True) if not is_kept)
        validation = tuple(sample for sample, is_kept in zip(found.samples, kept, strict=True) if is_kept)
        return TrainingData(found.skeleton, training, validation, found.notes, dict(found.sha256))
    others = _read(data.validation, found.skeleton, data)
    notes = (*found.notes, *others.notes, *shared_groups(found.samples, others.samples))
    return TrainingData(
        found.skeleton,
        found.samples,
        others.samples,
        notes,
        {**found.sha256, **others.sha256},
    )


def describe_split(data: TrainingData) -> dict[str, Any]:
    """For the run's record."""
    return {
        "training": len(data.training),
        "validation": len(data.validation),
        "validation_images": sorted({sample.file_name for sample in data.validation}),
    }


def make_views(config: PoseConfig, data: TrainingData, teacher: Dataset | None = None) -> tuple[SampleView, SampleView]:
    """Samples to learn from and samples to validate on, as the config cuts them out."""
    size, budget = config.input.size, int(config.data.cache_gb * 2**30)
    store = CropStore(data.training, size, config.crop, reach(config.augmentation, size), budget)
    joints: TeacherJoints | None = match_teacher(data.training, data.skeleton, teacher) if teacher else None
    exact = CropStore(data.validation, size, config.crop, budget_bytes=budget // 4)
    return (
        SampleView(store, data.skeleton, size, config.crop, joints),
        SampleView(exact, data.skeleton, size, config.crop),
    )


def _read(sources: Sequence[SourceConfig], skeleton: Skeleton | None, data: DataConfig) -> LabelledData:
    return read_labels(list(map(label_source, sources)), skeleton, data.category, data.leave_out_faulty)


def label_source(source: SourceConfig) -> LabelSource:
    """What a config says of one file."""
    images = Path(source.images) if source.images else None
    return LabelSource(Path(source.path), images, source.weight, source.group)


class Grouped(Protocol):
    """A sample of any kind."""

    @property
    def image(self) -> ImageRef:
        """Its file."""
        ...

    @property
    def group(self) -> str:
        """What must not be split."""
        ...


def shared_groups(training: Sequence[Grouped], validation: Sequence[Grouped]) -> list[str]:
    """What to say of groups on both sides. Raises TrainersError where a whole image is on both."""
    both = {sample.image for sample in training} & {sample.image for sample in validation}
    if both:
        first = min(map(str, both))
        raise TrainersError(
            f"{first}: is in both training and validation, as are {len(both)} images in all; a model is not validated "
            "on what it has learnt: leave validation out, and groups are split, or take them out of one file"
        )
    shared = {sample.group for sample in training} & {sample.group for sample in validation}
    if not shared:
        return []
    return [
        f"{len(shared)} groups, such as {min(shared)!r}, are in both training and validation: figures will be too good"
    ]
