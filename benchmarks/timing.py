"""Several ways to do the same work, timed side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def measure_ways(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, interleaved round by round."""
    for way in ways.values():
        way()  # once unmeasured: caches, lazy compilation
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return seconds
