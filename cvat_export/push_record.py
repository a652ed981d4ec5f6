"""What was pushed to a project and which ids CVAT gave it: a file that is only ever added to.

It is pull's reference: what was proposed stays as it was, whatever people make of it on the server.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cvat_export.errors import CvatExportError
from cvat_export.instance_rows import format_row, parse_row, rounded
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton, describe_skeleton, parse_skeleton

RECORD_FILE = "record.jsonl"
_LOCK = ".lock"


@dataclass(frozen=True)
class PushedImage:
    """An image as it was pushed. sha256: of the file's bytes. path: where it was read from, which may be gone."""

    name: str
    sha256: str
    width: int
    height: int
    path: str


@dataclass(frozen=True, eq=False)
class PushedProposal:
    """A proposal on the server. key: of its image and its content. shape_id: CVAT's, which edits keep."""

    key: str
    image: str
    shape_id: int
    instance: Instance


@dataclass(eq=False)
class PushedTask:
    """A task that was made for these images. id: None as long as the server has not said it.

    sending: proposals on their way, by key, of which nobody knows whether they arrived.
    """

    name: str
    images: tuple[PushedImage, ...]
    id: int | None = None
    filled: bool = False
    proposals: dict[str, PushedProposal] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    sending: dict[str, PushedProposal] = field(default_factory=dict)

    @property
    def replaced_ids(self) -> set[int]:
        """The shapes of proposals that newer ones have taken the place of."""
        return {self.proposals[key].shape_id for key in self.replaced}

    @property
    def current(self) -> dict[str, list[PushedProposal]]:
        """The proposals that have not been replaced, by image."""
        by_image: dict[str, list[PushedProposal]] = {image.name: [] for image in self.images}
        for proposal in self.proposals.values():
            if proposal.key not in self.replaced:
                by_image[proposal.image].append(proposal)
        return by_image


class PushRecord:
    """The record of one project on one server in a folder. Read when it is made; `add` writes through to the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = secrets.token_hex(2)  # ends the names of our tasks: of two that push the same, each knows its own
        self.project_id: int | None = None
        self.category: str | None = None
        self.skeleton: Skeleton | None = None
        self.tasks: dict[str, PushedTask] = {}
        for number, event in enumerate(_events(folder / RECORD_FILE), start=1):
            try:
                self._apply(event)
            except (KeyError, TypeError, ValueError) as error:
                raise CvatExportError(f"{folder / RECORD_FILE}:{number}: is no line of a push: {error!r}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other pushes and pulls of this folder out. Raises CvatExportError where one is running."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CvatExportError(f"{self.folder}: another push is running; wait for it to end") from None
            yield

    def add(self, event: Mapping[str, Any]) -> None:
        """Write an event, synced to disk, and take it in."""
        path = self.folder / RECORD_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(json.dumps(event, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._apply(event)

    @property
    def images(self) -> dict[str, tuple[PushedTask, PushedImage]]:
        """All images of all tasks, by name."""
        return {image.name: (task, image) for task in self.tasks.values() for image in task.images}

    def task_with(self, task_id: int) -> PushedTask | None:
        """The task that CVAT gave this id; None for one that was not pushed from here."""
        return next((task for task in self.tasks.values() if task.id == task_id), None)

    def _apply(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "project":
            self.project_id, self.category, self.owner = event["id"], event["category"], event["owner"]
            self.skeleton = parse_skeleton(event["skeleton"], RECORD_FILE)
        elif kind == "task planned":
            images = tuple(PushedImage(**row) for row in event["images"])
            self.tasks[event["name"]] = PushedTask(event["name"], images)
        elif kind == "task made":
            self.tasks[event["name"]].id = event["id"]
        elif kind == "task dropped":
            del self.tasks[event["name"]]
        elif kind == "task filled":
            self.tasks[event["name"]].filled = True
        elif kind == "sending":
            rows = event["proposals"]
            self.tasks[event["name"]].sending = {row["key"]: _proposal(row, event["category"]) for row in rows}
        elif kind == "sent":
            task, ids = self.tasks[event["name"]], event["ids"]
            task.proposals |= {key: replace(task.sending[key], shape_id=shape_id) for key, shape_id in ids.items()}
            task.replaced -= ids.keys()
            task.sending = {}
        elif kind == "replaced":
            self.tasks[event["name"]].replaced |= set(event["keys"])
        else:
            raise ValueError(f"unknown event {kind!r}")


def record_folder(state: Path, host: str, project: str) -> Path:
    """Where the record of a project on a server is kept."""
    return state / _slug(host.partition("://")[2] or host) / _slug(project)


def recorded_projects(state: Path, host: str) -> list[Path]:
    """The folders of all projects on a server of which there is a record."""
    return sorted(path.parent for path in (state / _slug(host.partition("://")[2] or host)).glob(f"*/{RECORD_FILE}"))


def project_event(project_id: int, owner: str, category: str, skeleton: Skeleton) -> dict[str, Any]:
    """The event that begins a record."""
    description = describe_skeleton(skeleton)
    return {"event": "project", "id": project_id, "owner": owner, "category": category, "skeleton": description}


def are_twins(first: str, second: str) -> bool:
    """Whether two tasks were made for the same images, as their names say, by different records."""
    content = [name.rpartition(" ")[2].rpartition("-")[0] for name in (first, second)]
    return first != second and content[0] == content[1] != ""


def sending_event(task: str, category: str, proposals: Sequence[PushedProposal]) -> dict[str, Any]:
    """The event that proposals are on their way. Their shapes' ids come with the event "sent"."""
    rows = [{"key": p.key, "image": p.image, **format_row(p.instance)} for p in proposals]
    return {"event": "sending", "name": task, "category": category, "proposals": rows}


def proposal_key(image_sha256: str, image: str, instance: Instance) -> str:
    """By which a proposal is known again: its image and its content as files hold it."""
    content = [image_sha256, image, rounded(instance.bbox_xyxy), rounded(instance.xy), instance.visibility.tolist()]
    return hashlib.sha256(json.dumps([*content, instance.category]).encode()).hexdigest()[:32]


def _events(path: Path) -> Iterator[Any]:
    """The lines of a record. A last line that was cut off by a crash is an event that did not happen."""
    content = path.read_bytes() if path.exists() else b""
    if content and not content.endswith(b"\n"):
        content = content[: content.rfind(b"\n") + 1]
        os.truncate(path, len(content))
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise CvatExportError(f"{path}:{number}: is damaged: {error}; restore it from a backup") from error


def _proposal(row: Mapping[str, Any], category: str) -> PushedProposal:
    return PushedProposal(row["key"], row["image"], 0, parse_row(row, category))


def _slug(text: str) -> str:
    """A name that any file system takes, different for different texts."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:60]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
