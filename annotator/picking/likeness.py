"""Which frames look like those that are taken (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from frame_tools.analysis import Analysis
from frame_tools.novelty import NEAR_DUPLICATE, Coverage, embed

BoolArray = npt.NDArray[np.bool_]


class Likeness:
    """Near-duplicates among the frames of several videos.

    Of a long video only the sharpest frame of each moment can be compared; it stands for its moment.
    """

    def __init__(self, analyses: Sequence[Analysis]) -> None:
        self._rows = [analysis.rows for analysis in analyses]
        self._pts = [analysis.table.pts for analysis in analyses]
        self._offsets = np.cumsum([0, *(len(rows) for rows in self._rows)])
        self._coverage = Coverage(embed(np.concatenate([analysis.thumbnails for analysis in analyses])))
        self._near: dict[int, BoolArray] = {}  # candidate -> which are like it

    def spans(self, taken: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """For each video the stretches of pts, both ends included, of frames that look like a taken one.

        taken: video and pts. Frames that are not in their analysis count for nothing.
        """
        near = np.zeros(self._offsets[-1], bool)
        for candidate in {self._candidate(video, pts) for video, pts in taken}:
            near |= self._like(candidate)
        return [self._stretches(video, near[self._offsets[video] : self._offsets[video + 1]]) for video in self._videos]

    @property
    def _videos(self) -> range:
        return range(len(self._rows))

    def _candidate(self, video: int, pts: int) -> int:
        """The one that stands for the frame: the nearest in time."""
        stamps = self._pts[video][self._rows[video]]
        after = int(np.clip(np.searchsorted(stamps, pts), 1, max(1, len(stamps) - 1)))
        nearest = after - 1 if len(stamps) == 1 or pts - stamps[after - 1] <= stamps[after] - pts else after
        return int(self._offsets[video]) + nearest

    def _like(self, candidate: int) -> BoolArray:
        if candidate not in self._near:
            self._near[candidate] = self._coverage.distances_to(candidate) <= NEAR_DUPLICATE
        return self._near[candidate]

    def _stretches(self, video: int, near: BoolArray) -> list[tuple[int, int]]:
        """Runs of candidates, each as wide as the moments that they stand for."""
        pts, rows = self._pts[video], self._rows[video]
        edges = np.flatnonzero(np.diff(near.astype(np.int8), prepend=0, append=0))
        middles = (rows[:-1] + rows[1:] + 1) // 2
        starts = np.concatenate([[0], middles])
        ends = np.concatenate([middles - 1, [len(pts) - 1]])
        return [
            (int(pts[starts[first]]), int(pts[ends[last - 1]]))
            for first, last in zip(edges[::2], edges[1::2], strict=True)
        ]
