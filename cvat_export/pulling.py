"""What people made of the proposals: a task on the server against the record of what was pushed to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from cvat_export.changes import InstanceChange, compare, match_instances, rejoin_bbox
from cvat_export.cvat_labels import joint_ids
from cvat_export.errors import CvatExportError
from cvat_export.export_reading import Export
from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Instance, Keypoints
from cvat_export.push_record import PushedProposal, PushedTask, PushRecord
from cvat_export.server import CvatServer, RemoteFrame, RemoteJob
from cvat_export.shapes import Shape, decode_shape
from cvat_export.skeleton import Skeleton

LIKELY_SUBJECT_OKS = 0.1  # without ids: people move joints far, but a subject stays where it is
SAME_SUBJECT_OKS = 0.5  # above which a skeleton that lost its id is taken for the one proposed there


class Finished(StrEnum):
    """Which jobs' work counts as finished."""

    ACCEPTED = "accepted"  # stage acceptance and state completed
    COMPLETED = "completed"  # state completed, whatever the stage
    ALL = "all"  # as completed; the other jobs are reported too, as not finished


@dataclass(frozen=True, eq=False)
class PulledInstance:
    """A proposal, a correction, or both. corrected: None where the proposal was deleted. source: as CVAT says it."""

    proposal: PushedProposal | None
    corrected: Instance | None
    change: InstanceChange
    shape_id: int | None
    source: str | None


@dataclass(frozen=True, eq=False)
class PulledFrame:
    """A frame of a task with all that is or was in it. finished: whether its job's work counts."""

    name: str
    width: int
    height: int
    task_id: int
    number: int
    job_id: int | None
    assignee: str | None
    finished: bool
    instances: tuple[PulledInstance, ...]


@dataclass(frozen=True, eq=False)
class PulledTask:
    """notes: by name, everything in the task that a pose dataset has no place for."""

    id: int
    name: str
    skeletons: dict[str, Skeleton]
    frames: tuple[PulledFrame, ...]
    notes: tuple[str, ...]


def is_finished(job: RemoteJob, rule: Finished) -> bool:
    """Whether a job's work is truth."""
    return job.state == "completed" and (rule is not Finished.ACCEPTED or job.stage == "acceptance")


def pull_task(server: CvatServer, task_id: int, record: PushRecord | None, rule: Finished) -> PulledTask:
    """Read a task. record: of the pushes to its project; None for a task that somebody else made.

    Deleted frames and everything that is no skeleton are named in the notes. Raises CvatExportError.
    """
    task = server.task(task_id)
    pushed = next((known for known in record.tasks.values() if known.id == task_id), None) if record else None
    all_labels = server.labels(task_id=task_id)
    labels = [label for label in all_labels if label["type"] == "skeleton"]
    if not labels:
        raise CvatExportError(f"task {task_id} ({task.name}): has no skeleton label, expected one: no poses to pull")
    reader = _Reader(labels, record)
    jobs, frames, content = server.jobs(task_id), server.frames(task_id), server.annotations(task_id)
    notes = [f"task {task_id} ({task.name}): {note}" for note in _notes(content, frames, all_labels)]
    by_frame: dict[int, list[Shape]] = {}
    for shape in content["shapes"]:
        if shape["type"] == "skeleton" and shape["label_id"] in reader.names:
            by_frame.setdefault(shape["frame"], []).append(shape)
    pulled = []
    for frame in frames:
        if frame.deleted:
            continue
        mine = [job for job in jobs if job.start_frame <= frame.number <= job.stop_frame]  # several where they overlap
        finished = bool(mine) and all(is_finished(job, rule) for job in mine)
        if rule is not Finished.ALL and not finished:
            continue
        job = mine[0] if mine else None
        proposals = _current(pushed, frame.name)
        instances = reader.instances(by_frame.get(frame.number, ()), proposals, frame, finished)
        pulled.append(
            PulledFrame(
                frame.name,
                frame.width,
                frame.height,
                task_id,
                frame.number,
                job.id if job else None,
                job.assignee if job else None,
                finished,
                tuple(instances),
            )
        )
    return PulledTask(task_id, task.name, reader.skeletons, tuple(pulled), tuple(notes))


def pull_export(
    export: Export, proposals: Mapping[str, Sequence[PushedProposal]], skeletons: Mapping[str, Skeleton], finished: bool
) -> PulledTask:
    """The same from a file that a person downloaded. proposals: by image, without suffix; skeletons: by category.

    A file says neither ids nor which jobs are finished: subjects are matched by OKS, `finished` holds for all.
    """
    own = {c.name: c.skeleton for c in export.dataset.categories if c.skeleton is not None}
    wanted = {**own, **skeletons}
    frames = []
    for number, image in enumerate(export.dataset.images):
        name = PurePosixPath(image.file_name).name
        found = [_in_order(i, own[i.category], wanted[i.category]) for i in image.instances if i.category in own]
        proposed = proposals.get(PurePosixPath(name).stem, ())
        size = (image.width, image.height)
        instances = []
        for category, skeleton in wanted.items():
            mine = [proposal for proposal in proposed if proposal.instance.category == category]
            theirs = [instance for instance in found if instance.category == category]
            pairs = dict(match_instances([p.instance for p in mine], theirs, skeleton, LIKELY_SUBJECT_OKS))
            for position, proposal in enumerate(mine):
                corrected = theirs[pairs[position]] if position in pairs else None
                instances.append(_judged(proposal, corrected, skeleton, size, finished))
            added = [one for position, one in enumerate(theirs) if position not in set(pairs.values())]
            instances += [_judged(None, one, skeleton, size, finished) for one in added]
        frames.append(PulledFrame(name, *size, 0, number, None, None, finished, tuple(instances)))
    return PulledTask(0, export.format, wanted, tuple(frames), export.notes)


class _Reader:
    """Shapes as instances: knows each label's joints."""

    def __init__(self, labels: Sequence[Mapping[str, Any]], record: PushRecord | None) -> None:
        self.names: dict[int, str] = {label["id"]: label["name"] for label in labels}
        self.skeletons = {label["name"]: _skeleton(label, record) for label in labels}
        self._joint_ids = {label["id"]: joint_ids(label, self.skeletons[label["name"]]) for label in labels}

    def instances(
        self, shapes: Sequence[Shape], proposals: Sequence[PushedProposal], frame: RemoteFrame, finished: bool
    ) -> Iterator[PulledInstance]:
        """Each proposal with its correction, then what people added."""
        found = {shape["id"]: (shape, self._decode(shape)) for shape in shapes}
        pairs = self._pair(found, proposals)
        for proposal in proposals:
            skeleton = self.skeletons[proposal.instance.category]
            shape, corrected = found[pairs[proposal.key]] if proposal.key in pairs else (None, None)
            yield _judged(proposal, corrected, skeleton, (frame.width, frame.height), finished, shape)
        for shape_id in sorted(found.keys() - set(pairs.values())):
            shape, corrected = found[shape_id]
            skeleton = self.skeletons[corrected.category]
            yield _judged(None, corrected, skeleton, (frame.width, frame.height), finished, shape)

    def _decode(self, shape: Shape) -> Instance:
        return decode_shape(shape, self.names[shape["label_id"]], self._joint_ids[shape["label_id"]])

    def _pair(self, found: Mapping[int, tuple[Shape, Instance]], proposals: Sequence[PushedProposal]) -> dict[str, int]:
        """Key -> shape id: by the id that edits keep, else, where labels were imported anew, by likeness."""
        pairs = {
            proposal.key: proposal.shape_id
            for proposal in proposals
            if proposal.shape_id in found and found[proposal.shape_id][1].category == proposal.instance.category
        }
        taken = set(pairs.values())
        for category, skeleton in self.skeletons.items():
            lost = [p for p in proposals if p.key not in pairs and p.instance.category == category]
            others = [
                shape_id
                for shape_id, (shape, instance) in sorted(found.items())
                if shape_id not in taken and instance.category == category and shape["source"] != "manual"
            ]
            matched = match_instances(
                [p.instance for p in lost], [found[shape_id][1] for shape_id in others], skeleton, SAME_SUBJECT_OKS
            )
            pairs |= {lost[first].key: others[second] for first, second in matched}
        return pairs


def _notes(
    content: Mapping[str, Any], frames: Sequence[RemoteFrame], labels: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """What is there and is not taken."""
    names = {label["id"]: label["name"] for label in labels}
    kinds = [(shape["type"], shape) for shape in content["shapes"] if shape["type"] != "skeleton"]
    kinds += [(kind, row) for kind in ("track", "tag") for row in content[f"{kind}s"]]
    others = Counter(f"{kind} of label {names.get(row['label_id'], row['label_id'])}" for kind, row in kinds)
    for kind, count in sorted(others.items()):
        yield f"{count} × {kind}: not taken, only skeletons are"
    deleted = [frame.name for frame in frames if frame.deleted]
    if deleted:
        yield f"{len(deleted)} deleted frames: left out ({', '.join(deleted[:5])}{', …' if deleted[5:] else ''})"


def _judged(
    proposal: PushedProposal | None,
    corrected: Instance | None,
    skeleton: Skeleton,
    size: tuple[int, int],
    finished: bool,
    shape: Shape | None = None,
) -> PulledInstance:
    """What happened to a proposal; the correction gets the box that CVAT discarded."""
    if proposal and corrected:
        corrected = _with_bbox(corrected, rejoin_bbox(proposal.instance, corrected, *size))
    change = compare(proposal.instance if proposal else None, corrected, skeleton, finished)
    shape = shape or {}
    return PulledInstance(proposal, corrected, change, shape.get("id"), shape.get("source"))


def _current(task: PushedTask | None, name: str) -> list[PushedProposal]:
    return task.current.get(name, []) if task else []


def _in_order(instance: Instance, own: Skeleton, wanted: Skeleton) -> Instance:
    """The instance with the joints of `wanted`, in its order."""
    keypoints = Keypoints(instance.xy[None], np.zeros((1, len(own.joints)), np.float32), instance.visibility[None])
    mapped = map_joints(keypoints, own, wanted)
    return replace(instance, xy=mapped.xy[0], visibility=mapped.visibility[0])


def _skeleton(label: Mapping[str, Any], record: PushRecord | None) -> Skeleton:
    """The skeleton pushed under this label; else the label's own, its joints in the order of its sublabels."""
    if record and record.skeleton and label["name"] == record.category:
        return record.skeleton
    joints = tuple(sublabel["name"] for sublabel in label["sublabels"])
    return Skeleton(label["name"], joints)


def _with_bbox(instance: Instance, bbox: Any) -> Instance:
    return replace(instance, bbox_xyxy=bbox)
