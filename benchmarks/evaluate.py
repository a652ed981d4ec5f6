"""How much faster is OKS AP here than pycocotools, and is it the same number?

    python -m benchmarks.evaluate [--images 5000] [--rounds 5]

Both get the same rows, already in memory in each one's own form, and are run in turn, round by round:

pycocotools   COCOeval("keypoints"): evaluate(), accumulate(), summarize()
here          trainers.metrics.average_precision

The people are random: of all sizes, with crowds, people without joints, doubles, and scores that are equal.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from pycocotools.cocoeval import COCOeval

from annotator.doctor import processor_name
from cvat_export.skeleton import read_skeleton
from tests.trainers.coco_oracle import NAMES, prepare_oracle, random_people, tables
from trainers.metrics.average_precision import average_precision

GOAL = 4.0


def main() -> None:
    """Print a table."""
    arguments = _arguments()
    truth, results = random_people(arguments.seed, arguments.images)
    sigmas = np.array(read_skeleton("coco17").sigmas)
    ours, theirs = tables(truth, results, len(sigmas))
    print(f"{processor_name()}, {os.cpu_count()} cores; {arguments.images} images, {len(ours)} people in truth, "
          f"{len(theirs)} estimates")  # fmt: skip
    seconds: dict[str, list[float]] = {"pycocotools": [], "here": []}
    for _ in range(arguments.rounds):
        oracle = prepare_oracle(arguments.images, truth, results, sigmas)
        elapsed, _ = _timed(lambda oracle=oracle: _evaluate(oracle))  # type: ignore[misc]
        seconds["pycocotools"].append(elapsed)
        elapsed, found = _timed(lambda: average_precision(ours, theirs, sigmas))
        seconds["here"].append(elapsed)
    difference = max(abs(found[name] - stat) for name, stat in zip(NAMES, oracle.stats, strict=True))
    _report(seconds)
    print(f"largest difference of the ten numbers {difference:.1e}   " + _listed(found))


def _evaluate(oracle: COCOeval) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()


def _timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _report(seconds: dict[str, list[float]]) -> None:
    for name, values in seconds.items():
        print(f"{name:12} {statistics.median(values):8.3f} s   {min(values):.3f} to {max(values):.3f}")
    ratios = [a / b for a, b in zip(seconds["pycocotools"], seconds["here"], strict=True)]
    spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
    print(f"{'ratio':12} {statistics.median(ratios):8.1f}     {spread}   goal {GOAL:g}")


def _listed(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in found.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
