"""Choosing by time and scene alone, and sharing a number out among videos (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Timeline:
    """One video's frames, as far as choosing among all of them goes. (n,) each; scene counts from 0."""

    seconds: FloatArray
    scene: npt.NDArray[np.integer]
    sharpness: FloatArray
    blank: BoolArray


def fair_shares(available: Sequence[int], count: int) -> list[int]:
    """How many to take of each so that the sum is `count`, or all there are, and no share is larger than it must be."""
    shares = [0] * len(available)
    for _ in range(min(count, sum(available))):
        open_shares = [i for i, share in enumerate(shares) if share < available[i]]
        shares[min(open_shares, key=lambda i: shares[i])] += 1
    return shares


def uniform_rows(seconds: FloatArray, count: int, seed: int = 0) -> list[int]:
    """Rows nearest to evenly spaced times: the middles of `count` equal parts; with a seed, a random time in each."""
    if count <= 0 or not len(seconds):
        return []
    offsets = np.random.default_rng(seed).random(count) if seed else np.full(count, 0.5)
    start, end = float(seconds[0]), float(seconds[-1])
    times = start + (np.arange(count) + offsets) * (end - start) / count
    after = np.clip(np.searchsorted(seconds, times), 1, max(1, len(seconds) - 1)) if len(seconds) > 1 else [0] * count
    rows: list[int] = []
    for time, row in zip(times, np.asarray(after).tolist(), strict=True):
        nearest = row - 1 if row and time - seconds[row - 1] <= seconds[row] - time else row
        row = max(nearest, rows[-1] + 1 if rows else 0)
        if row < len(seconds):
            rows.append(row)
    return rows


def scene_rows(timeline: Timeline, count: int) -> list[tuple[int, str]]:
    """Rows spread over the scenes, with reasons: the longest scenes first when there are more scenes than `count`.

    Every scene gets one, the others go to where frames lie furthest apart in time. Within its part of a scene the
    sharpest frame is taken.
    """
    numbers = np.unique(timeline.scene).tolist()
    spans = {n: np.flatnonzero((timeline.scene == n) & ~timeline.blank) for n in numbers}
    spans = {n: rows for n, rows in spans.items() if len(rows)}
    lengths = {n: float(timeline.seconds[rows[-1]] - timeline.seconds[rows[0]]) for n, rows in spans.items()}
    shares = dict.fromkeys(sorted(spans, key=lambda n: (-lengths[n], n))[:count], 1)
    for _ in range(count - len(shares)):
        able = [n for n in shares if shares[n] < len(spans[n])]
        if not able:
            break
        shares[max(able, key=lambda n: (lengths[n] / shares[n], -n))] += 1
    chosen = []
    for number in sorted(shares):
        parts = np.array_split(spans[number], shares[number])
        for index, part in enumerate(parts, 1):
            row = int(part[np.argmax(timeline.sharpness[part])])
            where = f"scene {number + 1} of {len(numbers)}"
            chosen.append((row, where if len(parts) == 1 else f"{where}, part {index} of {len(parts)}"))
    return chosen
