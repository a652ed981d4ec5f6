"""A job's shapes: stored, changed and listed as the server does it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from demo.cvat_standin.messages import ApiError, ServerError
from demo.cvat_standin.rows import Job, Json, Label

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

SHAPE_DEFAULTS: Json = {
    "type": "points",
    "frame": 0,
    "group": 0,
    "source": "manual",
    "score": 1,
    "occluded": False,
    "outside": False,
    "z_order": 0,
    "rotation": 0.0,
    "points": [],
    "attributes": [],
}
TAG_DEFAULTS: Json = {"frame": 0, "group": 0, "source": "manual", "attributes": []}


def create(state: State, job: Job, shapes: Sequence[Json], tags: Sequence[Json] = ()) -> list[Json]:
    """Store the shapes and say how they were stored. An `id` that a shape brings along is kept.

    Skeletons get their ids first, then the joints of each, as the database's one sequence gives them out.
    """
    labels = {label.id: label for label in state.labels_of(state.tasks[job.task_id])}
    stored = [_completed(shape, labels) for shape in shapes]
    stored_tags = [_with_id(state, "tag", {**TAG_DEFAULTS, **tag}) for tag in tags]
    for shape in stored:
        _with_id(state, "shape", shape)
    for shape in stored:
        for element in shape["elements"]:
            _with_id(state, "shape", element)
        job.shapes[shape["id"]] = shape
    job.tags |= {tag["id"]: tag for tag in stored_tags}
    if stored or stored_tags:
        state.touch(job)
    return deepcopy(stored)


def update(state: State, job: Job, shapes: Sequence[Json], tags: Sequence[Json] = ()) -> list[Json]:
    """Take the rows of these ids away and store them anew under the same ids: a row that was gone is back."""
    _remove(job, shapes, tags)
    return create(state, job, shapes, tags)


def delete(state: State, job: Job, shapes: Sequence[Json], tags: Sequence[Json] = ()) -> list[Json]:
    """Take the rows of these ids away; an id that is not there is no error."""
    _remove(job, shapes, tags)
    if shapes or tags:
        state.touch(job)
    labels = {label.id: label for label in state.labels_of(state.tasks[job.task_id])}
    return [_completed(shape, labels) for shape in shapes]


def clear(state: State, job: Job) -> None:
    """Take everything away."""
    if job.shapes or job.tags:
        job.shapes.clear()
        job.tags.clear()
        state.touch(job)


ACTIONS = {"create": create, "update": update, "delete": delete}


def patch(state: State, jobs: Sequence[Job], data: Mapping[str, Any], action: str, *, split: bool) -> Json:
    """Apply `action` to the jobs. split: give each job what lies on its frames; what lies on none is dropped."""
    if data.get("tracks"):
        raise ApiError(400, ["The stand-in keeps no tracks"])
    answered: Json = {"version": 0, "tags": [], "shapes": [], "tracks": [], "intervals": []}
    for job in jobs:
        shapes, tags = (
            [row for row in data.get(key) or [] if not split or job.holds(row.get("frame", 0))]
            for key in ("shapes", "tags")
        )
        if action != "create" and any("id" not in row for row in (*shapes, *tags)):
            raise ServerError("KeyError: 'id'")
        answered["shapes"] += ACTIONS[action](state, job, shapes, tags)
    return answered


def replace(state: State, jobs: Sequence[Job], data: Mapping[str, Any], *, split: bool) -> Json:
    """Everything anew, under new ids: rows that bring one along are refused."""
    rows = [*(data.get("shapes") or []), *(data.get("tags") or [])]
    if any(row.get("id") is not None for row in rows):
        raise ApiError(400, ["Objects that are created must not have an id"])
    for job in jobs:
        clear(state, job)
    return patch(state, jobs, data, "create", split=split)


def read(jobs: Iterable[Job], newest_first: bool) -> Json:
    """All that the jobs hold, as the API lists it."""
    jobs = list(jobs)
    tags = [deepcopy(tag) for job in jobs for tag in job.tags.values()]
    return {"version": 0, "tags": tags, "shapes": read_shapes(jobs, newest_first), "tracks": [], "intervals": []}


def read_shapes(jobs: Iterable[Job], newest_first: bool) -> list[Json]:
    """Copies of the jobs' shapes by frame; the joints of a skeleton start anywhere in their round."""
    shapes = [_as_listed(shape) for job in jobs for shape in job.shapes.values()]
    sign = -1 if newest_first else 1
    return sorted(shapes, key=lambda shape: (shape["frame"], sign * shape["id"]))


def drawn_skeleton(skeleton: Label, frame: int, joints: Mapping[str, tuple[Any, ...]]) -> Json:
    """A skeleton as a person draws it. joints: name -> (x, y) or (x, y, COCO's visibility)."""
    elements = []
    for sublabel in skeleton.sublabels:
        x, y, visibility = (*joints.get(sublabel.name, (0.0, 0.0, 0)), 2)[:3]
        flags = {"occluded": visibility == 1, "outside": visibility == 0}
        elements.append({"label_id": sublabel.id, "frame": frame, "points": [float(x), float(y)], **flags})
    return {"type": "skeleton", "label_id": skeleton.id, "frame": frame, "elements": elements}


def _completed(shape: Mapping[str, Any], labels: Mapping[int, Label]) -> Json:
    """The shape with every key; a skeleton has no points of its own. Raises ApiError 400 on an unknown label."""
    label = labels.get(shape.get("label_id", 0))
    if label is None:
        raise ApiError(400, [f"label_id `{shape.get('label_id')}` is invalid"])
    full = {**SHAPE_DEFAULTS, **deepcopy(dict(shape))}
    if full["type"] == "skeleton":
        full["points"] = []
    joints = {sublabel.id for sublabel in label.sublabels}
    full["elements"] = [{**SHAPE_DEFAULTS, **element} for element in full.get("elements") or []]
    for element in full["elements"]:
        if element.get("label_id") not in joints:
            raise ApiError(400, [f"label_id `{element.get('label_id')}` is invalid"])
    return full


def _with_id(state: State, kind: str, row: Json) -> Json:
    if row.get("id") is None:
        row["id"] = state.new_id(kind)
    return row


def _remove(job: Job, shapes: Sequence[Json], tags: Sequence[Json]) -> None:
    for shape in shapes:
        job.shapes.pop(shape["id"], None)
    for tag in tags:
        job.tags.pop(tag["id"], None)


def _as_listed(shape: Json) -> Json:
    copied = deepcopy(shape)
    copied["score"] = float(copied["score"])
    for element in copied["elements"]:
        element["score"] = float(element["score"])
    if elements := copied["elements"]:
        start = copied["id"] * 7 % len(elements)
        copied["elements"] = elements[start:] + elements[:start]
    return copied
