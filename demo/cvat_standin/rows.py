"""What the server remembers: one mutable row a thing, as its database has one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]


@dataclass
class User:
    """Somebody who may log in."""

    id: int
    username: str
    first_name: str = ""
    last_name: str = ""


@dataclass
class Label:
    """A label, or a skeleton's sublabel. attributes: with their ids, as the API shows them."""

    id: int
    name: str
    type: str
    color: str
    attributes: list[Json] = field(default_factory=list)
    sublabels: list[Label] = field(default_factory=list)
    svg: str = ""


@dataclass
class Project:
    """A project; its tasks point at it."""

    id: int
    name: str
    owner: User
    created: datetime
    updated: datetime
    labels: list[Label] = field(default_factory=list)
    assignee: User | None = None
    assignee_updated: datetime | None = None
    bug_tracker: str = ""
    guide_id: int | None = None


@dataclass(frozen=True)
class Frame:
    """One image of a task. width, height: of the upright image."""

    name: str
    content: bytes
    width: int
    height: int


@dataclass
class Task:
    """A task; `frames` is None until its data are complete. uploaded: base name -> content, before that."""

    id: int
    name: str
    owner: User
    created: datetime
    updated: datetime
    project_id: int | None = None
    labels: list[Label] = field(default_factory=list)
    segment_size: int = 0
    overlap: int | None = None
    subset: str = ""
    assignee: User | None = None
    assignee_updated: datetime | None = None
    bug_tracker: str = ""
    guide_id: int | None = None
    uploaded: dict[str, bytes] = field(default_factory=dict)
    frames: list[Frame] | None = None
    frames_updated: datetime | None = None
    image_quality: int = 70
    deleted_frames: set[int] = field(default_factory=set)


@dataclass
class Job:
    """A range of a task's frames, both ends included. shapes: id -> shape as the API shows it, oldest first."""

    id: int
    task_id: int
    start_frame: int
    stop_frame: int
    created: datetime
    updated: datetime
    stage: str = "annotation"
    state: str = "new"
    assignee: User | None = None
    assignee_updated: datetime | None = None
    shapes: dict[int, Json] = field(default_factory=dict)
    tags: dict[int, Json] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The older word for stage and state together."""
        if self.stage == "acceptance":
            return "completed" if self.state == "completed" else "validation"
        return self.stage

    def holds(self, frame: int) -> bool:
        """Whether the task's frame is one of this job's."""
        return self.start_frame <= frame <= self.stop_frame


@dataclass
class Issue:
    """A remark at a place of a frame. position: x, y pairs."""

    id: int
    job_id: int
    frame: int
    position: list[float]
    owner: User
    created: datetime
    updated: datetime
    assignee: User | None = None
    resolved: bool = False


@dataclass
class Comment:
    """One message under an issue."""

    id: int
    issue_id: int
    owner: User
    message: str
    created: datetime
    updated: datetime


@dataclass
class Guide:
    """The Markdown that annotators read beside a project or a task."""

    id: int
    project_id: int | None
    task_id: int | None
    markdown: str
    created: datetime
    updated: datetime


@dataclass
class Background:
    """Something a worker does. The work is done at once; `polls_left` answers say that it is not.

    message: why it failed, "" where it did not. result: the bytes to download, of an export.
    """

    id: str
    type: str
    target: str
    project_id: int | None
    task_id: int | None
    job_id: int | None
    format: str | None
    created: datetime
    polls_left: int
    polled: int = 0
    message: str = ""
    result: bytes | None = None
    file_name: str = ""


@dataclass
class TusUpload:
    """A file that arrives in pieces. task_id: whose data it is, None for annotations."""

    id: str
    name: str
    length: int
    task_id: int | None
    content: bytearray = field(default_factory=bytearray)
