"""What more labels would bring: a power law of the error over the rounds so far, error(n) = a + b n^-c.

The shape is that of Hestness et al., "Deep Learning Scaling is Predictable, Empirically", 2017 (arXiv 1712.00409);
Viering and Loog, "The Shape of Learning Curves: A Review", TPAMI 2022 (arXiv 2103.10948), say where it holds and where
it does not. Rounds are few, so a and c are not fitted but drawn by how likely they are, from a grid.

Each resample of the evaluation set is fitted in its own right: on that set, what the rounds differ from the curve by is
the chance of a training. A band over resamples thus holds both noises, and passes through what was measured. (With the
bootstrap's covariance in the weights instead, the curve of a plateau lay 0.01 to 0.015 off its points, since shifting
all rounds together is cheap.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotator.errors import AnnotatorError
from trainers.metrics.bootstrap import LEVEL, Interval
from trainers.metrics.pairs import Floats

TRAINING_NOISE = 0.01  # standard deviation of the accuracy of trainings that differ by their seed alone
EXPONENT = 0.5  # median of c's prior, and the spread of its logarithm: 95 % between 0.15 and 1.6
EXPONENT_LOG_SPREAD = 0.6
EXPONENTS = np.geomspace(0.05, 1.5, 25)
FLOOR_SHARES = np.linspace(0, 1, 21)  # a as a share of the rounds' mean error, each as likely before anything is known
STOP_BELOW = 0.005  # of the figure: less than this is no reason to label

_NO_CURVE = (
    "no learning curve yet: it takes two rounds that learnt from different numbers of labels, and an evaluation set of "
    "two groups or more"
)


@dataclass(frozen=True, eq=False)
class Point:
    """A round. labels: how many labels its model had learnt from. value: its accuracy on the fixed evaluation set.

    resampled: (B,) the same of each resample of that set, which must be the same for all rounds; NaN where nothing
    counted. Raises AnnotatorError where labels are negative or the value is not from 0 to 1.
    """

    labels: int
    value: float
    resampled: Floats

    def __post_init__(self) -> None:
        if self.labels < 0 or not 0 <= self.value <= 1:
            raise AnnotatorError(
                f"point of the learning curve: labels {self.labels}, value {self.value}; expected labels from 0 on and "
                "an accuracy from 0 to 1, as PCK, OKS and AP are"
            )


@dataclass(frozen=True, eq=False)
class Curve:
    """Curves that are about equally likely, all (B,): error(n) = floor + drop (n / first)^-exponent, at most 1.

    first: the labels of the smallest round. So a is `floor`, c `exponent`, and b is drop times first^c.
    """

    floor: Floats
    drop: Floats
    exponent: Floats
    first: int

    def at(self, labels: int) -> Interval:
        """The expected accuracy of a model that learnt from so many labels, at least 1: the median and 95 %."""
        return _middle(self._accuracies(labels))

    def gain(self, labels_now: int, more: int = 100) -> Interval:
        """What `more` labels are expected to add to the accuracy; a single training differs by its own chance too."""
        return _middle(self._accuracies(labels_now + more) - self._accuracies(labels_now))

    def _accuracies(self, labels: int) -> Floats:
        """(B,)"""
        if labels < 1:
            raise AnnotatorError(
                f"learning curve: got {labels} labels; expected at least 1, a power law has no value at 0"
            )
        return 1 - np.clip(self.floor + self.drop * (labels / self.first) ** -self.exponent, 0, 1)


def fit_curve(points: Sequence[Point], seed: int = 0) -> Curve | None:
    """One curve a resample; None where all rounds learnt from as many labels, or there is nothing resampled.

    Rounds without labels are left out. Raises AnnotatorError where rounds have different numbers of resamples.
    """
    used = [point for point in points if point.labels > 0]
    if len({point.labels for point in used}) < 2:
        return None
    errors = _resampled_errors(used)
    if not errors.shape[1]:
        return None
    labels = np.array([point.labels for point in used])
    shapes = (labels[:, None] / labels.min()) ** -EXPONENTS
    rng = np.random.default_rng(seed)
    share, shape = _draw_from_grid(_log_weights(errors, shapes), rng)
    floor = FLOOR_SHARES[share] * _mean_errors(errors)
    drop = _draw_drops(errors, shapes[:, shape], floor, rng)
    return Curve(floor, drop, EXPONENTS[shape], int(labels.min()))


def advise(curve: Curve | None, labels_now: int, more: int = 100, stop_below: float = STOP_BELOW) -> str:
    """A sentence: what the next labels are expected to bring, with 95 %, and whether to stop."""
    if curve is None:
        return _NO_CURVE
    gain = curve.gain(labels_now, more)
    said = (
        f"the next {more} labels, after {labels_now}, are expected to bring {gain.value:+.3f} "
        f"[{gain.low:+.3f}, {gain.high:+.3f}]"
    )
    if gain.high < stop_below:
        return f"{said}, surely less than {stop_below:g}: stop, or label what the model has not seen yet"
    if gain.value > stop_below:
        return f"{said}: go on"
    return f"{said}, rather less than {stop_below:g} but perhaps more: perhaps go on; another round would tell"


def _resampled_errors(points: Sequence[Point]) -> Floats:
    """(R, B) without resamples of which a round knows nothing. A round's mean is what it measured: AP's are biased."""
    sizes = {len(point.resampled) for point in points}
    if len(sizes) > 1:
        raise AnnotatorError(
            f"learning curve: rounds have {sorted(sizes)} resamples; expected the same resamples for all: measure them "
            "with the same evaluation set, options and seed"
        )
    accuracies = np.stack([np.asarray(point.resampled, np.float64) for point in points])
    known = accuracies[:, np.isfinite(accuracies).all(axis=0)]
    if not known.shape[1]:
        return known
    values = np.array([point.value for point in points])[:, None]
    errors: Floats = 1 - (known - known.mean(axis=1, keepdims=True) + values)
    return errors


def _log_weights(errors: Floats, shapes: Floats) -> Floats:
    """(S, C, B) how likely each floor and exponent is for each resample, up to a constant a resample.

    errors: (R, B). shapes: (R, C), (n / first)^-c. With the drop of least squares, but not below 0.
    """
    floors = FLOOR_SHARES[:, None] * _mean_errors(errors)
    squares = (errors**2).sum(axis=0) - 2 * floors * errors.sum(axis=0) + len(errors) * floors**2
    along = shapes.T @ errors - shapes.sum(axis=0)[:, None] * floors[:, None, :]
    explained = np.maximum(along, 0) ** 2 / (shapes**2).sum(axis=0)[:, None]
    prior = -0.5 * (np.log(EXPONENTS / EXPONENT) / EXPONENT_LOG_SPREAD) ** 2
    weights: Floats = prior[:, None] - (squares[:, None, :] - explained) / (2 * TRAINING_NOISE**2)
    return weights


def _draw_from_grid(log_weights: Floats, rng: np.random.Generator) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(B,) a share of the floor and an exponent for each resample, by their weights (S, C, B)."""
    flat = log_weights.reshape(-1, log_weights.shape[-1])
    sums = np.cumsum(np.exp(flat - flat.max(axis=0)), axis=0)
    drawn = (sums <= rng.random(sums.shape[1]) * sums[-1]).sum(axis=0)
    share, shape = np.divmod(drawn, log_weights.shape[1])
    return share, shape


def _draw_drops(errors: Floats, shapes: Floats, floor: Floats, rng: np.random.Generator) -> Floats:
    """(B,) least squares, with the noise that trainings leave in it; not below 0. errors, shapes: (R, B)."""
    norm = (shapes**2).sum(axis=0)
    best = (shapes * (errors - floor)).sum(axis=0) / norm
    drops: Floats = np.maximum(best + TRAINING_NOISE / np.sqrt(norm) * rng.standard_normal(len(best)), 0)
    return drops


def _mean_errors(errors: Floats) -> Floats:
    """(B,)"""
    means: Floats = np.maximum(errors.mean(axis=0), 0)
    return means


def _middle(values: Floats) -> Interval:
    low, median, high = np.quantile(values, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    return Interval(float(median), float(low), float(high))
