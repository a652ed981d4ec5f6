"""What the journal says, for people and for programs: it opens no model, no image and no server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from annotator.journal import Journal, StepRow

_MARKS = {"done": "done", "waiting": "waits", "running": "stopped", "failed": "failed", "undone": "undone"}


def status(journal: Journal) -> dict[str, Any]:
    """Rounds with their steps, what is waited for, and how many frames there are of each kind."""
    rows = journal.steps()
    latest = rows[-1] if rows else None
    return {
        "round": latest.round if latest else 1,
        "state": latest.state if latest else "new",
        "waiting_for": latest.error if latest and latest.state == "waiting" else None,
        "frames": journal.frame_counts(),
        "steps": [_as_json(row) for row in rows],
    }


def status_lines(content: dict[str, Any], words: dict[str, Any]) -> Iterator[str]:
    """For people. words: step -> how its figures are said."""
    if not content["steps"]:
        yield "nothing has been done yet: annotator round next"
        return
    number = None
    for row in content["steps"]:
        if row["state"] == "undone":
            continue
        if row["round"] != number:
            number = row["round"]
            yield f"round {number}"
        state, took = _MARKS[row["state"]], _duration(row["seconds"])
        yield f"  {row['name']:<11} {state:<8} {took:>8}  {_said(row, words)}".rstrip()
    counts = ", ".join(f"{count} {role}" for role, count in content["frames"].items())
    yield f"frames: {counts}"
    if content["waiting_for"]:
        yield str(content["waiting_for"])


def _said(row: dict[str, Any], words: dict[str, Any]) -> str:
    if row["state"] == "done" or (row["state"] == "waiting" and row["figures"]):
        return str(words[row["name"]](row["figures"]))
    return str(row["error"] or "")


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=round(seconds))).removeprefix("0:")


def _as_json(row: StepRow) -> dict[str, Any]:
    names = ("round", "name", "attempt", "state", "folder", "figures", "error", "started", "seconds", "process")
    return {name: getattr(row, name) for name in names} | {"outputs": dict(row.outputs)}
