"""A long journal: choosing from it and asking it, seconds and memory.

    python -m benchmarks.journal [--frames 1000000] [--size 64] [-n 200]

Writes a journal of random frames, a thousandth of them selected before, into a temporary folder. Then, in processes of
their own: the frames that look least like those selected and like each other are chosen by what the journal keeps of
their looks; and `annotator round status` is asked. Memory is the most that the process had resident. OMP_NUM_THREADS=1
keeps it to one core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from annotator.journal import FrameRow, Journal, StepRow
from annotator.project_files import PROJECT_FILE, STATE_FOLDER
from annotator.rounds.choosing import shortlist
from benchmarks.tables import markdown

_BLOCK = 20_000
_CALLS = 7


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("-n", "--wanted", type=int, default=200)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        project = Path(folder)
        write_project(project, options.frames, options.size)
        with multiprocessing.get_context("spawn").Pool(1) as process:
            seconds, mebibytes = process.apply(choose, (project, options.wanted))
        asked = [ask(project) for _ in range(_CALLS)]
        size = sum(file.stat().st_size for file in (project / STATE_FOLDER).iterdir()) / 2**20
    rows = [
        [f"choose {options.wanted} by looks", f"{seconds:.1f}", f"{mebibytes:.0f}"],
        ["`annotator round status`, all of it", f"{statistics.median(asked):.2f}", ""],
    ]
    print(f"{options.frames:,} frames, {options.size} numbers each; the journal takes {size:.0f} MiB\n")
    print(markdown(["what", "seconds", "MiB at most"], rows))


def write_project(folder: Path, frames: int, size: int) -> None:
    """A project file that nobody reads, and the journal."""
    (folder / PROJECT_FILE).write_text("name: long\n")
    journal = Journal(folder / STATE_FOLDER)
    rng = np.random.default_rng(0)
    step = StepRow(1, 3, "choose", 1, "running", "x", {}, {}, {}, None, time.time(), None, "benchmark")
    journal.begin(step)
    figures = {"frames": frames // 1000, "of": frames, "strategy": "hybrid", "near": 0}
    journal.end(step, "done", {}, figures, _frames(frames))
    for start in tqdm(range(0, frames, _BLOCK), desc="journal", unit_scale=_BLOCK, disable=None):
        keys = [_key(number) for number in range(start, min(start + _BLOCK, frames))]
        journal.put_vectors(keys, rng.standard_normal((len(keys), size), np.float32))
    journal.close()


def choose(project: Path, wanted: int) -> tuple[float, float]:
    """Seconds from opening the journal to the chosen frames, and MiB resident at most, in this process."""
    started = time.perf_counter()
    journal = Journal(project / STATE_FOLDER)
    keys, roles, vectors = journal.vectors()
    rows = shortlist(vectors, np.array([role != "pool" for role in roles]), wanted, seed=0)
    assert len({keys[row] for row in rows}) == wanted
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ask(project: Path) -> float:
    """Seconds that the program takes, from its start to its end."""
    command = [str(Path(sys.executable).with_name("annotator")), "round", "status"]
    started = time.perf_counter()
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return time.perf_counter() - started


def _frames(count: int) -> Iterator[FrameRow]:
    for number in range(count):
        sha256, pts = _key(number)
        role = "selected" if number % 1000 == 0 else "pool"
        yield FrameRow(sha256, pts, f"video-{sha256[:8]}-{pts}.jpg", pts / 25, role, 1 if number % 1000 == 0 else None)


def _key(number: int) -> tuple[str, int]:
    """A hundred thousand frames a video."""
    return f"{number // 100_000:064x}", number % 100_000


if __name__ == "__main__":
    main()
