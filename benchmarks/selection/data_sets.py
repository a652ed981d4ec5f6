"""What is selected from and what is measured on: one labelled subject an image, read once and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cvat_export.skeleton import Skeleton
from frame_tools.frame import RgbImage
from trainers.image_files import read_again
from trainers.label_sources import LabelledData, LabelSource, Sample, read_labels

MOUSE_BLOCKS = 12  # of the video; every fourth is held out
MOUSE_STRETCHES = 3  # of a held-out block, which are resampled as wholes: neighbours resemble each other
LSPET_POOL, LSPET_HELD_OUT = 600, 200


@dataclass(frozen=True, eq=False)
class Subjects:
    """A data set. groups: (held out,) which of them are resampled together.

    sizes: how many are labelled, step by step; the last is the whole pool. is_video: whether the pool is in time order.
    """

    name: str
    skeleton: Skeleton
    pool: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    groups: npt.NDArray[np.intp]
    sizes: tuple[int, ...]
    is_video: bool = False

    @cached_property
    def images(self) -> tuple[RgbImage, ...]:
        """Of the pool."""
        return tuple(read_again(sample.image, sample.file_name) for sample in self.pool)


def cats(data: Path) -> Subjects:
    """136 cats and 23 others, as their authors divided them."""
    train, test = (_read(data / "cats", f"cat_keypoints_{part}.json") for part in ("train", "test"))
    return _subjects("cats", train, train.samples, test.samples, (8, 16, 32, 64))


def mouse(data: Path) -> Subjects:
    """116 frames of one video, of which every fourth of twelve blocks is held out."""
    found = _read(data / "openfield_mouse", "mouse_keypoints.json")
    samples = sorted(found.samples, key=lambda sample: sample.file_name)
    block = np.arange(len(samples)) * MOUSE_BLOCKS // len(samples)
    stretch = np.arange(len(samples)) * MOUSE_BLOCKS * MOUSE_STRETCHES // len(samples)
    kept = block % 4 == 1
    pool, held_out = ([samples[row] for row in np.flatnonzero(rows)] for rows in (~kept, kept))
    groups = np.unique(stretch[kept], return_inverse=True)[1]
    return _subjects("mouse", found, pool, held_out, (4, 8, 18, 40), groups, is_video=True)


def lspet(data: Path) -> Subjects:
    """600 athletes and 200 others, drawn from the training and the validation part."""
    train, test = (_read(data / "lspet", f"person_keypoints_{part}.json") for part in ("train", "val"))
    pool, held_out = _drawn(train.samples, LSPET_POOL), _drawn(test.samples, LSPET_HELD_OUT)
    return _subjects("lspet", train, pool, held_out, (20, 50, 120, 270))


DATA_SETS: dict[str, Callable[[Path], Subjects]] = {"cats": cats, "mouse": mouse, "lspet": lspet}


def limited(subjects: Subjects, limit: int | None) -> Subjects:
    """With the first sizes only, and of the pool what one more size would take: for a trial."""
    if limit is None or limit >= len(subjects.sizes):
        return subjects
    pool = subjects.pool[: subjects.sizes[limit]]
    return replace(subjects, pool=pool, sizes=(*subjects.sizes[:limit], len(pool)))


def people(data: Path) -> LabelledData:
    """What the networks that all begin from have learnt: no athlete of lspet, no cat and no mouse is in it."""
    return _read(data / "coco_people", "person_keypoints_train.json")


def _read(folder: Path, file_name: str) -> LabelledData:
    return read_labels([LabelSource(folder / "annotations" / file_name)], leave_out_faulty=True)


def _drawn(samples: Sequence[Sample], count: int) -> list[Sample]:
    rows = np.random.default_rng(0).choice(len(samples), count, replace=False)
    return [samples[row] for row in np.sort(rows)]


def _subjects(
    name: str,
    labels: LabelledData,
    pool: Sequence[Sample],
    held_out: Sequence[Sample],
    sizes: tuple[int, ...],
    groups: npt.NDArray[np.intp] | None = None,
    is_video: bool = False,
) -> Subjects:
    groups = np.arange(len(held_out)) if groups is None else groups
    return Subjects(name, labels.skeleton, tuple(pool), tuple(held_out), groups, (*sizes, len(pool)), is_video)
