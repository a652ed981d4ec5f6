"""Whether joints' scores are probabilities, and how to make them so: sigmoid((logit(score) + bias) / temperature).

A score is right when as many joints of that score lie where they belong. Temperature scaling is Guo et al. (2017); with
the bias it is Platt scaling (1999) of the logit. A reliability table and its expected calibration error follow
Naeini et al. (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.metrics.pairs import Floats

LEAST_JOINTS = 50  # fewer say little about two numbers
_EDGE = 1e-4  # scores of 0 and 1 have no logit; as near as decoding comes to them
_STEPS = 100
_STEEPEST = 1e3  # a slope beyond it: the scores part right from wrong entirely, and no slope is the best


@dataclass(frozen=True)
class ReliabilityBin:
    """Joints of about one score. mean_score and share_right: NaN where there are none."""

    low: float
    high: float
    count: int
    mean_score: float
    share_right: float


@dataclass(frozen=True)
class FittedCalibration:
    """See the module. temperature: above 0."""

    temperature: float
    bias: float

    def apply(self, scores: npt.ArrayLike) -> Floats:
        """Scores as probabilities, of any shape."""
        return _sigmoid((_logit(scores) + self.bias) / self.temperature)


def reliability(scores: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Joints by score, in bins of equal width."""
    values, hits = np.asarray(scores, np.float64).ravel(), np.asarray(right, bool).ravel()
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    rows = []
    for number in range(bins):
        inside = place == number
        count = int(inside.sum())
        means = (float(values[inside].mean()), float(hits[inside].mean())) if count else (float("nan"),) * 2
        rows.append(ReliabilityBin(float(edges[number]), float(edges[number + 1]), count, *means))
    return tuple(rows)


def expected_calibration_error(table: tuple[ReliabilityBin, ...]) -> float:
    """The mean distance between score and share of right ones, by how many joints a bin has; NaN without any."""
    total = sum(row.count for row in table)
    distances = (row.count * abs(row.mean_score - row.share_right) for row in table if row.count)
    return sum(distances) / total if total else float("nan")


def fit_calibration(scores: npt.ArrayLike, right: npt.ArrayLike) -> FittedCalibration:
    """The most likely temperature and bias. Raises TrainersError where there is no such maximum.

    Logistic regression of `right` on the logit, by Newton's method with halved steps: convex, so the maximum is one.
    """
    x, y = _logit(np.ravel(scores)), np.asarray(right, np.float64).ravel()
    if len(x) < LEAST_JOINTS or y.min() == y.max():
        raise TrainersError(
            f"calibration: got {len(x)} joints with scores, {int(y.sum())} of them right; expected at least "
            f"{LEAST_JOINTS}, some right and some wrong: evaluate on more images"
        )
    design = np.column_stack([x, np.ones_like(x)])
    slope, offset = _newton(design, y)
    if not 0 < slope < _STEEPEST:
        said = "say nothing about, or the opposite of," if slope <= 0 else "part entirely"
        raise TrainersError(f"calibration: the scores {said} what is right (slope {slope:.3g}); leave --calibrate out")
    return FittedCalibration(1 / slope, offset / slope)


def _newton(design: Floats, y: Floats) -> tuple[float, float]:
    weights = np.zeros(2)
    loss = _loss(design @ weights, y)
    for _ in range(_STEPS):
        p = _sigmoid(design @ weights)
        gradient = design.T @ (p - y)
        curvature = (design * (p * (1 - p))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]  # also where all scores are equal
        size = 1.0
        while (lower := _loss(design @ (weights - size * step), y)) > loss and size > 1e-10:
            size /= 2
        weights, improved, loss = weights - size * step, loss - lower, lower
        if improved <= 1e-12 * max(1.0, loss) or abs(weights[0]) > _STEEPEST:
            break
    return float(weights[0]), float(weights[1])


def _loss(z: Floats, y: Floats) -> float:
    """Negative log likelihood."""
    return float((np.logaddexp(0, z) - y * z).sum())


def _logit(scores: npt.ArrayLike) -> Floats:
    p = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
    logit: Floats = np.log(p) - np.log1p(-p)
    return logit


def _sigmoid(z: Floats) -> Floats:
    p: Floats = 0.5 * (1 + np.tanh(0.5 * z))
    return p
