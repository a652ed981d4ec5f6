"""Where a video cuts from one shot to the next (pure)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MIN_CHANGE = 8.0  # grey levels: less is no cut, however still the shot is otherwise
CUT_RATIO = 3.0  # a cut changes the picture this much more than its neighbours do
NEIGHBOURS = 4  # frames on each side that a change is compared with
MIN_SCENE_SECONDS = 0.4  # a flash is no scene

FloatArray = npt.NDArray[np.floating]


def scene_numbers(change: FloatArray, blank: npt.NDArray[np.bool_], seconds: FloatArray) -> npt.NDArray[np.int32]:
    """For each frame the number of its scene, counted from 0.

    change: (n,) difference of each frame from the one before, in grey levels. blank: (n,) whether it shows nothing.
    A cut is a change that stands out from its neighbourhood, so that a panning camera does not cut (the idea of
    PySceneDetect's AdaptiveDetector). After a fade to black or white a new scene begins with the first picture.
    """
    starts = np.flatnonzero(_stands_out(change) | _fades_in(blank))
    return _number(_apart(starts, seconds), len(change))


def _stands_out(change: FloatArray) -> npt.NDArray[np.bool_]:
    count = len(change)
    if count < 2:
        return np.zeros(count, bool)
    padded = np.pad(change.astype(np.float64), NEIGHBOURS, mode="reflect" if count > NEIGHBOURS else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    neighbours = np.delete(windows, NEIGHBOURS, axis=1)
    cut = (change >= MIN_CHANGE) & (change >= CUT_RATIO * np.maximum(1.0, neighbours.mean(axis=1)))
    cut[0] = False
    return cut


def _fades_in(blank: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    start = np.zeros(len(blank), bool)
    start[1:] = blank[:-1] & ~blank[1:]
    return start


def _apart(starts: npt.NDArray[np.intp], seconds: FloatArray) -> list[int]:
    """Of starts too near to one another, the first."""
    kept: list[int] = []
    for start in starts.tolist():
        if seconds[start] - seconds[kept[-1] if kept else 0] >= MIN_SCENE_SECONDS:
            kept.append(start)
    return kept


def _number(starts: list[int], count: int) -> npt.NDArray[np.int32]:
    numbers = np.zeros(count, np.int32)
    numbers[starts] = 1
    return np.cumsum(numbers, dtype=np.int32)
