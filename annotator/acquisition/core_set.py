"""A few points so that none of many is far from one of them (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from frame_tools.novelty import Coverage, Embeddings


@dataclass(frozen=True)
class Centre:
    """A point that was taken: its row, and how far it was from the nearest centre then; infinite for a first one."""

    row: int
    distance: float


def k_centres(points: Embeddings, count: int, covered: Embeddings, seed: int = 0) -> Iterator[Centre]:
    """Greedily, at most `count` rows of `points`, each the furthest from `covered` and those before it.

    Gonzalez, 1985: the largest distance that is left is at most twice the least possible. As a core set for labelling:
    Sener and Savarese, 2018 (arXiv 1708.00489). Without anything covered the first is the point nearest to the mean,
    with a seed other than 0 any. Takes O(count n d) time, and memory for a few numbers a point.
    """
    coverage = Coverage(points)
    coverage.cover(covered)
    is_free = np.ones(len(points), bool)
    for number in range(min(count, len(points))):
        row = _first(points, seed) if number == 0 and not len(covered) else _furthest(coverage, is_free)
        yield Centre(row, float(coverage.distance[row]))
        is_free[row] = False
        coverage.add(row)


def _furthest(coverage: Coverage, is_free: np.ndarray) -> int:
    return int(np.argmax(np.where(is_free, coverage.distance, -1)))


def _first(points: Embeddings, seed: int) -> int:
    if seed:
        return int(np.random.default_rng(seed).integers(len(points)))
    mean = points.mean(axis=0)
    return int(np.argmin(np.einsum("ij,ij->i", points, points) - 2 * (points @ mean)))
