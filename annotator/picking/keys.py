"""What a key means, which depends on what is there (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from annotator.errors import AnnotatorError
from annotator.picking.session import MARKS, Event, Session
from frame_tools.frame import FrameId


@dataclass(frozen=True)
class Meaning:
    """The event that a key stands for, None where there is nothing to do; and what to tell the person."""

    event: Event | None
    words: str


def meaning_of(
    action: object, mark: object, frame: FrameId | None, session: Session, suggestions: Mapping[FrameId, str]
) -> Meaning:
    """Of a key pressed at `frame`, None for keys that concern no frame. suggestions: those not taken yet -> reason.

    Raises AnnotatorError for what no key asks for.
    """
    if action == "undo":
        return Meaning(Event("undo"), "undone" if session.past else "nothing to undo")
    if action == "accept_all":
        return _accepted(suggestions)
    if frame is None or action not in ("toggle", "accept", "mark") or (action == "mark" and mark not in MARKS):
        raise AnnotatorError(f"no key asks for {action!r} {mark!r}: load the page again")
    if action == "accept":
        return _accepted({one: reason for one, reason in suggestions.items() if one == frame})
    pick = session.pick(frame)
    if action == "toggle":
        return Meaning(Event("drop", (frame,)), "dropped") if pick.taken else Meaning(Event("take", (frame,)), "taken")
    name = str(mark)
    if name in pick.marks and pick.taken:
        return Meaning(Event("unmark", (frame,), (name,)), f"no longer marked {name}")
    return Meaning(Event("mark", (frame,), (name,)), f"taken, marked {name}")


def _accepted(suggestions: Mapping[FrameId, str]) -> Meaning:
    if not suggestions:
        return Meaning(None, "no suggestion here that is not taken yet; n goes to the next")
    event = Event("accept", tuple(suggestions), tuple(suggestions.values()))
    count = len(suggestions)
    return Meaning(event, "suggestion taken" if count == 1 else f"{count} suggestions taken")
