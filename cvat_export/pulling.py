"""What people made of the proposals: a task on the server against the record of what was pushed to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from cvat_export.archive import colliding_names
from cvat_export.changes import InstanceChange, compare, match_instances, rejoin_bbox
from cvat_export.cvat_labels import joint_ids, label_skeleton
from cvat_export.errors import CvatExportError
from cvat_export.export_reading import Export
from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Instance, Keypoints
from cvat_export.push_record import PushedProposal, PushRecord
from cvat_export.remote import RemoteFrame, RemoteJob
from cvat_export.server import CvatServer
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
    source: str | None = None


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
    pushed = record.task_with(task_id) if record else None
    labels = server.labels(task_id=task_id)
    reader = _Reader([label for label in labels if label["type"] == "skeleton"], record)
    if not reader.skeletons:
        raise CvatExportError(f"task {task_id} ({task.name}): has no skeleton label, expected one: no poses to pull")
    if pushed and record and record.category not in reader.skeletons:
        raise CvatExportError(
            f"task {task_id} ({task.name}): has no label {record.category!r} any more, under which its proposals were "
            f"pushed, but {', '.join(reader.skeletons)}; rename it back in CVAT, or pull with --task only"
        )
    jobs, frames, content = server.jobs(task_id), server.frames(task_id), server.annotations(task_id)
    shapes = reader.by_frame(content["shapes"])
    current = pushed.current if pushed else {}
    pulled = []
    for frame in frames:
        mine = [job for job in jobs if job.start_frame <= frame.number <= job.stop_frame]  # several where they overlap
        finished = bool(mine) and all(is_finished(job, rule) for job in mine)
        if frame.deleted or not (finished or rule is Finished.ALL):
            continue
        instances = reader.instances(shapes.get(frame.number, ()), current.get(frame.name, ()), frame, finished)
        first = mine[0] if mine else None
        pulled.append(
            PulledFrame(
                frame.name,
                frame.width,
                frame.height,
                task_id,
                frame.number,
                first.id if first else None,
                first.assignee if first else None,
                finished,
                tuple(instances),
            )
        )
    notes = [f"task {task_id} ({task.name}): {note}" for note in _notes(content, frames, labels)]
    return PulledTask(task_id, task.name, reader.skeletons, tuple(pulled), tuple(notes))


def pull_export(
    export: Export, proposals: Mapping[str, Sequence[PushedProposal]], skeletons: Mapping[str, Skeleton], finished: bool
) -> PulledTask:
    """The same from a file that a person downloaded. proposals: by image, without suffix; skeletons: by category.

    A file says neither ids nor which jobs are finished: subjects are matched by OKS, `finished` holds for all. Images
    of proposals that the file does not have are named in the notes. Raises CvatExportError where the file has other
    categories or joints than the proposals, and where one name stands for several images.
    """
    own = {c.name: c.skeleton for c in export.dataset.categories if c.skeleton is not None}
    _check_comparable(own, skeletons, export.format)
    _check_names([image.file_name for image in export.dataset.images], export.format)
    wanted = {**own, **skeletons}
    frames = []
    for number, image in enumerate(export.dataset.images):
        name = PurePosixPath(image.file_name).name
        labelled = [_in_order(i, own[i.category], wanted[i.category]) for i in image.instances if i.category in own]
        found, proposed = dict(enumerate(labelled)), proposals.get(PurePosixPath(name).stem, ())
        size, pairs = (image.width, image.height), _pair_alike(proposed, found, wanted, LIKELY_SUBJECT_OKS)
        judged = _judge(proposed, found, pairs, wanted, size, finished)
        instances = tuple(replace(pulled, shape_id=None) for pulled in judged)
        frames.append(PulledFrame(name, *size, 0, number, None, None, finished, instances))
    absent = sorted(proposals.keys() - {PurePosixPath(frame.name).stem for frame in frames})
    notes = [f"image {stem}: is not in the file, so nothing is known of it" for stem in absent]
    return PulledTask(0, export.format, wanted, tuple(frames), (*export.notes, *notes))


class _Reader:
    """Shapes as instances: knows each label's joints."""

    def __init__(self, labels: Sequence[Mapping[str, Any]], record: PushRecord | None) -> None:
        self._names: dict[int, str] = {label["id"]: label["name"] for label in labels}
        self.skeletons = {label["name"]: _skeleton(label, record) for label in labels}
        self._joint_ids = {label["id"]: joint_ids(label, self.skeletons[label["name"]]) for label in labels}

    def by_frame(self, shapes: Sequence[Shape]) -> dict[int, list[Shape]]:
        """The skeletons among the shapes, by frame number."""
        found: dict[int, list[Shape]] = defaultdict(list)
        for shape in shapes:
            if shape["type"] == "skeleton" and shape["label_id"] in self._names:
                found[shape["frame"]].append(shape)
        return found

    def instances(
        self, shapes: Sequence[Shape], proposals: Sequence[PushedProposal], frame: RemoteFrame, finished: bool
    ) -> Iterator[PulledInstance]:
        """Each proposal with its correction: by the id that edits keep or, after an import, by likeness."""
        by_id = {shape["id"]: shape for shape in shapes}
        found = {shape_id: self._decode(shape) for shape_id, shape in by_id.items()}
        pairs = {
            proposal.key: proposal.shape_id
            for proposal in proposals
            if proposal.shape_id in found and found[proposal.shape_id].category == proposal.instance.category
        }
        lost = [proposal for proposal in proposals if proposal.key not in pairs]
        taken = set(pairs.values())
        others = {i: one for i, one in found.items() if i not in taken and by_id[i]["source"] != "manual"}
        pairs |= _pair_alike(lost, others, self.skeletons, SAME_SUBJECT_OKS)
        for pulled in _judge(proposals, found, pairs, self.skeletons, (frame.width, frame.height), finished):
            source = None if pulled.shape_id is None else by_id[pulled.shape_id]["source"]
            yield replace(pulled, source=source)

    def _decode(self, shape: Shape) -> Instance:
        return decode_shape(shape, self._names[shape["label_id"]], self._joint_ids[shape["label_id"]])


def _pair_alike(
    proposals: Sequence[PushedProposal],
    found: Mapping[int, Instance],
    skeletons: Mapping[str, Skeleton],
    min_oks: float,
) -> dict[str, int]:
    """Key of a proposal -> id of what is found of the same subject."""
    ids, pairs = sorted(found), dict[str, int]()
    for category, skeleton in skeletons.items():
        mine = [proposal for proposal in proposals if proposal.instance.category == category]
        matched = match_instances([p.instance for p in mine], [found[i] for i in ids], skeleton, min_oks)
        pairs |= {mine[first].key: ids[second] for first, second in matched}
    return pairs


def _judge(
    proposals: Sequence[PushedProposal],
    found: Mapping[int, Instance],
    pairs: Mapping[str, int],
    skeletons: Mapping[str, Skeleton],
    size: tuple[int, int],
    finished: bool,
) -> Iterator[PulledInstance]:
    """What happened to each proposal, then what people added. Corrections get the boxes that CVAT discarded."""
    for proposal in proposals:
        found_id = pairs.get(proposal.key)
        corrected = None if found_id is None else found[found_id]
        if corrected is not None:
            corrected = replace(corrected, bbox_xyxy=rejoin_bbox(proposal.instance, corrected, *size))
        change = compare(proposal.instance, corrected, skeletons[proposal.instance.category], finished)
        yield PulledInstance(proposal, corrected, change, found_id)
    for found_id in sorted(found.keys() - set(pairs.values())):
        added = found[found_id]
        yield PulledInstance(None, added, compare(None, added, skeletons[added.category], finished), found_id)


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


def _check_comparable(own: Mapping[str, Skeleton], proposed: Mapping[str, Skeleton], where: str) -> None:
    for name, skeleton in proposed.items():
        if name not in own or not _same_joints(skeleton, own[name]):
            got = ", ".join(f"{n} ({', '.join(s.joints)})" for n, s in own.items())
            raise CvatExportError(
                f"{where}: got the labels {got}; expected {name!r} with the joints of the proposals, "
                f"{', '.join(skeleton.joints)}; name the folder that this export was made from"
            )


def _same_joints(one: Skeleton, other: Skeleton) -> bool:
    return len(one.joints) == len(other.joints) and None not in one.sources_in(other)


def _check_names(names: Sequence[str], where: str) -> None:
    for shared in colliding_names(names).values():
        raise CvatExportError(
            f"{where}: got the images {' and '.join(shared)}, expected names that differ without folder and suffix: "
            "they could not be told apart; export the tasks one by one"
        )


def _in_order(instance: Instance, own: Skeleton, wanted: Skeleton) -> Instance:
    """The instance with the joints of `wanted`, in its order."""
    keypoints = Keypoints(instance.xy[None], np.zeros((1, len(own.joints)), np.float32), instance.visibility[None])
    mapped = map_joints(keypoints, own, wanted)
    return replace(instance, xy=mapped.xy[0], visibility=mapped.visibility[0])


def _skeleton(label: Mapping[str, Any], record: PushRecord | None) -> Skeleton:
    """The skeleton that was pushed under this label, else the one that the label draws."""
    if record and record.skeleton and label["name"] == record.category:
        return record.skeleton
    return label_skeleton(label)
