"""What a person has picked: a state, and the events that lead from one to the next (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from annotator.errors import AnnotatorError
from frame_tools.frame import FrameId

MARKS = ("blurry", "occluded", "truncated", "crowded", "empty", "strange")  # their first letters are the keys
ACTIONS = ("take", "drop", "mark", "unmark", "accept", "undo")


@dataclass(frozen=True)
class Pick:
    """What is known of one frame. suggestion: the reason for which the selection proposed it, where that was accepted.

    The marks of a frame that is dropped are kept, so that a slip costs nothing.
    """

    taken: bool = False
    marks: frozenset[str] = frozenset()
    suggestion: str = ""

    @property
    def reason(self) -> str:
        """For the manifest: `picked by hand: blurry, strange; suggested: diverse: …`."""
        marks = [", ".join(mark for mark in MARKS if mark in self.marks)] if self.marks else []
        said = [*marks, f"suggested: {self.suggestion}"] if self.suggestion else marks
        return "picked by hand" + (f": {'; '.join(said)}" if said else "")

    @property
    def figures(self) -> dict[str, float]:
        """For the manifest's quality: 1 for each mark, and for a suggestion that was accepted."""
        figures = {f"marked_{mark}": 1.0 for mark in MARKS if mark in self.marks}
        return figures | ({"suggested": 1.0} if self.suggestion else {})


NOTHING = Pick()


@dataclass(frozen=True)
class Event:
    """One thing that a person did. text: the mark's name, or the reason of the suggestion; empty otherwise.

    `accept` may have many frames, with a reason each; `undo` has none, the others have one.
    """

    action: str
    frames: tuple[FrameId, ...] = ()
    texts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values; `event_of` is the inverse."""
        frames = [[frame.source_sha256, frame.pts] for frame in self.frames]
        return {"action": self.action, "frames": frames, "texts": list(self.texts)}


@dataclass(frozen=True, eq=False)
class Session:
    """picks: frame -> what is known of it, without those of which nothing is. past: what each event replaced."""

    picks: Mapping[FrameId, Pick] = field(default_factory=lambda: MappingProxyType({}))
    past: tuple[tuple[tuple[FrameId, Pick], ...], ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Session) and (dict(self.picks), self.past) == (dict(other.picks), other.past)

    def pick(self, frame: FrameId) -> Pick:
        """What is known of a frame, which may be nothing."""
        return self.picks.get(frame, NOTHING)

    @property
    def taken(self) -> list[FrameId]:
        """In order of source and time."""
        return sorted(frame for frame, pick in self.picks.items() if pick.taken)

    def count(self, mark: str) -> int:
        """How many of the taken frames have that mark."""
        return sum(pick.taken and mark in pick.marks for pick in self.picks.values())

    def after(self, event: Event) -> Session:
        """The state that the event leads to; this very one where it changes nothing."""
        if event.action == "undo":
            return self._undone()
        changes = {frame: _change(self.pick(frame), event.action, text) for frame, text in _parts(event)}
        before = tuple((frame, self.pick(frame)) for frame in changes if changes[frame] != self.pick(frame))
        if not before:
            return self
        return Session(self._with(changes), (*self.past, before))

    def _undone(self) -> Session:
        if not self.past:
            return self
        return Session(self._with(dict(self.past[-1])), self.past[:-1])

    def _with(self, changes: Mapping[FrameId, Pick]) -> Mapping[FrameId, Pick]:
        picks = {**self.picks, **changes}
        return MappingProxyType({frame: pick for frame, pick in picks.items() if pick != NOTHING})


def replayed(events: Iterable[Event]) -> Session:
    """The state after all of them."""
    session = Session()
    for event in events:
        session = session.after(event)
    return session


def event_of(values: Any, where: str) -> Event:
    """The event in what `Event.to_json` gives. Raises AnnotatorError, saying `where`."""
    try:
        frames = tuple(FrameId(str(sha256), int(pts)) for sha256, pts in values["frames"])
        event = Event(str(values["action"]), frames, tuple(map(str, values["texts"])))
    except (TypeError, KeyError, ValueError) as error:
        raise AnnotatorError(f"{where}: {str(values)[:80]!r} is no event: expected action, frames and texts") from error
    check(event, where)
    return event


def check(event: Event, where: str) -> None:
    """Raises AnnotatorError for an event that no page of ours sends."""
    if event.action not in ACTIONS:
        raise AnnotatorError(f"{where}: action {event.action!r}, expected one of {', '.join(ACTIONS)}")
    texts = len(event.frames) if event.action in ("mark", "unmark", "accept") else 0
    frames = {"undo": 0, "accept": max(1, len(event.frames))}.get(event.action, 1)
    if (len(event.frames), len(event.texts)) != (frames, texts):
        raise AnnotatorError(
            f"{where}: {event.action} with {len(event.frames)} frames and {len(event.texts)} texts, expected {frames} "
            f"and {texts}"
        )
    if event.action in ("mark", "unmark") and event.texts[0] not in MARKS:
        raise AnnotatorError(f"{where}: mark {event.texts[0]!r}, expected one of {', '.join(MARKS)}")


def _parts(event: Event) -> Sequence[tuple[FrameId, str]]:
    return list(zip(event.frames, event.texts or [""] * len(event.frames), strict=True))


def _change(pick: Pick, action: str, text: str) -> Pick:
    match action:
        case "take":
            return replace(pick, taken=True)
        case "drop":
            return replace(pick, taken=False, suggestion="")
        case "mark":  # who marks a frame wants it
            return replace(pick, taken=True, marks=pick.marks | {text})
        case "unmark":
            return replace(pick, marks=pick.marks - {text})
        case _:
            return pick if pick.taken else replace(pick, taken=True, suggestion=text)
