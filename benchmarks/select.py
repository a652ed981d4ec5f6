"""Selecting from a long journal: seconds and memory by strategy, on random embeddings and signals.

    python -m benchmarks.select [--frames 1000000] [--size 64] [--labelled 2000] [-n 200]

Each strategy runs in a process of its own, after the arrays are made. Memory is the most that the process had resident,
the arrays included. OMP_NUM_THREADS=1 keeps it to one core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from dataclasses import dataclass

import numpy as np

from annotator.acquisition.pool import SIGNALS, Pool
from annotator.acquisition.strategies import STRATEGIES, Wish
from benchmarks.tables import markdown


@dataclass(frozen=True)
class Journal:
    """How many frames there are, how long an embedding is, how many are labelled, and how many are wanted."""

    frames: int
    size: int
    labelled: int
    wanted: int


def random_pool(journal: Journal) -> Pool:
    """Frames in a few clusters, as those of videos are."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, journal.size), np.float32)
    embeddings = rng.standard_normal((journal.frames, journal.size), np.float32)
    embeddings *= np.float32(0.3)
    for start in range(0, journal.frames, 10_000):
        embeddings[start : start + 10_000] += centres[rng.integers(len(centres))]
    labelled = np.zeros(journal.frames, bool)
    labelled[rng.choice(journal.frames, journal.labelled, replace=False)] = True
    held_out = np.zeros(journal.frames, bool)
    signals = {name: rng.random(journal.frames) for name in SIGNALS}
    return Pool(embeddings, labelled, held_out, signals)


def measure(strategy: str, journal: Journal) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor, and MiB resident at most, in this process."""
    pool = random_pool(journal)
    clock, processor = time.perf_counter(), time.process_time()
    picks = STRATEGIES[strategy](pool, Wish(journal.wanted))
    taken = time.perf_counter() - clock, time.process_time() - processor
    assert len({pick.index for pick in picks}) == journal.wanted
    return *taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--labelled", type=int, default=2000)
    parser.add_argument("-n", "--wanted", type=int, default=200)
    journal = Journal(**vars(parser.parse_args()))
    rows = []
    for strategy in STRATEGIES:
        with multiprocessing.get_context("spawn").Pool(1) as process:
            seconds, processor, mebibytes = process.apply(measure, (strategy, journal))
        rows.append([strategy, f"{seconds:.1f}", f"{processor:.1f}", f"{mebibytes:.0f}"])
    print(f"{journal.wanted} of {journal.frames:,} frames, {journal.labelled} labelled, {journal.size} numbers each")
    print(markdown(["strategy", "seconds", "of the processor", "MiB at most"], rows))


if __name__ == "__main__":
    main()
