"""All that the server knows, and what people do to it behind the client's back."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from demo.cvat_standin import job_annotations
from demo.cvat_standin.messages import not_found
from demo.cvat_standin.rows import (
    Background,
    Comment,
    Guide,
    Issue,
    Job,
    Json,
    Label,
    Project,
    Task,
    TusUpload,
    User,
)

STAGES = ("annotation", "validation", "acceptance")
STATES = ("new", "in progress", "completed", "rejected")


@dataclass
class State:
    """The server's rows by id. Hold `lock` while reading or writing more than one thing.

    polls: how many times a background request answers queued, then started, before it is over.
    newest_first: the shapes of one frame are listed by falling id, as recorded; the real server sorts by frame
    only, so code must live with either order.
    """

    polls: int = 1
    newest_first: bool = True
    users: dict[int, User] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, User] = field(default_factory=dict)
    projects: dict[int, Project] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    guides: dict[int, Guide] = field(default_factory=dict)
    background: dict[str, Background] = field(default_factory=dict)
    uploads: dict[str, TusUpload] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self._ids: dict[str, Iterator[int]] = {}
        self._now = datetime(2026, 11, 20, 21, 33, 52, tzinfo=UTC)
        self.admin = self.add_user("admin", "password")

    def new_id(self, kind: str) -> int:
        """The next number of this kind of row; none is used twice."""
        return next(self._ids.setdefault(kind, count(1)))

    def continue_ids(self, **next_ids: int) -> None:
        """Give out ids from these on, as a server that was used before: kind of row -> next number."""
        self._ids |= {kind: count(number) for kind, number in next_ids.items()}

    def now(self) -> datetime:
        """A moment after every moment before it."""
        self._now += timedelta(milliseconds=1)
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)

    def add_user(self, username: str, password: str | None = None) -> User:
        """Somebody new; without a password nobody can log in as them."""
        user = User(self.new_id("user"), username)
        self.users[user.id] = user
        if password is not None:
            self.passwords[username] = password
        return user

    def new_token(self, user: User) -> str:
        """A secret that stands for the user."""
        token = secrets.token_hex(20)
        self.tokens[token] = user
        return token

    def project(self, project_id: int) -> Project:
        """Raises ApiError 404."""
        return _found(self.projects, project_id, "Project")

    def task(self, task_id: int) -> Task:
        """Raises ApiError 404."""
        return _found(self.tasks, task_id, "Task")

    def job(self, job_id: int) -> Job:
        """Raises ApiError 404."""
        return _found(self.jobs, job_id, "Job")

    def jobs_of(self, task_id: int) -> list[Job]:
        """The task's jobs in the order of their frames."""
        jobs = (job for job in self.jobs.values() if job.task_id == task_id)
        return sorted(jobs, key=lambda job: job.start_frame)

    def labels_of(self, task: Task) -> list[Label]:
        """The project's labels where the task is in one, else its own."""
        return task.labels if task.project_id is None else self.project(task.project_id).labels

    def touch(self, job: Job) -> None:
        """Something in the job changed: so did its task and project."""
        moment = self.now()
        task = self.tasks[job.task_id]
        job.updated = task.updated = moment
        if task.project_id is not None:
            self.projects[task.project_id].updated = moment

    def delete_task(self, task_id: int) -> None:
        """With its jobs and their issues."""
        for job in self.jobs_of(task_id):
            self.issues = {key: row for key, row in self.issues.items() if row.job_id != job.id}
            del self.jobs[job.id]
        self.comments = {key: row for key, row in self.comments.items() if row.issue_id in self.issues}
        del self.tasks[task_id]

    def delete_project(self, project_id: int) -> None:
        """With its tasks."""
        for task in [task for task in self.tasks.values() if task.project_id == project_id]:
            self.delete_task(task.id)
        del self.projects[project_id]

    def set_job(
        self, job_id: int, *, state: str | None = None, stage: str | None = None, assignee: User | None = None
    ) -> None:
        """What the page's menu of a job sets. A new stage makes the state "new" unless one is given."""
        with self.lock:
            job = self.job(job_id)
            if stage is not None and stage != job.stage:
                job.stage, job.state = stage, "new"
            job.state = state or job.state
            if assignee is not None:
                job.assignee, job.assignee_updated = assignee, self.now()
            self.touch(job)

    def shapes(self, task_id: int) -> list[Json]:
        """Copies of the task's shapes, as the API lists them."""
        with self.lock:
            return job_annotations.read_shapes(self.jobs_of(task_id), self.newest_first)

    def edit_joint(self, task_id: int, shape_id: int, joint: str, dx: float, dy: float) -> None:
        """Drag a joint by (dx, dy) pixels."""
        with self._element(task_id, shape_id, joint) as element:
            element["points"] = [element["points"][0] + dx, element["points"][1] + dy]

    def place_joint(self, task_id: int, shape_id: int, joint: str, x: float, y: float) -> None:
        """Put a joint, outside or not, at (x, y) pixels."""
        with self._element(task_id, shape_id, joint) as element:
            element.update(points=[float(x), float(y)], outside=False)

    def set_occluded(self, task_id: int, shape_id: int, joint: str, occluded: bool = True) -> None:
        """Mark a joint as hidden."""
        with self._element(task_id, shape_id, joint) as element:
            element["occluded"] = occluded

    def set_outside(self, task_id: int, shape_id: int, joint: str, outside: bool = True) -> None:
        """Take a joint away; its coordinates stay."""
        with self._element(task_id, shape_id, joint) as element:
            element["outside"] = outside

    def swap_joints(self, task_id: int, shape_id: int, first: str, second: str) -> None:
        """Exchange two joints' places and flags."""
        with self._element(task_id, shape_id, first) as one, self._element(task_id, shape_id, second) as other:
            for key in ("points", "occluded", "outside"):
                one[key], other[key] = other[key], one[key]

    def delete_shape(self, task_id: int, shape_id: int) -> None:
        """Remove a shape."""
        with self.lock:
            job = self._job_of_shape(task_id, shape_id)
            del job.shapes[shape_id]
            self.touch(job)

    def add_skeleton(self, task_id: int, frame: int, joints: dict[str, tuple[Any, ...]], label: str = "") -> int:
        """Draw a skeleton; the id it gets. joints: name -> (x, y) or (x, y, COCO's visibility); the rest is outside.

        label: needed where the task has several skeletons.
        """
        with self.lock:
            task = self.task(task_id)
            skeleton = next(one for one in self.labels_of(task) if one.type == "skeleton" and label in ("", one.name))
            unknown = set(joints) - {one.name for one in skeleton.sublabels}
            assert not unknown, f"no joints {unknown} in {skeleton.name}"
            shape = job_annotations.drawn_skeleton(skeleton, frame, joints)
            job = next(job for job in self.jobs_of(task_id) if job.holds(frame))
            stored = job_annotations.create(self, job, [shape])
            return int(stored[0]["id"])

    def add_rectangle(self, task_id: int, frame: int, label: str, xyxy: tuple[float, ...], group: int = 0) -> int:
        """Draw a box; the id it gets."""
        with self.lock:
            task = self.task(task_id)
            found = next(one for one in self.labels_of(task) if one.name == label)
            shape = {"type": "rectangle", "label_id": found.id, "frame": frame, "points": list(xyxy), "group": group}
            job = next(job for job in self.jobs_of(task_id) if job.holds(frame))
            return int(job_annotations.create(self, job, [shape])[0]["id"])

    def delete_frame(self, task_id: int, frame: int) -> None:
        """Mark a frame as deleted; what is drawn on it stays, but is not exported."""
        with self.lock:
            task = self.task(task_id)
            task.deleted_frames.add(frame)
            task.updated = self.now()

    def _job_of_shape(self, task_id: int, shape_id: int) -> Job:
        for job in self.jobs_of(task_id):
            if shape_id in job.shapes:
                return job
        raise KeyError(f"task {task_id} has no shape {shape_id}")

    @contextmanager
    def _element(self, task_id: int, shape_id: int, joint: str) -> Iterator[Json]:
        """One joint's row under the lock; leaving saves its job."""
        with self.lock:
            job = self._job_of_shape(task_id, shape_id)
            names = {one.id: one.name for label in self.labels_of(self.task(task_id)) for one in label.sublabels}
            elements = job.shapes[shape_id]["elements"]
            yield next(element for element in elements if names[element["label_id"]] == joint)
            self.touch(job)


def _found(rows: dict[int, Any], row_id: int, noun: str) -> Any:
    if row_id not in rows:
        raise not_found(noun)
    return rows[row_id]
