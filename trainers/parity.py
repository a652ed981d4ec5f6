"""Whether two sessions over one model find the same points: joints, or the corners of boxes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trainers.detection.outputs import read_boxes
from trainers.model_card import Card, DetectorCard, FilePrecision
from trainers.model_run import run_model
from trainers.pose_decoding import InputJoints, decode_outputs
from trainers.runtimes.session import Session

MOST_INPUTS = 64  # that are compared
_ROUNDED = {"p99_px": 0.5}
# Below what figures of `Parity` must be. int8 moves all points a little, and those of maps with two peaks of like
# height from one to the other: a p99 of 50 px beside a median of 0.4 px costs 0.003 PCK. What is broken moves most
# points by half a cell of maps of stride 4, or loses a tenth of them.
LIMITS: dict[FilePrecision, dict[str, float]] = {
    "f32": _ROUNDED,
    "f16": _ROUNDED,
    "int8": {"p50_px": 2.0, "p90_px": 10.0, "p50_score": 0.1},
}
_FLAT = 0.05  # score below which a map is taken to have no peak
_BATCH = 8
_ROUNDS = 3  # of which the fastest counts


@dataclass(frozen=True)
class Parity:
    """Distances between the points of two sessions, in pixels of the input. points: how many were compared.

    left_out: points whose score is below 0.05 in both, for a map without a peak has its highest cell anywhere. Where
    all are like that, none is left out. p50_score: median of the scores' absolute differences. milliseconds: a picture,
    of the session that was compared.
    """

    runtime: str
    p50_px: float
    p90_px: float
    p99_px: float
    max_px: float
    p50_score: float
    points: int
    left_out: int
    milliseconds: float

    def broken_limits(self, precision: FilePrecision) -> list[str]:
        """Figures for which one may not stand for the other."""
        limits = LIMITS[precision].items()
        return [
            f"{name} {getattr(self, name):.3f}, expected below {most}"
            for name, most in limits
            if not getattr(self, name) < most
        ]


def find_points(card: Card, session: Session, pixels: npt.NDArray[np.uint8]) -> tuple[InputJoints, float]:
    """What is found in RGB pictures (n, height, width, 3), with the network's own scores, and milliseconds a picture.

    Of a detector it is two corners of each cell's box, one after the other.
    """
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        parts = [run_model(card, session, pixels[first : first + _BATCH]) for first in range(0, len(pixels), _BATCH)]
        best = min(best, time.perf_counter() - start)
    outputs: dict[str, npt.NDArray[Any]] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return read_points(card, outputs), best * 1000 / len(pixels)


class Picture(Protocol):
    """What a network is shown."""

    @property
    def pixels(self) -> npt.NDArray[np.uint8]: ...


def spread_inputs(show: Callable[[int], Picture], count: int, most: int = MOST_INPUTS) -> npt.NDArray[np.uint8]:
    """The pixels (n, height, width, 3) of up to `most` of `count` pictures, spread over all."""
    return np.stack([show(place).pixels for place in spread_places(count, most)])


def spread_places(count: int, most: int = MOST_INPUTS) -> list[int]:
    """Up to `most` of 0 to count - 1, the first and the last among them."""
    places: list[int] = np.linspace(0, count - 1, min(most, count)).astype(int).tolist()
    return places


def read_points(card: Card, outputs: Mapping[str, npt.NDArray[Any]]) -> InputJoints:
    """See `find_points`. Raises TrainersError where the outputs are not what the card promises."""
    if not isinstance(card, DetectorCard):
        return decode_outputs(card.model_copy(update={"calibration": None}), outputs)
    boxes, scores = read_boxes(card, outputs)
    corner_scores = np.repeat(scores, 2, axis=1)
    return InputJoints(boxes.reshape(len(boxes), -1, 2), corner_scores, np.ones_like(corner_scores, bool))


def compare_points(expected: InputJoints, found: InputJoints, runtime: str, milliseconds: float) -> Parity:
    """See `Parity`. A point that only one of them finds is infinitely far."""
    distances = np.hypot(*np.moveaxis(expected.xy.astype(np.float64) - found.xy, -1, 0))
    are_found = [np.isfinite(joints.xy).all(axis=-1) for joints in (expected, found)]
    distances[are_found[0] != are_found[1]] = np.inf
    distances[~are_found[0] & ~are_found[1]] = 0
    is_flat = (expected.scores < _FLAT) & (found.scores < _FLAT)
    is_compared = np.ones_like(is_flat) if is_flat.all() else ~is_flat
    compared = distances[is_compared]
    shares = [0.5, 0.9, 0.99]
    p50, p90, p99 = np.quantile(compared, shares, method="higher")  # no mean of two, of which one may be infinite
    return Parity(
        runtime,
        float(p50),
        float(p90),
        float(p99),
        float(compared.max()),
        float(np.median(np.abs(expected.scores - found.scores)[is_compared])),
        compared.size,
        distances.size - compared.size,
        milliseconds,
    )
