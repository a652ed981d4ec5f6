"""AP and AR of matched estimates: the numbers of pycocotools' COCOeval.summarize(), equal to 1e-9."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from trainers.metrics.matching import THRESHOLDS, MatchTable
from trainers.metrics.oks_matching import match_by_oks
from trainers.metrics.pairs import Bools, Floats
from trainers.metrics.tables import EstimateTable, TruthTable

RECALLS = np.linspace(0.0, 1.0, 101)


def average_precision(
    truth: TruthTable, estimates: EstimateTable, sigmas: tuple[float, ...] | Floats
) -> dict[str, float]:
    """AP, AP50, AP75, AP_M, AP_L, AR, AR50, AR75, AR_M, AR_L; NaN where the truth has nobody of that size."""
    return summarise_matches(match_by_oks(truth, estimates, sigmas))


def summarise_matches(table: MatchTable) -> dict[str, float]:
    """AP, AP50, AP75, AR, AR50, AR75 of all, and AP_S, AR_S, … of the other sizes; sizes begin with "all"."""
    curves = [
        precision_and_recall(table.right[a], table.wrong[a], float(table.wanted[a].sum()))
        for a in range(len(table.sizes))
    ]
    summary: dict[str, float] = {}
    for name, parts in zip(("AP", "AR"), zip(*curves, strict=True), strict=True):
        everybody, *others = parts
        summary |= {
            name: float(everybody.mean()),
            f"{name}50": float(everybody[_threshold(0.5)].mean()),
            f"{name}75": float(everybody[_threshold(0.75)].mean()),
            **{
                f"{name}_{size[0].upper()}": float(part.mean())
                for size, part in zip(table.sizes[1:], others, strict=True)
            },
        }
    return summary


def resample_ap(table: MatchTable, weights: npt.NDArray[np.integer]) -> dict[str, Floats]:
    """AP, AP50, AP75 and AR, each (resamples,), over images that count `weights` times, (resamples, images).

    The copies of an estimate follow each other, as estimates of equal score in one file do.
    """
    rows = np.array(list(_resamples(table, weights))).reshape(-1, 4)
    return dict(zip(("AP", "AP50", "AP75", "AR"), rows.T, strict=True))


def precision_and_recall(right: Bools | Floats, wrong: Bools | Floats, wanted: float) -> tuple[Floats, Floats]:
    """Interpolated precision (thresholds, recalls) and the recall reached (thresholds,); NaN where nobody is wanted.

    right, wrong: (thresholds, n), best estimate first, how often each counts.
    """
    if not wanted:
        return np.full((len(right), len(RECALLS)), np.nan), np.full(len(right), np.nan)
    hits, misses = np.cumsum(right, axis=1, dtype=np.float64), np.cumsum(wrong, axis=1, dtype=np.float64)
    recall = hits / wanted
    precision = hits / (misses + hits + np.spacing(1))
    highest_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(highest_from_here, ((0, 0), (0, 1)))  # a recall that is never reached has precision 0
    places = [np.searchsorted(row, RECALLS, side="left") for row in recall]
    reached = recall[:, -1] if recall.shape[1] else np.zeros(len(recall))
    return np.take_along_axis(padded, np.stack(places), axis=1), reached


def _resamples(table: MatchTable, weights: npt.NDArray[np.integer]) -> Iterator[tuple[float, float, float, float]]:
    image_wanted = np.bincount(table.truth_image[table.wanted[0]], minlength=weights.shape[1])
    for row in weights:
        weight = row[table.image].astype(np.float64)
        there = weight > 0
        right, wrong = table.right[0][:, there] * weight[there], table.wrong[0][:, there] * weight[there]
        precision, recall = precision_and_recall(right, wrong, float(row @ image_wanted))
        at50, at75 = precision[_threshold(0.5)], precision[_threshold(0.75)]
        yield float(precision.mean()), float(at50.mean()), float(at75.mean()), float(recall.mean())


def _threshold(value: float) -> int:
    return int(np.flatnonzero(np.isclose(THRESHOLDS, value))[0])
