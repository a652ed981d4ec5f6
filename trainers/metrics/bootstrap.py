"""How sure a figure is: its spread over resampled groups (Efron, 1979, percentile intervals).

Images of one video resemble each other, so that whole groups are drawn, with replacement. A figure that is a ratio of
sums over groups is one product of matrices for all resamples together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trainers.metrics.pairs import Floats

LEVEL = 0.95
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A figure and the ends of its 95 % interval; NaN where there is nothing to resample, as with a single group."""

    value: float
    low: float
    high: float


class Measured(Protocol):
    """Figures by name with their intervals, what these were made of, and how many groups there were to draw from."""

    @property
    def figures(self) -> Mapping[str, Interval]: ...

    @property
    def resampled(self) -> Mapping[str, Floats]: ...

    @property
    def groups(self) -> int: ...


@dataclass(frozen=True)
class Difference:
    """How much higher the first one's figure is, and the share of resamples in which it is higher at all."""

    interval: Interval
    share_above_zero: float


def differences(first: Measured, second: Measured) -> dict[str, Difference]:
    """By figure, of those with resamples; both must be of the same truth, options and seed."""
    found = {}
    for name, one in first.resampled.items():
        apart = one - second.resampled[name]
        value = first.figures[name].value - second.figures[name].value
        found[name] = Difference(interval(value, apart, first.groups), share_above_zero(apart))
    return found


def draw_groups(groups: int, resamples: int, seed: int) -> Counts:
    """(resamples, groups) how often each group is drawn: `groups` draws with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples) if groups else _nothing(resamples)


def sum_by_group(values: npt.ArrayLike, groups: npt.ArrayLike, count: int) -> Floats:
    """(count, ...) the sums of rows that belong to the same group; NaN counts as 0."""
    rows = np.nan_to_num(np.asarray(values, np.float64), nan=0.0)
    sums = np.zeros((count, *rows.shape[1:]))
    np.add.at(sums, np.asarray(groups, np.intp), rows)
    return sums


def resample_ratio(draws: Counts, above: Floats, below: Floats) -> Floats:
    """(resamples, ...) the ratio of the drawn groups' sums; above, below: (groups, ...); NaN where nothing counts."""
    numerator, denominator = draws @ above, draws @ below
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def interval(value: float, resampled: Floats, groups: int) -> Interval:
    """The middle 95 % of the resampled figures. groups: how many there were to draw from."""
    known = resampled[~np.isnan(resampled)]
    if groups < 2 or not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def share_above_zero(resampled: Floats) -> float:
    """Of the resampled differences; one that is 0 counts half."""
    known = resampled[~np.isnan(resampled)]
    return float(((known > 0) + 0.5 * (known == 0)).mean()) if len(known) else float("nan")


def _nothing(resamples: int) -> Counts:
    return np.zeros((resamples, 0), np.int64)
