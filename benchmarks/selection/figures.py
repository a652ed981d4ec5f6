"""Rows -> accuracy by number of labels, what it takes to be nearly as good as with all, and how sure that is (pure).

Whatever is resampled is resampled alike for all strategies, so that their differences are paired: seeds, and groups of
held-out images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.selection.climbing import START, WHOLE, Row
from trainers.metrics.bootstrap import Interval, draw_groups, interval, sum_by_group
from trainers.metrics.pairs import Floats

RESAMPLES = 2000
ENOUGH = 0.95  # of the accuracy with all labels


@dataclass(frozen=True, eq=False)
class Curves:
    """PCK of one data set. means: strategy -> (sizes,); resampled: strategy -> (resamples, sizes).

    sizes: numbers of labels. The first and the last point are the same for all strategies.
    """

    sizes: tuple[int, ...]
    means: Mapping[str, Floats]
    resampled: Mapping[str, Floats]


def make_curves(
    rows: Sequence[Row], strategies: Sequence[str], groups: npt.NDArray[np.intp], threshold: str, seed: int = 0
) -> Curves:
    """groups: of the held-out images. seed: of the resampling; data sets have nothing to do with each other."""
    by_key = {(row.strategy, row.seed, len(row.labelled)): row for row in rows}
    seeds = sorted({row.seed for row in rows})
    sizes = tuple(sorted({len(row.labelled) for row in rows}))
    names = {sizes[0]: START, sizes[-1]: WHOLE}
    count = int(groups.max()) + 1
    draws = np.concatenate([np.ones((1, count), int), draw_groups(count, RESAMPLES, 2 * seed)])
    weights = np.concatenate([np.ones((1, len(seeds)), int), draw_groups(len(seeds), RESAMPLES, 2 * seed + 1)])
    found = {}
    for strategy in strategies:
        table = [[by_key[names.get(size, strategy), one, size] for size in sizes] for one in seeds]
        right = np.array([[sum_by_group(row.score.near[threshold], groups, count) for row in line] for line in table])
        joints = np.array([[sum_by_group(row.score.joints, groups, count) for row in line] for line in table])
        shares = (right @ draws.T) / (joints @ draws.T)  # (seeds, sizes, resamples)
        found[strategy] = np.einsum("nkr,rn->rk", shares, weights) / len(seeds)
    return Curves(
        sizes, {name: values[0] for name, values in found.items()}, {name: v[1:] for name, v in found.items()}
    )


def labels_needed(sizes: Sequence[int], accuracy: npt.ArrayLike, share: float = ENOUGH) -> Floats:
    """(...) the first number of labels at which accuracy (..., sizes) is that share of its last value.

    Between two sizes it rises as a line over the logarithm of labels. The first size where that is already enough;
    infinite where it never is, as after a last value that is no number.
    """
    values = np.asarray(accuracy, np.float64)
    target = share * values[..., -1:]
    enough = values >= target
    place = enough.argmax(axis=-1)
    before = np.maximum(place - 1, 0)
    low, high = (np.take_along_axis(values, at[..., None], axis=-1)[..., 0] for at in (before, place))
    rise = np.where(place > 0, high - low, 1)
    way = np.where(place > 0, (target[..., 0] - low) / np.where(rise > 0, rise, 1), 0)
    logs = np.log(np.asarray(sizes, np.float64))
    needed = np.exp(logs[before] + way * (logs[place] - logs[before]))
    return np.where(enough.any(axis=-1), needed, np.inf)


def area(sizes: Sequence[int], accuracy: npt.ArrayLike) -> Floats:
    """(...) the mean accuracy (..., sizes) over the logarithm of labels: the area under the curve by its width."""
    logs = np.log(np.asarray(sizes, np.float64))
    return np.asarray(np.trapezoid(np.asarray(accuracy, np.float64), logs, axis=-1) / (logs[-1] - logs[0]))


def accuracies(curves: Curves, strategy: str) -> list[Interval]:
    """At each size."""
    pairs = zip(curves.means[strategy], curves.resampled[strategy].T, strict=True)
    return [interval(float(mean), values, len(values)) for mean, values in pairs]


def gains(curves: Curves, strategy: str, base: str) -> list[Interval]:
    """At each size, how much better than `base`."""
    mean = curves.means[strategy] - curves.means[base]
    resampled = curves.resampled[strategy] - curves.resampled[base]
    return [interval(float(m), values, len(values)) for m, values in zip(mean, resampled.T, strict=True)]


@dataclass(frozen=True, eq=False)
class Summary:
    """Of one data set, or of several: strategy -> the value, then its resamples, (1 + resamples,).

    areas: see `area`. needed: see `labels_needed`, as a share of all labels.
    """

    areas: Mapping[str, Floats]
    needed: Mapping[str, Floats]


def summarise(curves: Curves) -> Summary:
    """Of one data set."""
    whole = {name: np.vstack([curves.means[name], curves.resampled[name]]) for name in curves.means}
    return Summary(
        {name: area(curves.sizes, values) for name, values in whole.items()},
        {name: labels_needed(curves.sizes, values) / curves.sizes[-1] for name, values in whole.items()},
    )


def overall(summaries: Sequence[Summary]) -> Summary:
    """The mean of areas, and the geometric mean of the shares of labels, over data sets."""
    names = summaries[0].areas
    return Summary(
        {name: np.mean([one.areas[name] for one in summaries], axis=0) for name in names},
        {name: np.exp(np.mean([np.log(one.needed[name]) for one in summaries], axis=0)) for name in names},
    )


def with_ends(values: Floats) -> Interval:
    """Of a value and its resamples."""
    return interval(float(values[0]), values[1:], len(values))
