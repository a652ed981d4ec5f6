"""The labels that a training config names, split into what is learnt and what is validated on, and cut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cvat_export.dataset import Dataset
from cvat_export.skeleton import Skeleton, read_skeleton
from trainers.augmentation import reach
from trainers.crop_store import CropStore
from trainers.label_sources import LabelledData, Sample, read_labels
from trainers.samples import SampleView, TeacherJoints
from trainers.teaching import match_teacher
from trainers.training_config import DataConfig, PoseConfig, SourceConfig
from trainers.training_split import Split, label_source, split_samples


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Labelled subjects of one skeleton. sha256: of the label files by path."""

    skeleton: Skeleton
    split: Split[Sample]
    notes: tuple[str, ...]
    sha256: dict[str, str]


def read_training_data(config: PoseConfig) -> TrainingData:
    """The labels that a config names, split. Raises TrainersError or CvatExportError for all that is wrong in them."""
    data = config.data
    found = _read(data.train, read_skeleton(data.skeleton) if data.skeleton else None, data)
    others = _read(data.validation, found.skeleton, data) if data.validation else None
    return TrainingData(found.skeleton, *split_samples(config, found, others))


def make_views(config: PoseConfig, data: TrainingData, teacher: Dataset | None = None) -> tuple[SampleView, SampleView]:
    """Samples to learn from and samples to validate on, as the config cuts them out."""
    size, budget = config.input.size, config.data.cache_bytes
    store = CropStore(data.split.training, size, config.crop, reach(config.augmentation, size), budget)
    joints: TeacherJoints | None = match_teacher(data.split.training, data.skeleton, teacher) if teacher else None
    exact = CropStore(data.split.validation, size, config.crop, budget_bytes=budget // 4)
    return (
        SampleView(store, data.skeleton, size, config.crop, joints),
        SampleView(exact, data.skeleton, size, config.crop),
    )


def _read(sources: Sequence[SourceConfig], skeleton: Skeleton | None, data: DataConfig) -> LabelledData:
    return read_labels(list(map(label_source, sources)), skeleton, data.category, data.leave_out_faulty)
