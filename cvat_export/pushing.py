"""The steps of a push. Each looks at the server before it acts, so that it may be repeated after any fault or crash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cvat_export.cvat_labels import default_guide, joint_ids, label_specification
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.local_dataset import LocalDataset, LocalImage
from cvat_export.push_plan import task_images
from cvat_export.push_preflight import Preflight, PushOptions, suspect_attribute
from cvat_export.push_record import (
    PushedProposal,
    PushedTask,
    PushRecord,
    are_twins,
    project_event,
    sending_event,
)
from cvat_export.remote import RemoteFrame, RemoteJob, RemoteProject, RemoteTask
from cvat_export.retrying import attempt
from cvat_export.server import CvatServer
from cvat_export.shapes import Shape, decode_shape, encode_shape, match_equal, same_skeleton
from cvat_export.suspects import find_suspects

SKELETONS_A_REQUEST = 200

Progress = Callable[[int], object]


@dataclass
class Pushed:
    """What a push did. held_back: images whose proposals were not sent, with the reason."""

    tasks: int = 0
    images: int = 0
    proposals: int = 0
    held_back: dict[str, str] = field(default_factory=dict)


def push(
    server: CvatServer,
    local: LocalDataset,
    record: PushRecord,
    found: Preflight,
    options: PushOptions,
    progress: Progress = lambda _: None,
) -> Pushed:
    """Carry a preflight's plan out. To be called with the record locked. Raises CvatExportError; run it again then."""
    project = found.project or attempt(partial(_make_project, server, local, options), server.sleep)
    if record.project_id is None:
        record.add(project_event(project.id, record.owner, local.category, local.skeleton))
    if project.guide_id is None:
        attempt(partial(_ensure_guide, server, project.id, local, options), server.sleep)
    for name, images in found.plan.new_tasks.items():
        record.add({"event": "task planned", "name": name, "images": task_images(images)})
    work = _Push(server, local, record, project, options, progress)
    for task in record.tasks.values():
        attempt(partial(work.settle, task), server.sleep)
    unfinished = {name: work.local_images(record.tasks[name]) for name in found.plan.unfinished}
    for name in (*unfinished, *found.plan.new_tasks):
        attempt(partial(work.ensure_task, record.tasks[name]), server.sleep)
    for name, images in {**found.plan.append, **unfinished, **found.plan.new_tasks}.items():
        work.send(record.tasks[name], images)
    for name, images in found.plan.replace.items():
        work.replace(record.tasks[name], images)
    return work.pushed


@dataclass(frozen=True, eq=False)
class _View:
    """A task as it is on the server now. frames: by name. shapes: by frame number."""

    frames: Mapping[str, RemoteFrame]
    shapes: Mapping[int, Sequence[Shape]]
    jobs: Sequence[RemoteJob]

    def on(self, image: str) -> Sequence[Shape]:
        """The shapes in an image."""
        return self.shapes.get(self.frames[image].number, ())

    def untouched(self, image: str) -> bool:
        """Whether nobody has begun the jobs that an image is in."""
        number = self.frames[image].number
        return all(job.untouched for job in self.jobs if job.start_frame <= number <= job.stop_frame)


@dataclass(eq=False)
class _Push:
    server: CvatServer
    local: LocalDataset
    record: PushRecord
    project: RemoteProject
    options: PushOptions
    progress: Progress
    pushed: Pushed = field(default_factory=Pushed)

    def __post_init__(self) -> None:
        labels = self.server.labels(project_id=self.project.id)
        label = next(row for row in labels if row["name"] == self.local.category)
        self.label_id: int = label["id"]
        self.joint_ids = joint_ids(label, self.local.skeleton)
        self.suspect_id = suspect_attribute(labels, self.local.category) if self.options.flag_suspects else None

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
        self.pushed.tasks += 1
        self.pushed.images += len(task.images)
        self.progress(len(task.images))

    def settle(self, task: PushedTask) -> None:
        """Find out whether proposals arrived that were on their way when a push died."""
        if task.sending:
            view = self._look(task)
            self._record_arrival(task, {image: view.on(image) for image in view.frames})

    def send(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        """The proposals of images that have none on the server, each once."""
        for group in _groups(images):
            attempt(partial(self._send_group, task, group), self.server.sleep)

    def replace(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        """Newer proposals in place of those that nobody has touched."""
        for group in _groups(images):
            attempt(partial(self._clear_group, task, group), self.server.sleep)
            attempt(partial(self._send_group, task, group), self.server.sleep)

    def _send_group(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        self.settle(task)
        waiting = [image for image in images if image.proposals and not task.current[image.name]]
        if not waiting:
            return
        view = self._look(task)
        ready = [image for image in waiting if self._is_free(image, view)]
        if not ready:
            return
        proposals = [PushedProposal(key, i.name, 0, instance) for i in ready for key, instance in i.proposals.items()]
        self.record.add(sending_event(task.name, self.local.category, proposals))
        made = self.server.create_shapes(_id(task), self._encoded(ready, view))
        self._record_arrival(
            task, {i.name: [s for s in made if s["frame"] == view.frames[i.name].number] for i in ready}
        )

    def _record_arrival(self, task: PushedTask, shapes: Mapping[str, Sequence[Shape]]) -> None:
        """Record which shapes the proposals on their way have become. shapes: by image.

        A request's shapes are taken all or none: where one is there, one that is missing was deleted; its id is 0.
        """
        by_image: dict[str, dict[str, Instance]] = defaultdict(dict)
        for proposal in task.sending.values():
            by_image[proposal.image][proposal.key] = proposal.instance
        known = {proposal.shape_id for proposal in task.proposals.values()}
        ids: dict[str, int] = {}
        for image, wanted in by_image.items():
            ids |= match_equal(
                wanted, [(s["id"], self._decoded(s)) for s in shapes.get(image, ()) if self._ours(s, known)]
            )
        arrived = {key: ids.get(key, 0) for key in task.sending} if ids else {}
        self.record.add({"event": "sent", "name": task.name, "ids": arrived})
        self.pushed.proposals += len(arrived)
        self.progress(len(arrived))

    def _clear_group(self, task: PushedTask, images: Sequence[LocalImage]) -> None:
        """Delete the proposals of images in jobs that nobody has begun, where the server has them as they were."""
        view = self._look(task)
        doomed: list[Shape] = []
        for image in images:
            current, here = task.current[image.name], view.on(image.name)
            if not current:  # a push that died has cleared it in the record already
                doomed += [shape for shape in here if shape["id"] in task.replaced_ids]
            elif not self._unchanged(current, here):
                self.pushed.held_back[image.name] = "somebody has changed its proposals"
            elif not view.untouched(image.name):
                self.pushed.held_back[image.name] = "somebody has begun the job it is in"
            else:
                keys = [proposal.key for proposal in current]
                self.record.add({"event": "replaced", "name": task.name, "keys": keys})
                doomed += here
        if doomed:
            self.server.delete_shapes(_id(task), doomed)

    def _look(self, task: PushedTask) -> _View:
        shapes: dict[int, list[Shape]] = defaultdict(list)
        for shape in self.server.annotations(_id(task))["shapes"]:
            shapes[shape["frame"]].append(shape)
        frames = {frame.name: frame for frame in self.server.frames(_id(task))}
        return _View(frames, shapes, self.server.jobs(_id(task)))

    def _is_free(self, image: LocalImage, view: _View) -> bool:
        """Whether nobody has begun with the image, and nothing is in it; else it is held back."""
        if view.on(image.name):
            self.pushed.held_back.setdefault(image.name, "something is labelled in it already")
        elif view.frames[image.name].deleted:
            self.pushed.held_back[image.name] = "the frame was deleted in CVAT"
        elif not view.untouched(image.name):
            self.pushed.held_back[image.name] = "somebody has begun the job it is in"
        else:
            return True
        return False

    def _unchanged(self, current: Sequence[PushedProposal], here: Sequence[Shape]) -> bool:
        """Whether an image holds these proposals as they were pushed, and nothing else."""
        there = {shape["id"]: shape for shape in here}
        return len(there) == len(current) and all(
            proposal.shape_id in there and same_skeleton(proposal.instance, self._decoded(there[proposal.shape_id]))
            for proposal in current
        )

    def _ours(self, shape: Shape, known: set[int]) -> bool:
        return shape["type"] == "skeleton" and shape["label_id"] == self.label_id and shape["id"] not in known

    def _encoded(self, images: Sequence[LocalImage], view: _View) -> list[dict[str, Any]]:
        encoded = []
        for image in images:
            number, instances = view.frames[image.name].number, list(image.proposals.values())
            doubts = find_suspects(instances, self.local.skeleton) if self.suspect_id else [()] * len(instances)
            for instance, doubt in zip(instances, doubts, strict=True):
                value = "true" if doubt else "false"
                attributes = [{"spec_id": self.suspect_id, "value": value}] if self.suspect_id else []
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


def _id(task: PushedTask) -> int:
    """The task's id, which it has once it is on the server."""
    assert task.id is not None
    return task.id


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
