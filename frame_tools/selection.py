"""Candidates and quotas -> chosen frames, each with its reason (pure, deterministic)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from frame_tools.novelty import NEAR_DUPLICATE, Coverage, Embeddings, central
from frame_tools.sampling import Timeline, fair_shares, scene_rows, uniform_rows

Method = Literal["diverse", "uniform", "scenes", "every"]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]

BLURRED = 0.75  # times the median sharpness of its scene: less is blurred
FAINT = 0.5  # times the median sharpness of its video: less is blurred even where the whole scene is
EMPTY_WEIGHT = 0.2  # of the novelty of a picture in which a detector found nobody


@dataclass(frozen=True, eq=False)
class Candidates:
    """The frames of one video that looks are compared for. (m,) each, embeddings (m, size).

    rows: of the timeline. sharpness: of the picture or of its subjects. subjects: how many a detector found, None
    without one. kinds: hard case -> which candidates are one.
    """

    rows: npt.NDArray[np.int64]
    embeddings: Embeddings
    sharpness: FloatArray
    subjects: npt.NDArray[np.int64] | None = None
    kinds: Mapping[str, BoolArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Wishes:
    """What is asked for. wanted: hard case -> how many of the `count`. step: of `every`, which knows no count."""

    count: int | None
    method: Method = "diverse"
    step: int = 1
    min_gap_seconds: float = 0.0
    seed: int = 0
    wanted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One chosen frame: which video, which row of its timeline, and why."""

    video: int
    row: int
    reason: str


@dataclass(frozen=True)
class Selection:
    """The chosen frames by video and time, and what could not be had, in words."""

    choices: tuple[Choice, ...]
    shortfalls: tuple[str, ...] = ()


def select(timelines: Sequence[Timeline], candidates: Sequence[Candidates], wishes: Wishes) -> Selection:
    """Choose frames of several videos, which share the count as evenly as what they have to offer allows.

    Hard cases are taken first, the rest by the method. `diverse` alone leaves out what is blank, blurred or a
    near-duplicate; it would rather return fewer frames than such.
    """
    search = _Search(timelines, candidates, wishes)
    search.take_wanted()
    if wishes.method == "diverse":
        search.take_diverse()
    else:
        search.take_by_time()
    return Selection(tuple(sorted(search.choices, key=lambda c: (c.video, c.row))), tuple(search.shortfalls))


def blurred(sharpness: FloatArray, scene: npt.NDArray[np.integer], judged: BoolArray) -> BoolArray:
    """Which pictures are much less sharp than their scene, or their video, usually is.

    All (n,). judged: those that the medians are taken over and that may be called blurred.
    """
    result = np.zeros(len(sharpness), bool)
    if not judged.any():
        return result
    faint = FAINT * np.median(sharpness[judged])
    for number in np.unique(scene[judged]):
        members = judged & (scene == number)
        limit = BLURRED * np.median(sharpness[members])
        result |= members & (sharpness < max(limit, faint))
    return result


class _Search:
    """The state of one selection: what has been taken so far, and how well it covers the candidates."""

    def __init__(self, timelines: Sequence[Timeline], candidates: Sequence[Candidates], wishes: Wishes) -> None:
        self.choices: list[Choice] = []
        self.shortfalls: list[str] = []
        self._timelines, self._wishes = timelines, wishes
        self._pool = _Pool.gather(timelines, candidates)
        self._coverage = Coverage(self._pool.embeddings)
        self._taken = np.zeros(len(self._pool.video), bool)
        self._covered: set[tuple[int, int]] = set()

    def take_wanted(self) -> None:
        """The quotas of hard cases, rarest first, so that a frame that is several things serves the rarest."""
        pool = self._pool
        counts = {kind: int(pool.kinds[kind].sum()) for kind in self._wishes.wanted}
        for kind in sorted(counts, key=lambda kind: (counts[kind], kind)):
            quota = self._wishes.wanted[kind]
            fit = ~pool.blank if kind == "blurry" else ~pool.blank & ~pool.blurred
            weight = np.ones(len(pool.video)) if kind == "blurry" else pool.weight
            taken = 0
            while taken < quota:
                index = self._best(pool.kinds[kind] & fit, weight)
                if index is None:
                    break
                taken += 1
                self._take(index, f"wanted: {kind} ({pool.describe(index)})")
            if taken < quota:
                why = "; the others are blurred, near-duplicates or within the gap" if counts[kind] > taken else ""
                found = f"{counts[kind]} of the {len(pool.video)} frames looked at are {kind}"
                self.shortfalls.append(f"{kind}: {taken} of {quota} wanted; {found}{why}")

    def take_diverse(self) -> None:
        """Frames that look unlike those chosen before, one video after the other; each scene is visited first."""
        pool = self._pool
        usable = ~pool.blank & ~pool.blurred
        while len(self.choices) < (self._wishes.count or 0):
            index = self._next_diverse(usable)
            if index is None:
                self._explain_diverse(usable)
                return
            self._take(index, self._reason(index))

    def take_by_time(self) -> None:
        """The methods that choose among all frames, whatever they look like."""
        taken = {(choice.video, choice.row) for choice in self.choices}
        remaining = None if self._wishes.count is None else self._wishes.count - len(self.choices)
        if remaining is None:
            shares = [len(timeline.seconds) for timeline in self._timelines]
        else:
            shares = fair_shares([len(timeline.seconds) for timeline in self._timelines], remaining)
        too_near = 0
        for video, share in enumerate(shares):
            for row, reason in self._by_time(video, share):
                if (video, row) in taken:
                    continue
                if self._gap_kept(video, row):
                    self.choices.append(Choice(video, row, reason))
                else:
                    too_near += 1
        if too_near:
            gap = self._wishes.min_gap_seconds
            self.shortfalls.append(f"{too_near} frames left out: nearer than {gap:g} s to another")
        if remaining is not None and len(self.choices) + too_near < (self._wishes.count or 0):
            self.shortfalls.append(f"{len(self.choices)} of {self._wishes.count}: there are no more frames")

    def _by_time(self, video: int, share: int) -> list[tuple[int, str]]:
        timeline = self._timelines[video]
        if self._wishes.method == "every":
            step = self._wishes.step
            rows = range(0, len(timeline.seconds), step)
            return [(row, f"every {step}. frame" if step > 1 else "every frame") for row in rows]
        if self._wishes.method == "scenes":
            return scene_rows(timeline, share)
        rows_at = uniform_rows(timeline.seconds, share, self._wishes.seed)
        return [(row, f"uniform: {index} of {share}") for index, row in enumerate(rows_at, 1)]

    def _gap_kept(self, video: int, row: int) -> bool:
        gap = self._wishes.min_gap_seconds
        if not gap:
            return True
        seconds = self._timelines[video].seconds
        return all(abs(seconds[c.row] - seconds[row]) >= gap for c in self.choices if c.video == video)

    def _next_diverse(self, usable: BoolArray) -> int | None:
        """From the video that has had least; in it, from a scene that has had none; there, the newest and sharpest."""
        pool = self._pool
        had = np.bincount([c.video for c in self.choices], minlength=len(self._timelines))
        for video in np.argsort(had, kind="stable").tolist():
            mine = usable & (pool.video == video)
            for scene in self._uncovered_scenes(video):
                index = self._best(mine & (pool.scene == scene), pool.weight)
                if index is not None:
                    return index
                self._covered.add((video, scene))  # nothing in it is to be had
            index = self._best(mine, pool.weight)
            if index is not None:
                return index
        return None

    def _uncovered_scenes(self, video: int) -> list[int]:
        """Longest first."""
        members = self._pool.scene[self._pool.video == video]
        numbers, sizes = np.unique(members, return_counts=True)
        order = numbers[np.argsort(-sizes, kind="stable")].tolist()
        return [scene for scene in order if (video, scene) not in self._covered]

    def _best(self, among: BoolArray, weight: FloatArray) -> int | None:
        """The index of the most novel one, by weight; None when all are near-duplicates or too near in time."""
        pool = self._pool
        allowed = among & ~self._taken & (self._coverage.distance > NEAR_DUPLICATE)
        if not allowed.any():
            return None
        if not self.choices:
            indices = np.flatnonzero(allowed)
            if self._wishes.seed:
                return int(np.random.default_rng(self._wishes.seed).choice(indices))
            return int(indices[central(pool.embeddings[indices], weight[indices])])
        return int(np.argmax(np.where(allowed, self._coverage.distance * weight, -1.0)))

    def _take(self, index: int, reason: str) -> None:
        pool, gap = self._pool, self._wishes.min_gap_seconds
        video, row = int(pool.video[index]), int(pool.row[index])
        self.choices.append(Choice(video, row, reason))
        self._coverage.add(index)
        self._covered.add((video, int(pool.scene[index])))
        self._taken[index] = True
        self._taken |= (pool.video == video) & (np.abs(pool.seconds - pool.seconds[index]) < gap)

    def _reason(self, index: int) -> str:
        pool = self._pool
        figures = pool.describe(index)
        if not self.choices:
            return f"diverse: most like the rest ({figures})" if not self._wishes.seed else f"diverse: seed ({figures})"
        distance = float(self._coverage.distance[index])
        scene = (int(pool.video[index]), int(pool.scene[index]))
        first = "" if scene in self._covered else f"first of scene {scene[1] + 1}, "
        return f"diverse: {first}{distance:.1f} grey levels from the nearest chosen frame ({figures})"

    def _explain_diverse(self, usable: BoolArray) -> None:
        pool, count = self._pool, self._wishes.count
        near = int((usable & ~self._taken & (self._coverage.distance <= NEAR_DUPLICATE)).sum())
        within = int((usable & self._taken).sum()) - len(self.choices)
        parts = [f"{near} near-duplicates", f"{int((pool.blurred & ~pool.blank).sum())} blurred"]
        parts += [f"{int(pool.blank.sum())} black, white or flat", f"{max(0, within)} within the gap"]
        self.shortfalls.append(
            f"{len(self.choices)} of {count}: the other frames looked at are {', '.join(parts)}; "
            "--method uniform takes them whatever they look like"
        )


@dataclass(frozen=True, eq=False)
class _Pool:
    """The candidates of all videos, one behind the other. weight: of novelty, by sharpness, at most 1."""

    video: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    seconds: FloatArray
    scene: npt.NDArray[np.integer]
    sharpness: FloatArray
    blank: BoolArray
    blurred: BoolArray
    weight: FloatArray
    subjects: npt.NDArray[np.int64]  # -1 without a detector
    embeddings: Embeddings
    kinds: Mapping[str, BoolArray]

    @classmethod
    def gather(cls, timelines: Sequence[Timeline], candidates: Sequence[Candidates]) -> _Pool:
        pools = [cls._of_video(*pair) for pair in enumerate(zip(timelines, candidates, strict=True))]
        columns = {
            name: np.concatenate([getattr(pool, name) for pool in pools]) for name in vars(pools[0]) if name != "kinds"
        }
        kinds = {kind: np.concatenate([pool.kinds[kind] for pool in pools]) for kind in pools[0].kinds}
        return cls(**columns, kinds=kinds)

    @classmethod
    def _of_video(cls, video: int, parts: tuple[Timeline, Candidates]) -> _Pool:
        timeline, mine = parts
        scene, blank = timeline.scene[mine.rows], timeline.blank[mine.rows]
        subjects = np.full(len(mine.rows), -1, np.int64) if mine.subjects is None else mine.subjects
        judged = ~blank & (subjects != 0)
        is_blurred = blurred(mine.sharpness, scene, judged)
        smeared = is_blurred | blurred(mine.sharpness, scene, ~blank & (subjects == 0))
        usual = np.median(mine.sharpness[judged]) if judged.any() else 1.0
        weight = np.clip(mine.sharpness / max(float(usual), 1e-6), 0.1, 1.0) * np.where(subjects == 0, EMPTY_WEIGHT, 1)
        pool = cls(
            video=np.full(len(mine.rows), video, np.int64),
            row=mine.rows,
            seconds=timeline.seconds[mine.rows],
            scene=scene,
            sharpness=mine.sharpness,
            blank=blank,
            blurred=smeared,
            weight=weight,
            subjects=subjects,
            embeddings=mine.embeddings,
            kinds=mine.kinds,
        )
        return replace(pool, kinds={**mine.kinds, "blurry": is_blurred})

    def describe(self, index: int) -> str:
        """The figures behind a reason."""
        text = f"sharpness {self.sharpness[index]:.2f}"
        return text if self.subjects[index] < 0 else f"{text}, {self.subjects[index]} subjects"
