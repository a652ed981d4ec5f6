"""What lies before the person who picks: videos, session and suggestions, for the page and for the command."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Lock
from typing import Any

import numpy as np

from annotator.errors import AnnotatorError
from annotator.frame_choice import Footage
from annotator.frame_folder import Reason, TakenFrame
from annotator.picking.footage import Courtesy, PickedVideo, picked_video
from annotator.picking.keys import meaning_of
from annotator.picking.likeness import Likeness
from annotator.picking.log import LOG_FILE, PickingLog
from annotator.picking.looking import Looked, Progress, Question, look
from annotator.picking.session import Session
from annotator.picking.view import (
    changed_place,
    frames_view,
    looking_view,
    place_of,
    session_view,
    suggested_frame,
    suggestions_view,
    video_view,
)
from frame_tools.analysis import Analysis
from frame_tools.frame import FrameId
from frame_tools.video import Video

FAREWELL_SECONDS = 3  # that the command waits for the page to have read how it ended
_HEARING_SECONDS = 0.2  # until Ctrl-C, or a failure in the background, is heard


@dataclass(frozen=True)
class Ending:
    """How the writing is going. written: frames so far. words: what to say at the end, empty until then."""

    written: int
    of: int
    words: str = ""


class Desk:
    """One person's work. Its methods may be called from any thread."""

    def __init__(self, videos: Sequence[PickedVideo], log: PickingLog, question: Question, courtesy: Courtesy) -> None:
        self.videos, self.dropped = videos, log.dropped
        self._log, self._question, self._courtesy = log, question, courtesy
        self._numbers = {picked.video.sha256: number for number, picked in enumerate(videos)}
        self._lock = Lock()
        self._changed = Condition()  # of the three that follow
        self._verb = ""  # what the person has asked for: `finish` or `quit`
        self._ending: Ending | None = None
        self._farewell = False  # whether the page has read the last words
        self._progress = Progress(len(videos))
        self._likeness: Likeness | None = None
        self._pool = ThreadPoolExecutor(1, "looking")
        self._looking: Future[Looked] = self._pool.submit(self._look)

    def frames(self, number: int) -> dict[str, Any]:
        """For the page: all frames of a video that may be picked. Raises AnnotatorError where there is no such one."""
        return frames_view(self._video(number))

    def picture(self, number: int, pts: int, full: bool) -> bytes:
        """For the page: a frame as JPEG. Raises AnnotatorError or FrameToolsError where it cannot be had."""
        return self._video(number).jpeg(pts, full)

    def thumbnail(self, number: int, pts: int) -> bytes:
        """For the page: one of those that `state` names."""
        content = self._progress.thumbnails.get((number, pts))
        if content is None:
            raise AnnotatorError(f"video {number}: no thumbnail at pts {pts}")
        return content

    def state(self) -> dict[str, Any]:
        """For the page: all else that it shows."""
        session, looked = self.session, self._looked()
        return {
            "videos": self._video_views(session, looked),
            **session_view(session, self._numbers),
            **suggestions_view(looked),
            "wanted": dict(self._question.wanted),
            "count": self._question.wishes.count,
            "looking": looking_view(self._progress, self._looking.done(), self._failure()),
            "corrections": self._progress.corrections,
            "ending": self._read_ending(),
        }

    def do(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a key; gives the new state, what to say, and where the frame lies that it has changed.

        values: action, and for most video, pts and mark. Raises AnnotatorError for what cannot be done.
        """
        with self._lock:
            if self._ending is not None:
                raise AnnotatorError("the frames are being written: nothing can be changed any more")
            before, action = self.session, values.get("action")
            frame = self._frame(values) if "pts" in values else None
            meaning = meaning_of(action, values.get("mark"), frame, before, self._open_suggestions())
            after = before if meaning.event is None else self._log.append(meaning.event)
        about = changed_place(before if len(after.past) < len(before.past) else after, self._numbers)
        return {"state": self.state(), "said": meaning.words, "about": about}

    def ask(self, verb: str) -> None:
        """The person wants to `finish` or to `quit`. Raises AnnotatorError where it is too early."""
        if verb == "finish" and not self._looking.done():
            raise AnnotatorError("not every frame has been looked at yet: finish after that, or quit and go on later")
        if verb == "finish" and not self.session.taken:
            raise AnnotatorError("no frame is taken yet: nothing would be written")
        with self._lock, self._changed:
            self._ending = Ending(0, len(self.session.taken)) if verb == "finish" else None
            self._verb = verb
            self._changed.notify_all()

    @property
    def session(self) -> Session:
        """What is picked."""
        return self._log.session

    def wait(self) -> str:
        """Until the person finishes or quits: which of the two. Raises what went wrong in the background."""
        with self._changed:
            while not self._verb:
                self._changed.wait(_HEARING_SECONDS)
                if self._failure() is not None:
                    self.looked()
        return self._verb

    def looked(self) -> Looked:
        """What was found in the background, once that is done."""
        return self._looking.result()

    def taken(self) -> tuple[list[list[TakenFrame]], list[str]]:
        """The frames of each video to be written, and those that cannot be, in words."""
        looked = self.looked()
        frames: list[list[TakenFrame]] = [[] for _ in self.videos]
        lost = []
        for frame in self.session.taken:
            number, _ = place_of(frame, self._numbers)
            found = _taken(frame, self.session, looked.footage[number], looked.whole[number])
            if found is None:
                path = self.videos[number].video.path
                lost.append(f"{path}: the frame with pts {frame.pts} was taken and is lost to damage")
            else:
                frames[number].append(found)
        return frames, lost

    def wrote(self, count: int) -> None:
        """Tell the page that so many more frames are written."""
        with self._changed:
            ending = self._ending or Ending(0, len(self.session.taken))
            self._ending = Ending(ending.written + count, ending.of)

    def end(self, words: str) -> None:
        """Say the last words, and wait a moment for the page to have read them."""
        with self._changed:
            written = len(self.session.taken)
            self._ending = Ending(written, written, words)
            self._changed.wait_for(lambda: self._farewell, FAREWELL_SECONDS)

    def close(self) -> None:
        """Stop what is going on in the background."""
        self._progress.stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for picked in self.videos:
            with picked.lock:
                picked.seeker.close()

    def _look(self) -> Looked:
        looked = look(self.videos, self._question, self._progress, self._courtesy)
        self._likeness = Likeness(looked.whole)
        return looked

    def _failure(self) -> BaseException | None:
        return self._looking.exception() if self._looking.done() else None

    def _looked(self) -> Looked | None:
        return self.looked() if self._looking.done() and self._failure() is None else None

    def _video(self, number: int) -> PickedVideo:
        if not 0 <= number < len(self.videos):
            raise AnnotatorError(f"no video {number}, expected 0 to {len(self.videos) - 1}")
        return self.videos[number]

    def _frame(self, values: Mapping[str, Any]) -> FrameId:
        number, pts = values.get("video"), values.get("pts")
        if not isinstance(number, int) or not isinstance(pts, int) or not self._video(number).offers(pts):
            raise AnnotatorError(f"video {number!r} has no frame with pts {pts!r} that may be picked")
        return self.videos[number].video.frame_id(pts)

    def _open_suggestions(self) -> dict[FrameId, str]:
        looked = self._looked()
        if looked is None:
            return {}
        found = {suggested_frame(looked, choice): choice.reason for choice in looked.selection.choices}
        return {frame: reason for frame, reason in found.items() if not self.session.pick(frame).taken}

    def _video_views(self, session: Session, looked: Looked | None) -> list[dict[str, Any]]:
        near: list[list[tuple[int, int]]] = [[] for _ in self.videos]
        if self._likeness is not None:
            near = self._likeness.spans([place_of(frame, self._numbers) for frame in session.taken])
        thumbnails = list(self._progress.thumbnails)
        return [
            video_view(
                picked,
                None if looked is None else looked.whole[number],
                near[number],
                [pts for video, pts in thumbnails if video == number],
            )
            for number, picked in enumerate(self.videos)
        ]

    def _read_ending(self) -> dict[str, Any] | None:
        with self._changed:
            if self._ending is None:
                return None
            self._farewell = bool(self._ending.words)
            self._changed.notify_all()
            return vars(self._ending)


@contextmanager
def opened_desk(videos: Sequence[Video], folder: Path, question: Question) -> Iterator[Desk]:
    """A desk over the session that `folder` keeps, as long as the block lasts."""
    courtesy = Courtesy()
    log = PickingLog(folder / LOG_FILE)
    try:
        _refuse_strangers(log, {video.sha256 for video in videos})
        picked = [picked_video(video, question.span, folder, courtesy) for video in videos]
        desk = Desk(picked, log, question, courtesy)
        try:
            yield desk
        finally:
            desk.close()
    finally:
        log.close()


def _refuse_strangers(log: PickingLog, known: Collection[str]) -> None:
    session = log.session
    frames = {*session.picks, *(frame for change in session.past for frame, _ in change)}
    if strangers := [frame for frame in frames if frame.source_sha256 not in known]:
        raise AnnotatorError(
            f"{log.path}: holds a frame of a video with sha256 {strangers[0].source_sha256[:16]}…, which is none of "
            "those given; give the same videos as before, or --overwrite"
        )


def _taken(frame: FrameId, session: Session, footage: Footage, whole: Analysis) -> TakenFrame | None:
    """With the figures that the command gives the frame where it looks at it, else those of the pass over all."""
    pick = session.pick(frame)
    for item in (footage, Footage(footage.video, whole)):
        table = item.analysis.table
        row = int(np.searchsorted(table.pts, frame.pts))
        if row < len(table) and table.pts[row] == frame.pts:
            return TakenFrame(table.mark(row), Reason(pick.reason, {**item.figures(row), **pick.figures}))
    return None
