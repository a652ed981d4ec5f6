"""Samples -> batches of tensors, drawn by threads while the network works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cvat_export.labels import Visibility
from trainers.augmentation import Augmentation
from trainers.codecs import Size, encode_heatmaps
from trainers.model_card import InputCard
from trainers.network_input import encode_input
from trainers.samples import SampleView, Shown

_AHEAD = 2  # batches that are ready before they are asked for


class Batch(NamedTuple):
    """What one step learns from; n subjects.

    images: (n, 3, height, width). targets: (n, joints, h, w) float32, Gaussians of height 1, or -1 for an occluded
    joint where the config draws it so. weights: (n, joints), 0 for a joint that is not labelled. visible: (n, joints),
    1 for a joint that can be seen. teacher_targets, teacher_weights: the same of the teacher's joints. samples: (n,)
    their places.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor
    visible: Tensor
    teacher_targets: Tensor
    teacher_weights: Tensor
    samples: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """How joints become targets. joint_weights: (joints,)."""

    input_card: InputCard
    map_size: Size
    sigma: float
    occluded_is_negative: bool
    joint_weights: npt.NDArray[np.float32]

    def encode(self, shown: Sequence[Shown], index: Sequence[int]) -> Batch:
        """The batch of these samples."""
        xy, visibility = np.stack([s.xy for s in shown]), np.stack([s.visibility for s in shown])
        maps = self._maps(xy)
        if self.occluded_is_negative:
            maps = np.where((visibility == Visibility.OCCLUDED)[..., None, None], -maps, maps)
        teacher_xy = np.stack([s.teacher_xy for s in shown])
        scores = np.stack([s.teacher_scores for s in shown]) * self.joint_weights
        has_teacher = bool(scores.any())
        return Batch(
            torch.from_numpy(encode_input(self.input_card, np.stack([s.pixels for s in shown]))),
            torch.from_numpy(maps),
            torch.from_numpy((visibility > 0) * self.joint_weights),
            torch.from_numpy((visibility == Visibility.VISIBLE).astype(np.float32)),
            torch.from_numpy(self._maps(teacher_xy) if has_teacher else maps[:, :, :0, :0]),
            torch.from_numpy(scores),
            torch.tensor(index),
        )

    def _maps(self, xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return encode_heatmaps(xy, self.input_card.size, self.map_size, "half-pixel", self.sigma)


@dataclass(frozen=True, eq=False)
class TrainingBatches:
    """An epoch of randomly changed samples, in an order that `seed` and the epoch's number decide, as do the changes.

    So an epoch that is begun again, in whatever process, is the same. weights: how often a sample is seen an epoch;
    0.5 is every other epoch. epoch: asks for the number of the epoch that begins. The last batch may be left out: one
    subject alone has no batch statistics.
    """

    view: SampleView
    targets: Targets
    augmentation: Augmentation
    weights: npt.NDArray[np.float64]
    batch_size: int
    seed: int
    epoch: Callable[[], int]
    threads: int = 1

    def __len__(self) -> int:
        return max(1, round(float(self.weights.sum())) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch()
        order = self._order(epoch)
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        jobs = [order[start : start + self.batch_size] for start in starts]

        def draw(index: int) -> Shown:
            return self.view.changed(index, self.augmentation, np.random.default_rng((self.seed, epoch, index)))

        yield from _stream(jobs, draw, self.targets, self.threads)

    def _order(self, epoch: int) -> list[int]:
        """Which samples, in which order: as many as the weights' sum, give or take the last batch."""
        random = np.random.default_rng((self.seed, epoch))
        ends = np.cumsum(self.weights) + random.random()
        counts = np.diff(np.floor(ends), prepend=np.floor(ends[0] - self.weights[0])).astype(int)
        order = random.permutation(np.repeat(np.arange(len(counts)), counts))
        needed = len(self) * self.batch_size
        return np.resize(order if len(order) else np.arange(len(counts)), max(needed, 1)).tolist()


@dataclass(frozen=True, eq=False)
class PlainBatches:
    """All samples in order, as a model in use would be given them."""

    view: SampleView
    targets: Targets
    batch_size: int
    threads: int = 1

    def __len__(self) -> int:
        return -(-len(self.view) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        indices = list(range(len(self.view)))
        jobs = [indices[start : start + self.batch_size] for start in range(0, len(indices), self.batch_size)]
        yield from _stream(jobs, self.view.plain, self.targets, self.threads)


def _stream(
    jobs: Sequence[Sequence[int]], draw: Callable[[int], Shown], targets: Targets, threads: int
) -> Iterator[Batch]:
    """The batches of `jobs` in their order, a few of them made ahead."""
    with ThreadPoolExecutor(threads) as pool:

        def encode(job: Sequence[int]) -> Batch:
            return targets.encode([draw(index) for index in job], job)

        ready: deque[Future[Batch]] = deque()
        try:
            for job in jobs:
                ready.append(pool.submit(encode, job))
                if len(ready) > max(_AHEAD, threads):
                    yield ready.popleft().result()
            while ready:
                yield ready.popleft().result()
        finally:
            for future in ready:
                future.cancel()
