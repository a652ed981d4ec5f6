"""The steps of a push. Each looks at the server before it acts, so that it may be repeated after any fault or crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvat_export.cvat_labels import (
    SUSPECT_ATTRIBUTE,
    default_guide,
    edge_notes,
    joint_ids,
    label_problems,
    label_specification,
)
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.push_plan import LocalDataset, LocalImage, PushPlan, make_plan, task_images
from cvat_export.push_record import (
    PushedProposal,
    PushedTask,
    PushRecord,
    are_twins,
    project_event,
    sent_event,
)
from cvat_export.server import CvatServer, RemoteFrame, RemoteProject, RemoteTask, attempt
from cvat_export.shapes import Shape, decode_shape, encode_shape, match_equal
from cvat_export.suspects import find_suspects

SKELETONS_A_REQUEST = 200

Progress = Callable[[int], object]


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


@dataclass
class Pushed:
    """What a push did. held_back: images whose proposals were not sent, with the reason."""

    tasks: int = 0
    images: int = 0
    proposals: int = 0
    held_back: dict[str, str] = field(default_factory=dict)


def preflight(server: CvatServer, local: LocalDataset, record: PushRecord, options: PushOptions) -> Preflight:
    """Look at everything and change nothing. Raises CvatExportError where the server cannot be asked at all."""
    version, user = server.version(), server.user()
    problems = [
        f"user {name!r}: the server has none of that name; see its members" for name in _unknown(server, options)
    ]
    project, found = _find_project(server, record, options.project)
    problems += found
    notes: list[str] = []
    tasks: list[RemoteTask] = []
    foreign: set[str] = set()
    if project:
        labels = server.labels(project_id=project.id)
        differences = label_problems(local.skeleton, local.category, labels)
        problems += differences
        notes += [] if differences else edge_notes(local.skeleton, local.category, labels)
        if options.flag_suspects and _suspect_attribute(labels, local.category) is None:
            problems.append(
                f"project {project.name!r}: label {local.category!r} has no attribute {SUSPECT_ATTRIBUTE!r}; add it in "
                "CVAT (checkbox, default false), or push without --flag-suspects"
            )
        tasks = server.tasks(project.id)
        ours = {task.id for task in record.tasks.values()}
        others = [task for task in tasks if task.id not in ours and task.name not in record.tasks]
        foreign = {frame.name for task in others if task.size for frame in server.frames(task.id)}
    elif record.project_id is not None:
        problems.append(
            f"project {options.project!r}: was pushed before and is not on the server any more; if it was deleted on "
            f"purpose, remove {record.folder} and push anew"
        )
    plan = make_plan(
        local,
        record,
        options.project,
        options.task_size,
        [(task.id, task.name) for task in tasks],
        foreign,
        options.replace_untouched,
    )
    if plan.new_tasks and not user.may_create:
        problems.append(f"user {user.name!r}: is a worker, who may not make tasks; ask for the group 'user'")
    return Preflight(project, plan, (*problems, *plan.problems), tuple(notes), user.name, version)


def push(
    server: CvatServer,
    local: LocalDataset,
    record: PushRecord,
    found: Preflight,
    options: PushOptions,
    progress: Progress = lambda _: None,
) -> Pushed:
    """Carry a preflight's plan out. To be called with the record locked. Raises CvatExportError; run it again then."""
    pushed = Pushed()
    project = found.project or attempt(lambda: _make_project(server, local, options), server.sleep)
    if record.project_id is None:
        record.add(project_event(project.id, record.owner, local.category, local.skeleton))
    if project.guide_id is None:
        attempt(lambda: _ensure_guide(server, project.id, local, options), server.sleep)
    for name, images in found.plan.new_tasks.items():
        record.add({"event": "task planned", "name": name, "images": task_images(images)})
    work = _Push(server, local, record, project, options, pushed, progress)
    for name in (*found.plan.unfinished, *found.plan.new_tasks):
        attempt(lambda: work.ensure_task(record.tasks[name]), server.sleep)  # noqa: B023 - called at once
        pushed.tasks += 1
        pushed.images += len(record.tasks[name].images)
    fresh = dict(found.plan.new_tasks)
    fresh |= {name: work.local_images(record.tasks[name]) for name in found.plan.unfinished}
    for name, images in {**found.plan.append, **fresh}.items():
        work.send(record.tasks[name], images)
    for name, images in found.plan.replace.items():
        work.replace(record.tasks[name], images)
    return pushed


@dataclass(eq=False)
class _Push:
    server: CvatServer
    local: LocalDataset
    record: PushRecord
    project: RemoteProject
    options: PushOptions
    pushed: Pushed
    progress: Progress

    def __post_init__(self) -> None:
        labels = self.server.labels(project_id=self.project.id)
        label = next(row for row in labels if row["name"] == self.local.category)
        self.label_id: int = label["id"]
        self.joint_ids = joint_ids(label, self.local.skeleton)
        self.suspect_id = _suspect_attribute(labels, self.local.category) if self.options.flag_suspects else None

    def local_images(self, task: PushedTask) -> tuple[LocalImage, ...]:
        names = {image.name for image in task.images}
        return tuple(image for image in self.local.images if image.name in names)

    def ensure_task(self, task: PushedTask) -> None:
        """The task with its images and assignees, on the server once."""
        remote = self._remote(task)
        if remote is not None and not remote.size:
            self.server.wait_for_data(remote.id)
            remote = self.server.task(remote.id)
            if not remote.size:  # its upload died: half of the files may be there, and cannot be sent twice
                self.server.delete_task(remote.id)
                remote = None
        if remote is None:
            remote = self.server.create_task(task.name, self.project.id, self.options.segment_size)
            self._withdraw_from_twin(remote)
            self.record.add({"event": "task made", "name": task.name, "id": remote.id})
            self.server.upload(remote.id, [self._readable(task, Path(image.path)) for image in task.images])
        elif task.id != remote.id:
            self.record.add({"event": "task made", "name": task.name, "id": remote.id})
        names = [frame.name for frame in self.server.frames(remote.id)]
        if names != [image.name for image in task.images]:
            raise CvatExportError(
                f"task {remote.id} ({task.name}): the server has {len(names)} frames with other names or in another "
                f"order, expected the {len(task.images)} images pushed; delete the task in CVAT and push again"
            )
        self._assign(task, remote.id)
        self.record.add({"event": "task filled", "name": task.name})
        self.progress(len(task.images))

    def send(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        """The proposals of images that have none on the server, each once."""
        for group in _groups(images):
            attempt(lambda: self._send_group(task, group), self.server.sleep)  # noqa: B023 - called at once

    def replace(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        """Newer proposals in place of those that nobody has touched."""
        for group in _groups(images):
            attempt(lambda: self._clear_group(task, group), self.server.sleep)  # noqa: B023 - called at once
            free = [image for image in group if not task.current[image.name]]
            if free:
                attempt(lambda: self._send_group(task, free), self.server.sleep)  # noqa: B023 - called at once

    def _send_group(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        assert task.id is not None
        wanted = {key: instance for image in images for key, instance in image.proposals.items()}
        wanted = {key: instance for key, instance in wanted.items() if key not in _current_keys(task)}
        if not wanted:
            return
        frames, shapes = self._look(task)
        if task.sending & wanted.keys():
            arrived = self._recognise(task, images, frames, shapes)
            if arrived:
                self._sent(task, images, arrived)
                return
        ready = [image for image in images if self._is_free(task, image, frames, shapes)]
        if not any(image.proposals for image in ready):
            return
        keys = [key for image in ready for key in image.proposals]
        self.record.add({"event": "sending", "name": task.name, "keys": keys})
        made = self.server.create_shapes(task.id, self._encoded(ready, frames))
        self._sent(task, ready, self._recognise(task, ready, frames, made))

    def _clear_group(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        """Delete the proposals of images in jobs that nobody has begun, where the server has them as they were."""
        assert task.id is not None
        frames, shapes = self._look(task)
        by_id = {shape["id"]: shape for shape in shapes}
        doomed: list[Shape] = []
        for image in images:
            current = task.current[image.name]
            on_frame = [shape["id"] for shape in shapes if shape["frame"] == frames[image.name].number]
            if not current:  # a push that died has cleared it in the record already
                ids = {p.shape_id for p in task.proposals.values() if p.image == image.name and p.key in task.replaced}
                doomed += [by_id[shape_id] for shape_id in on_frame if shape_id in ids]
            elif self._unchanged(current, by_id) and sorted(on_frame) == sorted(p.shape_id for p in current):
                if not self._job_untouched(task, frames[image.name].number):
                    self.pushed.held_back[image.name] = "somebody has begun the job it is in"
                    continue
                keys = [proposal.key for proposal in current]
                self.record.add({"event": "replaced", "name": task.name, "keys": keys})
                doomed += [by_id[shape_id] for shape_id in on_frame]
            else:
                self.pushed.held_back[image.name] = "somebody has changed its proposals"
        if doomed:
            self.server.delete_shapes(task.id, doomed)

    def _look(self, task: PushedTask) -> tuple[dict[str, RemoteFrame], list[Shape]]:
        assert task.id is not None
        frames = {frame.name: frame for frame in self.server.frames(task.id)}
        return frames, list(self.server.annotations(task.id)["shapes"])

    def _is_free(
        self, task: PushedTask, image: LocalImage, frames: Mapping[str, RemoteFrame], shapes: Sequence[Shape]
    ) -> bool:
        """Whether nobody has begun with the image, and nothing is in it; else it is held back."""
        frame = frames[image.name]
        if not image.proposals:
            return True
        if any(shape["frame"] == frame.number for shape in shapes):
            self.pushed.held_back[image.name] = "something is labelled in it already"
        elif frame.deleted:
            self.pushed.held_back[image.name] = "the frame was deleted in CVAT"
        elif not self._job_untouched(task, frame.number):
            self.pushed.held_back[image.name] = "somebody has begun the job it is in"
        else:
            return True
        return False

    def _job_untouched(self, task: PushedTask, frame: int) -> bool:
        assert task.id is not None
        jobs = [job for job in self.server.jobs(task.id) if job.start_frame <= frame <= job.stop_frame]
        return all(job.untouched for job in jobs)

    def _unchanged(self, current: Sequence[PushedProposal], by_id: Mapping[int, Shape]) -> bool:
        """Whether the server has each of these proposals as it was pushed."""
        return all(
            proposal.shape_id in by_id
            and match_equal({proposal.key: proposal.instance}, [(0, self._decoded(by_id[proposal.shape_id]))])
            for proposal in current
        )

    def _recognise(
        self,
        task: PushedTask,
        images: Sequence[LocalImage],
        frames: Mapping[str, RemoteFrame],
        shapes: Sequence[Shape],
    ) -> dict[str, int]:
        """Key -> shape id of those proposals that are among the shapes."""
        mapped = {proposal.shape_id for proposal in task.proposals.values()}
        arrived: dict[str, int] = {}
        for image in images:
            here = [
                (shape["id"], self._decoded(shape))
                for shape in shapes
                if shape["frame"] == frames[image.name].number
                and shape["type"] == "skeleton"
                and shape["label_id"] == self.label_id
                and shape["id"] not in mapped
            ]
            arrived |= match_equal(image.proposals, here)
        return arrived

    def _sent(self, task: PushedTask, images: Sequence[LocalImage], arrived: Mapping[str, int]) -> None:
        """Record what is on the server. A proposal that a person deleted before we could look has no shape: id 0."""
        rows = [
            PushedProposal(key, image.name, arrived.get(key, 0), instance)
            for image in images
            for key, instance in image.proposals.items()
        ]
        self.record.add(sent_event(task.name, self.local.category, rows))
        self.pushed.proposals += len(rows)
        self.progress(len(rows))

    def _encoded(self, images: Sequence[LocalImage], frames: Mapping[str, RemoteFrame]) -> list[dict[str, Any]]:
        encoded = []
        for image in images:
            instances = list(image.proposals.values())
            doubts = find_suspects(instances, self.local.skeleton) if self.suspect_id else [()] * len(instances)
            for instance, doubt in zip(instances, doubts, strict=True):
                value = "true" if doubt else "false"
                attributes = [{"spec_id": self.suspect_id, "value": value}] if self.suspect_id else []
                number = frames[image.name].number
                encoded.append(encode_shape(instance, number, self.label_id, self.joint_ids, attributes))
        return encoded

    def _decoded(self, shape: Shape) -> Instance:
        return decode_shape(shape, self.local.category, self.joint_ids)

    def _remote(self, task: PushedTask) -> RemoteTask | None:
        """The task on the server: by its id, or by its name where the answer with the id was lost."""
        tasks = self.server.tasks(self.project.id)
        named = [remote for remote in tasks if remote.id == task.id] or [r for r in tasks if r.name == task.name]
        return next(iter(named), None)

    def _withdraw_from_twin(self, remote: RemoteTask) -> None:
        """Of two pushes that make a task of the same images at the same time the later one withdraws."""
        tasks = self.server.tasks(self.project.id)
        older = [task for task in tasks if task.id < remote.id and are_twins(task.name, remote.name)]
        if older:
            self.server.delete_task(remote.id)
            self.record.add({"event": "task dropped", "name": remote.name})
            raise CvatExportError(
                f"task {remote.name!r}: somebody else pushes the same images (task {older[0].id}); left to them: push "
                "again for the rest when they are done"
            )

    def _assign(self, task: PushedTask, task_id: int) -> None:
        """Jobs go round from task to task, so that a last, short job does not always meet the same person."""
        if not self.options.assignees:
            return
        users = [self.server.find_user(name) for name in self.options.assignees]
        before = list(self.record.tasks).index(task.name)
        turn = before * -(-self.options.task_size // self.options.segment_size)
        for position, job in enumerate(self.server.jobs(task_id)):
            user = users[(turn + position) % len(users)]
            if job.assignee is None and user is not None:
                self.server.assign(job.id, user)

    @staticmethod
    def _readable(task: PushedTask, path: Path) -> Path:
        if not path.is_file():
            raise CvatExportError(
                f"task {task.name!r}: its push was interrupted, and {path} is gone meanwhile; put the folder back and "
                "push it again"
            )
        return path


def _groups(images: Sequence[LocalImage]) -> Iterator[list[LocalImage]]:
    """Whole images with at most so many proposals a request, or one image with more."""
    group: list[LocalImage] = []
    for image in images:
        if group and sum(len(i.proposals) for i in group) + len(image.proposals) > SKELETONS_A_REQUEST:
            yield group
            group = []
        group.append(image)
    if group:
        yield group


def _current_keys(task: PushedTask) -> set[str]:
    return task.proposals.keys() - task.replaced


def _find_project(server: CvatServer, record: PushRecord, name: str) -> tuple[RemoteProject | None, list[str]]:
    projects = server.find_projects(name)
    if record.project_id is not None:
        return next((project for project in projects if project.id == record.project_id), None), []
    if len(projects) > 1:
        ids = ", ".join(str(project.id) for project in projects)
        return projects[0], [f"project {name!r}: the server has several of that name ({ids}); rename all but one"]
    return (projects[0] if projects else None), []


def _unknown(server: CvatServer, options: PushOptions) -> list[str]:
    return [name for name in options.assignees if server.find_user(name) is None]


def _suspect_attribute(labels: Sequence[Mapping[str, Any]], category: str) -> int | None:
    attributes: Sequence[Mapping[str, Any]] = next(
        (label["attributes"] for label in labels if label["name"] == category), []
    )
    return next((attribute["id"] for attribute in attributes if attribute["name"] == SUSPECT_ATTRIBUTE), None)


def _make_project(server: CvatServer, local: LocalDataset, options: PushOptions) -> RemoteProject:
    """The project, made once: after a lost answer it is found by its name."""
    found = server.find_projects(options.project)
    if found:
        return found[0]
    label = label_specification(local.category, local.skeleton, suspects=options.flag_suspects)
    made = server.create_project(options.project, label)
    oldest = server.find_projects(options.project)[0]
    if oldest.id != made.id:  # another push made it at the same time
        server.delete_project(made.id)
    return oldest


def _ensure_guide(server: CvatServer, project_id: int, local: LocalDataset, options: PushOptions) -> None:
    if server.project(project_id).guide_id is None:
        server.create_guide(project_id, options.guide or default_guide(local.category, local.skeleton))
