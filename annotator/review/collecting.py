"""Tags -> work: jobs opened again in CVAT with an issue on the frame, and what a project's next steps are to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotator.change_rows import CHANGES_FILE, read_changes
from annotator.known_frames import FrameKey, file_key
from annotator.review.tags import BAD_FRAME, GOOD, HARD, REDO, TAGS, TagFile, Tagged, TaggedFrame
from cvat_export.errors import CvatExportError
from cvat_export.push_record import PushRecord
from cvat_export.remote import RemoteJob
from cvat_export.server import CvatServer

STAGE, STATE = "annotation", "in progress"  # of a job that is opened again
NOT_IN_CVAT = "is in no task that is known here; say --project and --state, or pull first"

_WORDS = {
    BAD_FRAME: ("kept out of the next sort", "written down; a project's rounds keep such frames out of training"),
    HARD: ("the next choose takes frames like it", "written down; give review.jsonl to annotator select --like"),
    GOOD: ("written down", "written down"),
}


@dataclass(frozen=True)
class Place:
    """Of a frame in CVAT. frame: its number in the task."""

    task: int
    frame: int


@dataclass(frozen=True)
class Plan:
    """What tags ask for. redo: jobs to open again. fresh: tag -> names of frames that carry it since the last time.

    lines: of review.jsonl as it is to be, without `redo` where that is still to be done. untagged: frames whose tags
    were all taken off. skipped: file name -> why it was not opened again.
    """

    redo: tuple[Tagged, ...]
    fresh: Mapping[str, tuple[str, ...]]
    lines: Mapping[FrameKey, TaggedFrame]
    untagged: tuple[str, ...]
    in_project: bool
    skipped: Mapping[str, str]

    def sentences(self, dry_run: bool) -> Iterator[str]:
        """What was done, or would be, a line a frame."""
        for name in self.fresh[REDO]:
            done = "job would be opened again" if dry_run else self.skipped.get(name, "its job is open again")
            yield f"{name}: {REDO}: {done}"
        for tag in (BAD_FRAME, HARD, GOOD):
            for name in self.fresh[tag]:
                yield f"{name}: {tag}: {_WORDS[tag][not self.in_project]}"
        for name in self.untagged:
            yield f"{name}: no longer tagged"

    def to_json(self, dry_run: bool) -> dict[str, Any]:
        """The same for programs."""
        issues = {line.file_name: line.issue for line in self.lines.values() if line.file_name in self.fresh[REDO]}
        return {
            "dry_run": dry_run,
            **{tag: list(names) for tag, names in self.fresh.items()},
            "untagged": list(self.untagged),
            "issues": {name: issue for name, issue in issues.items() if issue is not None},
            "skipped": dict(self.skipped),
        }


def plan(tagged: Sequence[Tagged], known: Mapping[FrameKey, TaggedFrame], in_project: bool, now: str = "") -> Plan:
    """What has changed since tags were last collected: nothing that was done is done again (pure).

    now: in UTC, for the lines that change; the clock's by default.
    """
    moment = now or datetime.now(UTC).isoformat(timespec="seconds")
    lines, fresh = {}, {tag: list[str]() for tag in TAGS}
    redo = []
    for frame in tagged:
        had = known.get(frame.key)
        new = [tag for tag in TAGS if tag in frame.tags and (had is None or tag not in had.tags)]
        for tag in new:
            fresh[tag].append(frame.file_name)
        if REDO in new:
            redo.append(frame)
        kept = tuple(tag for tag in TAGS if tag in frame.tags and not (tag == REDO and REDO in new))
        if had is not None and kept == had.tags:
            lines[frame.key] = had
        elif kept:
            issue = had.issue if had is not None and REDO in kept else None
            lines[frame.key] = TaggedFrame(frame.file_name, kept, moment, issue)
    now_tagged = {frame.key for frame in tagged}
    untagged = tuple(line.file_name for key, line in known.items() if key not in now_tagged)
    return Plan(tuple(redo), {tag: tuple(names) for tag, names in fresh.items()}, lines, untagged, in_project, {})


def carry_out(planned: Plan, server: CvatServer | None, places: Mapping[FrameKey, Place], file: TagFile) -> Plan:
    """Open jobs again and write review.jsonl, also where a fault comes between. server: needed where there is redo.

    The same again does nothing: an issue that is there, and open, is not made twice. Raises CvatExportError.
    """
    lines, skipped = dict(planned.lines), {}
    try:
        for frame in planned.redo:
            if (place := places.get(frame.key)) is None:
                skipped[frame.file_name] = NOT_IN_CVAT
                continue
            assert server is not None
            issue = reopen(server, place, frame)
            lines[frame.key] = _with_redo(lines.get(frame.key), frame, issue)
    finally:
        file.write(lines.values())
    return replace(planned, lines=lines, skipped=skipped)


def _with_redo(line: TaggedFrame | None, frame: Tagged, issue: int) -> TaggedFrame:
    tags = (REDO, *(line.tags if line else ()))
    return TaggedFrame(frame.file_name, tags, datetime.now(UTC).isoformat(timespec="seconds"), issue)


def reopen(server: CvatServer, place: Place, frame: Tagged) -> int:
    """See to it that an issue is open on the frame, and its job at work; the issue's id. Raises CvatExportError."""
    job = _job_of(server.jobs(place.task), place)
    position = list(frame.places_xyxy[0] if frame.places_xyxy else (0.0, 0.0, float(frame.width), float(frame.height)))
    there = (issue for issue in server.issues(job.id) if issue.frame == place.frame and not issue.resolved)
    issue = next((one for one in there if one.position == tuple(position)), None)
    if issue is None:
        issue = server.create_issue(job.id, place.frame, position, _message(frame))
    if (job.stage, job.state) != (STAGE, STATE):
        server.set_job(job.id, STAGE, STATE)
    return issue.id


def known_places(folder: Path, record: PushRecord | None) -> dict[FrameKey, Place]:
    """Where frames are in CVAT, by what was pushed and, which knows better, by what was pulled."""
    places: dict[FrameKey, Place] = {}
    for task in record.tasks.values() if record else ():
        if task.id is not None:
            places |= {file_key(image.name): Place(task.id, n) for n, image in enumerate(task.images)}
    if (folder / CHANGES_FILE).is_file():
        rows = (row for row in read_changes(folder) if row["task"])
        places |= {file_key(row["file_name"]): Place(row["task"], row["frame"]) for row in rows}
    return places


def _job_of(jobs: Sequence[RemoteJob], place: Place) -> RemoteJob:
    for job in jobs:
        if job.start_frame <= place.frame <= job.stop_frame:
            return job
    raise CvatExportError(
        f"task {place.task}: none of its {len(jobs)} jobs has frame {place.frame}; was it cut into others? Pull again"
    )


def _message(frame: Tagged) -> str:
    return f"Please redo: tagged in review.{f' {frame.words}' if frame.words else ''}"
