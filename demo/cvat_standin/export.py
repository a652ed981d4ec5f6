"""The export of "COCO Keypoints 1.0"."""

from __future__ import annotations

import io
import json
import posixpath
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo.cvat_standin import job_annotations
from demo.cvat_standin.labels import drawn_joints
from demo.cvat_standin.rows import Frame, Job, Json, Label, Task

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

LICENSES = [{"name": "", "id": 0, "url": ""}]
INFO = dict.fromkeys(("contributor", "date_created", "description", "url", "version", "year"), "")


@dataclass(frozen=True)
class _Item:
    """One frame with what is drawn on it."""

    name: str
    frame: Frame
    shapes: Sequence[Json]


def export_coco(state: State, jobs: Sequence[Job], *, with_images: bool) -> bytes:
    """A zip of one annotation file a subset. Raises KeyError or ParseError where a skeleton's drawing is wrong."""
    tasks = {job.task_id: state.tasks[job.task_id] for job in jobs}
    labels = state.labels_of(next(iter(tasks.values()))) if tasks else []
    items: dict[str, list[_Item]] = {}
    names: Counter[tuple[str, str]] = Counter()
    for task in tasks.values():
        subset = task.subset or "default"
        for number, shapes in _frames(state, task, [job for job in jobs if job.task_id == task.id]):
            frame = (task.frames or [])[number]
            items.setdefault(subset, []).append(_Item(_unused_name(frame.name, subset, names), frame, shapes))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for subset, members in items.items():
            document = _describe(members, labels)
            text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
            archive.writestr(f"annotations/person_keypoints_{subset}.json", text)
            for item in members if with_images else ():
                archive.writestr(f"images/{subset}/{item.name}", item.frame.content)
    return stream.getvalue()


def _frames(state: State, task: Task, jobs: Sequence[Job]) -> Iterator[tuple[int, list[Json]]]:
    shapes = job_annotations.read_shapes(jobs, state.newest_first)
    for number in sorted({number for job in jobs for number in range(job.start_frame, job.stop_frame + 1)}):
        if number not in task.deleted_frames:
            yield number, [shape for shape in shapes if shape["frame"] == number]


def _unused_name(name: str, subset: str, names: Counter[tuple[str, str]]) -> str:
    """The frame's name; in a project whose tasks share one, the later gets a number."""
    stem, extension = posixpath.splitext(name)
    key = (subset, stem)
    names[key] += 1
    return name if names[key] == 1 else f"{stem}_{names[key] - 1}{extension}"


def _describe(items: Sequence[_Item], labels: Sequence[Label]) -> Json:
    joints = {label.id: drawn_joints(label) for label in labels if label.type == "skeleton"}
    categories = [
        {"id": number, "name": label.name, "supercategory": "", **_keypoints(joints.get(label.id))}
        for number, label in enumerate(labels, start=1)
    ]
    rows = [
        {"image_id": number, **row} for number, item in enumerate(items, start=1) for row in _rows(item, labels, joints)
    ]
    return {
        "licenses": LICENSES,
        "info": INFO,
        "categories": categories,
        "images": [_image(number, item) for number, item in enumerate(items, start=1)],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=1)],
    }


def _keypoints(drawn: tuple[list[str], list[tuple[int, int]]] | None) -> Json:
    return {} if drawn is None else {"keypoints": drawn[0], "skeleton": [list(edge) for edge in drawn[1]]}


def _image(number: int, item: _Item) -> Json:
    return {
        "id": number,
        "width": item.frame.width,
        "height": item.frame.height,
        "file_name": item.name,
        "license": 0,
        "flickr_url": "",
        "coco_url": "",
        "date_captured": 0,
    }


def _rows(item: _Item, labels: Sequence[Label], joints: Mapping[int, tuple[list[str], Any]]) -> Iterator[Json]:
    """The skeletons. A rectangle is lost, unless it is grouped with one: then it gives box and category."""
    by_id = {label.id: (number, label) for number, label in enumerate(labels, start=1)}
    for shape in (shape for shape in item.shapes if shape["type"] == "skeleton"):
        category, label = by_id[shape["label_id"]]
        keypoints = _exported_keypoints(shape, label, joints[label.id][0])
        bbox = _hull(keypoints)
        if box := _grouped_box(shape, item.shapes):
            category = by_id[box["label_id"]][0]
            x1, y1, x2, y2 = box["points"]
            bbox = [x1, y1, x2 - x1, y2 - y1]
        values = {"occluded": shape["occluded"], "keyframe": False, **_attributes(shape, label)}
        yield {
            "category_id": category,
            "segmentation": [],
            "area": bbox[2] * bbox[3],
            "bbox": [round(value, 2) for value in bbox],
            "iscrowd": 0,
            "attributes": values,
            "keypoints": keypoints,
            "num_keypoints": sum(flag > 0 for flag in keypoints[2::3]),
        }


def _exported_keypoints(shape: Json, label: Label, joints: Sequence[str]) -> list[float]:
    ids = {sublabel.name: sublabel.id for sublabel in label.sublabels}
    elements = {element["label_id"]: element for element in shape["elements"]}
    values: list[float] = []
    for joint in joints:
        element = elements.get(ids[joint])
        if element is None:
            values += [0.0, 0.0, 0]
            continue
        visibility = 0 if element["outside"] else 1 if element["occluded"] else 2
        values += [*(round(float(value), 2) for value in element["points"]), visibility]
    return values


def _hull(keypoints: Sequence[float]) -> list[float]:
    """x, y, width, height around the joints that are labelled; zeros where none is."""
    labelled = [keypoints[i : i + 2] for i in range(0, len(keypoints), 3) if keypoints[i + 2] > 0]
    if not labelled:
        return [0.0, 0.0, 0.0, 0.0]
    xs, ys = zip(*labelled, strict=True)
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def _grouped_box(skeleton: Json, shapes: Sequence[Json]) -> Json | None:
    boxes = (shape for shape in shapes if shape["type"] == "rectangle" and shape["group"] == skeleton["group"] != 0)
    return next(boxes, None)


def _attributes(shape: Json, label: Label) -> Json:
    values = {value["spec_id"]: value["value"] for value in shape["attributes"]}
    return {spec["name"]: _typed(values.get(spec["id"], spec.get("default_value")), spec) for spec in label.attributes}


def _typed(text: Any, spec: Json) -> Any:
    if spec.get("input_type") == "checkbox":
        return str(text).lower() == "true"
    if spec.get("input_type") == "number" and text is not None:
        return float(text) if "." in str(text) else int(text)
    return text
