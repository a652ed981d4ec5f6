"""What is on a CVAT server, as frozen values. `from_row` takes a row as the API writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RemoteUser:
    """A user. groups: CVAT's own admin, user, worker; empty where the server does not say."""

    name: str
    groups: tuple[str, ...]

    @classmethod
    def from_row(cls, row: Row) -> RemoteUser:
        return cls(row["username"], tuple(row.get("groups") or ()))

    @property
    def may_create(self) -> bool:
        """Whether projects and tasks may be made: workers may not."""
        return not self.groups or bool({"admin", "user"} & set(self.groups))


@dataclass(frozen=True)
class RemoteProject:
    """A project. guide_id: of its annotation guide, if it has one."""

    id: int
    name: str
    guide_id: int | None

    @classmethod
    def from_row(cls, row: Row) -> RemoteProject:
        return cls(row["id"], row["name"], row.get("guide_id"))


@dataclass(frozen=True)
class RemoteTask:
    """A task. size: frames; 0 as long as its data are not there."""

    id: int
    name: str
    project_id: int | None
    size: int

    @classmethod
    def from_row(cls, row: Row) -> RemoteTask:
        return cls(row["id"], row["name"], row.get("project_id"), row.get("size") or 0)


@dataclass(frozen=True)
class RemoteJob:
    """A job: the frames start_frame to stop_frame, both included, of a task. updated: as the server writes times."""

    id: int
    task_id: int
    start_frame: int
    stop_frame: int
    stage: str
    state: str
    assignee: str | None
    updated: str

    @classmethod
    def from_row(cls, row: Row) -> RemoteJob:
        assignee = row.get("assignee") or {}
        return cls(
            id=row["id"],
            task_id=row["task_id"],
            start_frame=row["start_frame"],
            stop_frame=row["stop_frame"],
            stage=row["stage"],
            state=row["state"],
            assignee=assignee.get("username"),
            updated=row["updated_date"],
        )

    @property
    def untouched(self) -> bool:
        """Whether nobody has begun to work on it."""
        return self.stage == "annotation" and self.state == "new"


@dataclass(frozen=True)
class RemoteFrame:
    """A frame of a task. name: as the server keeps it."""

    number: int
    name: str
    width: int
    height: int
    deleted: bool


@dataclass(frozen=True)
class RemoteIssue:
    """A remark on a frame of a job. frame: its number in the task. position: x and y by turns, px."""

    id: int
    frame: int
    position: tuple[float, ...]
    resolved: bool

    @classmethod
    def from_row(cls, row: Row) -> RemoteIssue:
        return cls(row["id"], row["frame"], tuple(row["position"]), bool(row.get("resolved")))
