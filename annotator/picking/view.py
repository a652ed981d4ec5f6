"""What the page is told, as plain values (pure)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from annotator.errors import AnnotatorError
from annotator.frame_folder import describe_damage
from annotator.picking.footage import PickedVideo
from annotator.picking.looking import Looked, Progress
from annotator.picking.session import MARKS, Session
from frame_tools.analysis import Analysis
from frame_tools.errors import FrameToolsError
from frame_tools.frame import FrameId
from frame_tools.selection import Choice


def frames_view(picked: PickedVideo) -> dict[str, Any]:
    """All frames of a video that may be picked."""
    shown, facts = picked.shown, picked.video.facts
    seconds = (shown.pts - facts.first_pts) * float(facts.time_base)
    return {
        "pts": shown.pts.tolist(),
        "ordinals": shown.ordinals.tolist(),
        "seconds": np.round(seconds, 4).tolist(),
    }


def video_view(
    picked: PickedVideo, whole: Analysis | None, near: Sequence[tuple[int, int]], thumbnails: Collection[int]
) -> dict[str, Any]:
    """A video beside its frames. whole: None until all have been looked at; near, thumbnails: pts."""
    damage = [] if whole is None else list(describe_damage(picked.video))
    return {
        "name": picked.video.path.name,
        "notes": [*picked.notes, *damage],
        "scenes": [] if whole is None else _scene_starts(whole),
        "near": near,
        "thumbnails": sorted(thumbnails),
    }


def session_view(session: Session, numbers: Mapping[str, int]) -> dict[str, Any]:
    """What is picked. numbers: source -> the video's number on the page."""
    picks = [
        {
            "at": place_of(frame, numbers),
            "taken": pick.taken,
            "marks": [mark for mark in MARKS if mark in pick.marks],
        }
        for frame, pick in session.picks.items()
    ]
    return {
        "picks": picks,
        "last": changed_place(session, numbers),
        "counts": {mark: session.count(mark) for mark in MARKS},
    }


def suggestions_view(looked: Looked | None) -> dict[str, Any]:
    """What the command would have chosen, and what it could not have."""
    choices = () if looked is None else looked.selection.choices
    shortfalls = () if looked is None else looked.selection.shortfalls
    suggestions = [
        {"at": [choice.video, suggested_frame(looked, choice).pts], "reason": choice.reason}
        for choice in choices
        if looked is not None
    ]
    return {"suggestions": suggestions, "shortfalls": list(shortfalls)}


def looking_view(progress: Progress, over: bool, failure: BaseException | None) -> dict[str, Any]:
    """How far the looking is."""
    known = isinstance(failure, AnnotatorError | FrameToolsError)
    words = "" if failure is None else str(failure) if known else "looking at the frames failed, see the terminal"
    return {"done": progress.done, "of": progress.of, "text": progress.text, "over": over, "failure": words}


def suggested_frame(looked: Looked, choice: Choice) -> FrameId:
    """The frame that was chosen."""
    footage = looked.footage[choice.video]
    return footage.video.frame_id(int(footage.analysis.table.pts[choice.row]))


def place_of(frame: FrameId, numbers: Mapping[str, int]) -> tuple[int, int]:
    """Number of the video, and pts."""
    return numbers[frame.source_sha256], frame.pts


def changed_place(session: Session, numbers: Mapping[str, int]) -> tuple[int, int] | None:
    """Where the first frame lies that the latest event has changed; None where there is no event."""
    return place_of(session.past[-1][0][0], numbers) if session.past else None


def _scene_starts(analysis: Analysis) -> list[int]:
    table = analysis.table
    starts = np.flatnonzero(np.diff(table.scene, prepend=-1))
    return [int(pts) for pts in table.pts[starts]]
