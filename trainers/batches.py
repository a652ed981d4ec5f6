"""Samples -> batches, drawn by threads while the network works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

_AHEAD = 2  # batches that are ready before they are asked for

Drawn = TypeVar("Drawn")
Batch = TypeVar("Batch")
Encode = Callable[[Sequence[Drawn], Sequence[int]], Batch]  # samples as they were drawn, and their places


@dataclass(frozen=True, eq=False)
class TrainingBatches(Generic[Drawn, Batch]):
    """An epoch of randomly changed samples, in an order that `seed` and the epoch's number decide, as do the changes.

    So an epoch that is begun again, in whatever process, is the same. draw: the sample at a place, changed at random.
    weights: how often a sample is seen an epoch; 0.5 is every other epoch. epoch: asks for the number of the epoch
    that begins. The last batch may be left out: one sample alone has no batch statistics.
    """

    draw: Callable[[int, np.random.Generator], Drawn]
    encode: Encode[Drawn, Batch]
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

        def draw(index: int) -> Drawn:
            return self.draw(index, np.random.default_rng((self.seed, epoch, index)))

        yield from _stream(jobs, draw, self.encode, self.threads)

    def _order(self, epoch: int) -> list[int]:
        """Which samples, in which order: as many as the weights' sum, give or take the last batch."""
        random = np.random.default_rng((self.seed, epoch))
        ends = np.cumsum(self.weights) + random.random()
        counts = np.diff(np.floor(ends), prepend=np.floor(ends[0] - self.weights[0])).astype(int)
        order = random.permutation(np.repeat(np.arange(len(counts)), counts))
        needed = len(self) * self.batch_size
        return np.resize(order if len(order) else np.arange(len(counts)), max(needed, 1)).tolist()


@dataclass(frozen=True, eq=False)
class PlainBatches(Generic[Drawn, Batch]):
    """All of `count` samples in order, as a model in use would be given them."""

    draw: Callable[[int], Drawn]
    encode: Encode[Drawn, Batch]
    count: int
    batch_size: int
    threads: int = 1

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        indices = range(self.count)
        jobs = [indices[start : start + self.batch_size] for start in range(0, self.count, self.batch_size)]
        yield from _stream(jobs, self.draw, self.encode, self.threads)


def _stream(
    jobs: Sequence[Sequence[int]], draw: Callable[[int], Drawn], encode: Encode[Drawn, Batch], threads: int
) -> Iterator[Batch]:
    """The batches of `jobs` in their order, a few of them made ahead."""
    with ThreadPoolExecutor(threads) as pool:

        def make(job: Sequence[int]) -> Batch:
            return encode([draw(index) for index in job], job)

        ready: deque[Future[Batch]] = deque()
        try:
            for job in jobs:
                ready.append(pool.submit(make, job))
                if len(ready) > max(_AHEAD, threads):
                    yield ready.popleft().result()
            while ready:
                yield ready.popleft().result()
        finally:
            for future in ready:
                future.cancel()
