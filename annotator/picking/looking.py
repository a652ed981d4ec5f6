"""What the command would have chosen by itself, found while a person is already at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

import numpy as np

from annotator.detector import Detector
from annotator.frame_choice import Footage, candidates_each, detect, detected_each, look_at, looks_stride
from annotator.picking.footage import Courtesy, PickedVideo
from frame_tools.analysis import Analysis, Analyst
from frame_tools.decoding import DecodedPicture
from frame_tools.images import encode_image, shrink
from frame_tools.selection import Selection, Wishes, select
from frame_tools.timing import Span
from frame_tools.video import Video

THUMBNAILS = 48  # of each video on its timeline
_THUMBNAIL_SIDE_PX = 160
_THUMBNAIL_QUALITY = 75


class Stopped(Exception):  # noqa: N818
    """The person has left."""


@dataclass(frozen=True)
class Question:
    """What to look for: the command's options. wanted: kind -> how many the person wants, who also sees what no
    detector can tell; wishes: what is suggested.
    """

    span: Span
    wishes: Wishes
    wanted: Mapping[str, int] = field(default_factory=dict)
    detector: Detector | None = None


@dataclass(frozen=True, eq=False)
class Looked:
    """What was found. footage: as the command sees it, perhaps not every frame; whole: every frame of each video."""

    footage: tuple[Footage, ...]
    whole: tuple[Analysis, ...]
    selection: Selection


@dataclass(eq=False)
class Progress:
    """How far the looking is, for the page. thumbnails: video and pts -> JPEG, as they come."""

    videos: int
    text: str = ""
    done: int = 0
    of: int = 0
    thumbnails: dict[tuple[int, int], bytes] = field(default_factory=dict)
    corrections: int = 0  # how often a video turned out to have other frames than its container says
    stopped: Event = field(default_factory=Event)


def look(videos: Sequence[PickedVideo], question: Question, progress: Progress, courtesy: Courtesy) -> Looked:
    """Look at every frame of all videos, then select. Raises Stopped, or what `look_at` raises."""
    step = _steps(progress, courtesy)
    pairs = [_look_at(number, picked, question, progress, step) for number, picked in enumerate(videos)]
    footage = [seen for seen, _ in pairs]
    if question.detector is not None:
        limit = detected_each(question.wishes.count, len(videos))
        progress.text, progress.done, progress.of = "detecting", 0, limit * len(videos)
        footage = [detect(item, question.detector, limit, step) for item in footage]
    selection = Selection(())
    if question.wishes.count is not None or question.wishes.method == "every":
        selection = select([item.timeline for item in footage], [item.candidates for item in footage], question.wishes)
    return Looked(tuple(footage), tuple(whole for _, whole in pairs), selection)


def _look_at(
    number: int, picked: PickedVideo, question: Question, progress: Progress, step: Callable[[int], None]
) -> tuple[Footage, Analysis]:
    video, wishes = picked.video, question.wishes
    progress.text, progress.done, progress.of = f"looking at {video.path.name}", 0, len(picked.shown.pts)
    stride = looks_stride(video, wishes.method)
    watcher = _Watcher(number, picked, candidates_each(progress.videos), progress)
    keep_blurred = "blurry" in wishes.wanted
    footage = look_at(video, question.span, step, stride, progress.videos, keep_blurred, watcher.watch)
    whole = watcher.analyst.result()
    progress.corrections += picked.correct(whole.table)
    return footage, whole


def _steps(progress: Progress, courtesy: Courtesy) -> Callable[[int], None]:
    def step(count: int) -> None:
        progress.done += count
        if progress.stopped.is_set():
            raise Stopped
        courtesy.give_way()

    return step


class _Watcher:
    """Sees every picture of a pass: measures each, and makes the timeline's thumbnails."""

    def __init__(self, number: int, picked: PickedVideo, capacity: int, progress: Progress) -> None:
        self.analyst = Analyst(picked.video, capacity)
        self._number, self._video, self._thumbnails = number, picked.video, progress.thumbnails
        pts = picked.shown.pts
        places = np.linspace(0, len(pts) - 1, min(THUMBNAILS, len(pts))).round().astype(int)
        self._wanted = frozenset(pts[places].tolist())

    def watch(self, decoded: DecodedPicture) -> None:
        self.analyst.look(decoded)
        if decoded.pts in self._wanted:
            self._thumbnails[self._number, decoded.pts] = _thumbnail(self._video, decoded)


def _thumbnail(video: Video, decoded: DecodedPicture) -> bytes:
    pixels = shrink(video.to_frame(decoded).image, _THUMBNAIL_SIDE_PX)
    return encode_image(pixels, ".jpg", _THUMBNAIL_QUALITY)
