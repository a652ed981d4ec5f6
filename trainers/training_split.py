"""What a config's labels are divided into: samples to learn from, and samples to validate on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from trainers.errors import TrainersError
from trainers.image_files import ImageRef
from trainers.source_reading import LabelSource
from trainers.splits import split_by_group
from trainers.training_config import RunConfig, SourceConfig


class Grouped(Protocol):
    """A sample of any kind: a subject, or an image. group: what must not be split."""

    @property
    def image(self) -> ImageRef: ...

    @property
    def file_name(self) -> str: ...

    @property
    def group(self) -> str: ...


Sample = TypeVar("Sample", bound=Grouped)
Sample_co = TypeVar("Sample_co", bound=Grouped, covariant=True)


@dataclass(frozen=True, eq=False)
class Split(Generic[Sample]):
    """Samples for learning and for validation."""

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]

    def describe(self) -> dict[str, Any]:
        """For the run's record."""
        return {
            "training": len(self.training),
            "validation": len(self.validation),
            "validation_images": sorted({sample.file_name for sample in self.validation}),
        }


class Found(Protocol[Sample_co]):
    """What was read of some sources. sha256: of the label files by path."""

    @property
    def samples(self) -> tuple[Sample_co, ...]: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def sha256(self) -> Mapping[str, str]: ...


def split_samples(
    config: RunConfig, found: Found[Sample], others: Found[Sample] | None
) -> tuple[Split[Sample], tuple[str, ...], dict[str, str]]:
    """The split, all notes, and all hashes. others: what was read for validation; None where a part is kept for it.

    Raises TrainersError where a whole image is on both sides.
    """
    if others is not None:
        notes = (*found.notes, *others.notes, *_shared_groups(found.samples, others.samples))
        return Split(found.samples, others.samples), notes, {**found.sha256, **others.sha256}
    rule = config.data.split
    groups = [sample.group for sample in found.samples]
    kept = split_by_group(groups, rule.validation, config.seed, rule.folds, rule.fold)
    parts = [
        tuple(sample for sample, is_kept in zip(found.samples, kept, strict=True) if is_kept == wanted)
        for wanted in (False, True)
    ]
    return Split(*parts), found.notes, dict(found.sha256)


def label_source(source: SourceConfig) -> LabelSource:
    """What a config says of one file."""
    images = Path(source.images) if source.images else None
    return LabelSource(Path(source.path), images, source.weight, source.group)


def _shared_groups(training: Sequence[Grouped], validation: Sequence[Grouped]) -> list[str]:
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
