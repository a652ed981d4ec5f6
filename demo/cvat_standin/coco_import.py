"""The import of "COCO Keypoints 1.0": what it takes, what it drops, what it stumbles over."""

from __future__ import annotations

import io
import json
import math
import posixpath
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from demo.cvat_standin import job_annotations
from demo.cvat_standin.rows import Frame, Job, Json, Label

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

IMPORT_FAIL = "datumaro.components.contexts.importer._ImportFail\n"
CVAT_IMPORT_ERROR = "cvat.apps.dataset_manager.bindings.CvatImportError: "
UPLOAD_FOLDER = "/opt/cvat/home/data/home/user/upload"
TRACEBACK = 'Traceback (most recent call last):\n  File "cvat/apps/dataset_manager/task.py", line 1, in import_file\n'
TOP_LEVEL_KEYS = frozenset({"images", "annotations", "categories", "info", "licenses"})
REQUIRED_KEYS = ("id", "image_id", "category_id", "keypoints", "bbox")
NOT_ATTRIBUTES = frozenset({"occluded", "keyframe", "track_id", "source", "outside"})


class ImportFailedError(Exception):
    """The text is what the background request says."""


def import_coco(state: State, jobs: Sequence[Job], content: bytes, *, append: bool) -> None:
    """Put the archive's annotations into the jobs, instead of what is there unless `append`.

    Raises ImportFailedError, and then nothing changed.
    """
    task = state.tasks[jobs[0].task_id]
    frames = {number: frame for number, frame in enumerate(task.frames or ()) if any(job.holds(number) for job in jobs)}
    shapes = _read_shapes(_read_document(content), frames, state.labels_of(task))
    for job in jobs:
        if not append:
            job_annotations.clear(state, job)
        job_annotations.create(state, job, [shape for shape in shapes if job.holds(shape["frame"])])


def _read_document(content: bytes) -> Json:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile as error:
        raise ImportFailedError(f"{TRACEBACK}zipfile.BadZipFile: {error}\n") from error
    names = [name for name in archive.namelist() if re.fullmatch(r"(.*/)?[^/]*_[^/]*\.json", name)]
    if not any(name.startswith("annotations/person_keypoints_") for name in names):
        raise ImportFailedError(f"{CVAT_IMPORT_ERROR}Failed to find dataset at '{UPLOAD_FOLDER}'\n")
    if len(names) > 1:
        raise ImportFailedError(f"{CVAT_IMPORT_ERROR}Failed to import dataset: several annotation files\n")
    text = archive.read(names[0]).decode()
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ImportFailedError(f"{TRACEBACK}{CVAT_IMPORT_ERROR}Failed to parse JSON: {error}\n") from error
    for key in set(document) - TOP_LEVEL_KEYS:
        raise ImportFailedError(
            f"{CVAT_IMPORT_ERROR}Failed to import dataset 'coco_person_keypoints' at '{UPLOAD_FOLDER}': "
            f"Unknown key: Matching variant not found at pos: {text.index(json.dumps(key)) + len(key) + 2}\n"
        )
    return dict(document)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _read_shapes(document: Json, frames: Mapping[int, Frame], labels: Sequence[Label]) -> list[Json]:
    """Shapes in the order of the file's images; of one image, last annotation first."""
    categories = _read_categories(document.get("categories") or [])
    by_image: dict[int, list[Json]] = {image["id"]: [] for image in document["images"]}
    for annotation in document.get("annotations") or []:
        _check_annotation(annotation, categories)
        if annotation["image_id"] in by_image:  # an unknown image: dropped without a word
            by_image[annotation["image_id"]].insert(0, annotation)
    shapes: list[Json] = []
    for image in document["images"]:
        name = posixpath.splitext(image["file_name"])[0]
        number = _match_frame(name, frames)
        for index, annotation in enumerate(by_image[image["id"]]):
            category = categories[annotation["category_id"]]
            where = f"Image {name}: can't import annotation #{index} (skeleton): "
            shapes += _convert(annotation, category, labels, number, where)
    return shapes


def _read_categories(categories: Sequence[Json]) -> dict[int, Json]:
    for category in categories:
        if not category.get("id") or "name" not in category or not {"keypoints", "skeleton"} <= set(category):
            raise ImportFailedError(IMPORT_FAIL)
    return {category["id"]: category for category in categories}


def _check_annotation(annotation: Json, categories: Mapping[int, Json]) -> None:
    if any(key not in annotation for key in REQUIRED_KEYS) or annotation["category_id"] not in categories:
        raise ImportFailedError(IMPORT_FAIL)
    if annotation.get("segmentation", []) is None:
        raise ImportFailedError(f"{TRACEBACK}TypeError: object of type 'NoneType' has no len()\n")
    keypoints, bbox = annotation["keypoints"], annotation["bbox"]
    joints = categories[annotation["category_id"]]["keypoints"]
    if not _are_numbers(keypoints, 3 * len(joints)) or not _are_numbers(bbox, 4):
        raise ImportFailedError(IMPORT_FAIL)
    if not 0 <= annotation.get("score", 1) <= 1:
        raise ImportFailedError(f"{TRACEBACK}rest_framework.exceptions.ValidationError: score must be in 0..1\n")


def _are_numbers(values: Any, count: int) -> bool:
    if not isinstance(values, list) or len(values) != count:
        return False
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def _match_frame(name: str, frames: Mapping[int, Frame]) -> int:
    """The frame of this name without extension; where there is none, a number is a frame's index."""
    by_stem = {posixpath.splitext(frame.name)[0]: number for number, frame in frames.items()}
    if name in by_stem:
        return by_stem[name]
    if name.isdecimal() and int(name) in frames:
        return int(name)
    raise ImportFailedError(f"{CVAT_IMPORT_ERROR}Could not match item id: '{name}' with any task frame\n")


def _convert(annotation: Json, category: Json, labels: Sequence[Label], number: int, where: str) -> list[Json]:
    """The skeleton, and a polygon for each that the segmentation holds."""
    label = _find(labels, category["name"], where)
    values = annotation.get("attributes") or {}
    if {"track_id", "keyframe"} <= set(values):
        raise ImportFailedError("The stand-in imports no tracks\n")
    common = {"frame": number, "source": "file", "score": annotation.get("score", 1.0)}
    elements = []
    for position, joint in enumerate(category["keypoints"]):
        x, y, visibility = annotation["keypoints"][3 * position : 3 * position + 3]
        flags = {"occluded": visibility == 1, "outside": visibility == 0}
        sublabel = _find(label.sublabels, joint, where)
        elements.append({**common, "score": 1.0, "label_id": sublabel.id, "points": _rounded([x, y]), **flags})
    skeleton = {
        **common,
        "type": "skeleton",
        "label_id": label.id,
        "occluded": values.get("occluded") is True,
        "attributes": _known_attributes(label, values),
        "elements": elements,
    }
    polygons = [one for one in annotation.get("segmentation") or [] if isinstance(one, list)]
    return [skeleton] + [
        {**common, "type": "polygon", "label_id": label.id, "points": _rounded(polygon)} for polygon in polygons
    ]


def _find(labels: Sequence[Label], name: str, where: str) -> Label:
    for label in labels:
        if label.name == name:
            return label
    raise ImportFailedError(f"{CVAT_IMPORT_ERROR}{where}Label '{name}' is not registered for this task\n")


def _known_attributes(label: Label, values: Mapping[str, Any]) -> list[Json]:
    known = {spec["name"]: spec["id"] for spec in label.attributes}
    return [
        {"spec_id": known[name], "value": _text(value)}
        for name, value in values.items()
        if name in known and name not in NOT_ATTRIBUTES
    ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rounded(points: Sequence[float]) -> list[float]:
    return [round(float(value), 2) for value in points]
