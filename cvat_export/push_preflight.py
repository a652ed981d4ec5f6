"""Looking at everything before the first byte of a push is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvat_export.cvat_labels import SUSPECT_ATTRIBUTE, edge_notes, label_problems
from cvat_export.local_dataset import LocalDataset
from cvat_export.push_plan import PushPlan, make_plan
from cvat_export.push_record import PushRecord
from cvat_export.remote import RemoteProject, RemoteTask, RemoteUser
from cvat_export.server import CvatServer

_OLDEST = (2, 20)  # that has /api/requests for every background job


@dataclass(frozen=True)
class PushOptions:
    """What the user asks for. assignees: user names, jobs go round. guide: markdown, None for the default one."""

    project: str
    task_size: int = 200
    segment_size: int = 50
    assignees: tuple[str, ...] = ()
    guide: str | None = None
    flag_suspects: bool = False
    replace_untouched: bool = False


@dataclass(frozen=True, eq=False)
class Preflight:
    """What was found before the first byte is sent. project: None where it has to be made."""

    project: RemoteProject | None
    plan: PushPlan
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    user: str
    version: str


def preflight(server: CvatServer, local: LocalDataset, record: PushRecord, options: PushOptions) -> Preflight:
    """Change nothing, and name every problem. Raises CvatExportError where the server cannot be asked at all."""
    version, user = server.version(), server.user()
    project, problems = _find_project(server, record, options.project)
    problems += [*_version_problems(version), *_unknown_assignees(server, options)]
    notes: list[str] = []
    tasks: list[RemoteTask] = []
    if project:
        labels = server.labels(project_id=project.id)
        differences = _label_problems(local, labels, options)
        problems += differences
        notes = [] if differences else edge_notes(local.skeleton, local.category, labels)
        tasks = server.tasks(project.id)
    plan = make_plan(
        local,
        record,
        options.project,
        options.task_size,
        [(task.id, task.name) for task in tasks],
        _foreign_images(server, record, tasks),
        options.replace_untouched,
    )
    problems += [*_rights(user, project, plan), *plan.problems]
    return Preflight(project, plan, tuple(problems), tuple(notes), user.name, version)


def suspect_attribute(labels: Sequence[Mapping[str, Any]], category: str) -> int | None:
    """The id of the attribute that marks suspects, where the category's label has it."""
    attributes: Sequence[Mapping[str, Any]] = next(
        (label["attributes"] for label in labels if label["name"] == category), []
    )
    return next((attribute["id"] for attribute in attributes if attribute["name"] == SUSPECT_ATTRIBUTE), None)


def _find_project(server: CvatServer, record: PushRecord, name: str) -> tuple[RemoteProject | None, list[str]]:
    projects = server.find_projects(name)
    if record.project_id is not None:
        known = next((project for project in projects if project.id == record.project_id), None)
        gone = (
            f"project {name!r}: was pushed before and is not on the server any more; if it was deleted on purpose, "
            f"remove {record.folder} and push anew"
        )
        return known, [] if known else [gone]
    if len(projects) > 1:
        ids = ", ".join(str(project.id) for project in projects)
        return projects[0], [f"project {name!r}: the server has several of that name ({ids}); rename all but one"]
    return (projects[0] if projects else None), []


def _version_problems(version: str) -> list[str]:
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if numbers >= _OLDEST:
        return []
    oldest = ".".join(map(str, _OLDEST))
    return [
        f"CVAT {version}: is too old, its uploads are followed in another way; update the server to {oldest} or newer"
    ]


def _unknown_assignees(server: CvatServer, options: PushOptions) -> list[str]:
    unknown = [name for name in options.assignees if server.find_user(name) is None]
    return [f"user {name!r}: the server has none of that name; see its members" for name in unknown]


def _label_problems(local: LocalDataset, labels: Sequence[Mapping[str, Any]], options: PushOptions) -> list[str]:
    problems = label_problems(local.skeleton, local.category, labels)
    if not problems and options.flag_suspects and suspect_attribute(labels, local.category) is None:
        problems.append(
            f"label {local.category!r}: has no attribute {SUSPECT_ATTRIBUTE!r}; add it in CVAT (checkbox, default "
            "false), or push without --flag-suspects"
        )
    return problems


def _foreign_images(server: CvatServer, record: PushRecord, tasks: Sequence[RemoteTask]) -> set[str]:
    """Images in tasks of the project that this record did not make."""
    ours = {task.id for task in record.tasks.values()}
    others = [task for task in tasks if task.id not in ours and task.name not in record.tasks]
    return {frame.name for task in others if task.size for frame in server.frames(task.id)}


def _rights(user: RemoteUser, project: RemoteProject | None, plan: PushPlan) -> list[str]:
    if user.may_create or (project and not plan.new_tasks):
        return []
    return [f"user {user.name!r}: is a worker, who may not make projects and tasks; ask for the group 'user'"]
