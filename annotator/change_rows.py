"""changes.jsonl: what happened to each proposal, as plain rows; a task's rows are kept so that it is not read again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError
from cvat_export.instance_rows import format_row
from cvat_export.pulling import PulledFrame, PulledInstance, PulledTask
from cvat_export.skeleton import describe_skeleton

CHANGES_FILE = "changes.jsonl"
CONFIRMED_EMPTY = "confirmed_empty"

Row = dict[str, Any]


def task_row(task: PulledTask) -> Row:
    """All that is kept of a task."""
    return {
        "task": task.id,
        "name": task.name,
        "skeletons": {name: describe_skeleton(skeleton) for name, skeleton in task.skeletons.items()},
        "notes": list(task.notes),
        "frames": [_frame_row(frame) for frame in task.frames],
    }


def _frame_row(frame: PulledFrame) -> Row:
    return {
        "file_name": frame.name,
        "width": frame.width,
        "height": frame.height,
        "task": frame.task_id,
        "frame": frame.number,
        "job": frame.job_id,
        "assignee": frame.assignee,
        "finished": frame.finished,
        "instances": [_instance_row(instance) for instance in frame.instances],
    }


def _instance_row(pulled: PulledInstance) -> Row:
    one = pulled.corrected or (pulled.proposal.instance if pulled.proposal else None)
    assert one is not None
    return {
        "category": one.category,
        "fate": str(pulled.change.fate),
        "proposal": pulled.proposal.key if pulled.proposal else None,
        "shape": pulled.shape_id,
        "source": pulled.source,
        "joints": [asdict(joint) for joint in pulled.change.joints],
        "proposed": format_row(pulled.proposal.instance) if pulled.proposal else None,
        "corrected": format_row(pulled.corrected) if pulled.corrected else None,
    }


def change_lines(frames: Iterable[Row]) -> Iterator[Row]:
    """A line an instance, and one for each finished frame in which nobody is."""
    for frame in frames:
        where = {key: value for key, value in frame.items() if key != "instances"}
        for instance in frame["instances"]:
            yield {**where, **instance}
        if frame["finished"] and is_empty(frame):
            yield {**where, "fate": CONFIRMED_EMPTY}


def is_empty(frame: Row) -> bool:
    """Whether nobody is in a frame."""
    return all(instance["corrected"] is None for instance in frame["instances"])


def count_fates(frames: Sequence[Row]) -> dict[str, int]:
    """How many instances met each fate, and how many finished frames were confirmed to be empty."""
    counts = Counter(instance["fate"] for frame in frames for instance in frame["instances"])
    counts[CONFIRMED_EMPTY] = sum(frame["finished"] and is_empty(frame) for frame in frames)
    return {fate: count for fate, count in sorted(counts.items()) if count}


def read_changes(folder: Path) -> list[Row]:
    """The lines of a pulled folder's changes.jsonl. Raises AnnotatorError."""
    path = folder / CHANGES_FILE
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except FileNotFoundError:
        raise AnnotatorError(f"{folder}: has no {CHANGES_FILE}; expected a folder that annotator pull wrote") from None
    except ValueError as error:
        raise AnnotatorError(f"{path}: is damaged: {error}; pull again") from error
