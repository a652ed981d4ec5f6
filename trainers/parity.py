"""Whether two sessions over one model find the same points: joints, or the corners of boxes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trainers.detection.outputs import read_boxes
from trainers.model_card import Card, DetectorCard
from trainers.model_run import run_model
from trainers.pose_decoding import InputJoints, decode_outputs
from trainers.runtimes.session import Session

MOST_PX = 0.5  # that the p99 of the distances may be, in pixels of the input
MOST_INPUTS = 64  # that are compared
_FLAT = 0.05  # score below which a map is taken to have no peak
_BATCH = 8
_ROUNDS = 3  # of which the fastest counts


@dataclass(frozen=True)
class Parity:
    """Distances between the points of two sessions, in pixels of the input. points: how many were compared.

    left_out: points whose score is below 0.05 in both, for a map without a peak has its highest cell anywhere. Where
    all are like that, none is left out. milliseconds: a picture, of the session that was compared.
    """

    runtime: str
    p50_px: float
    p99_px: float
    max_px: float
    points: int
    left_out: int
    milliseconds: float

    @property
    def holds(self) -> bool:
        """Whether one may stand for the other."""
        return self.p99_px < MOST_PX


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


def spread_inputs(show: Callable[[int], Picture], count: int) -> npt.NDArray[np.uint8]:
    """The pixels (n, height, width, 3) of up to 64 of `count` pictures, spread over all."""
    chosen: list[int] = np.linspace(0, count - 1, min(MOST_INPUTS, count)).astype(int).tolist()
    return np.stack([show(place).pixels for place in chosen])


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
    compared = distances[np.ones_like(is_flat) if is_flat.all() else ~is_flat]
    p50, p99 = np.quantile(compared, [0.5, 0.99], method="higher")  # no mean of two, of which one may be infinite
    return Parity(
        runtime,
        float(p50),
        float(p99),
        float(compared.max()),
        compared.size,
        distances.size - compared.size,
        milliseconds,
    )
