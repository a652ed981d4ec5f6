"""Datumaro's JSON -> Dataset: what CVAT exports as "Datumaro 1.0", and keypoints as Datumaro itself writes them.

CVAT's fork (github.com/cvat-ai/datumaro) has the shape `skeleton`: `points` is x, y, visibility for each joint in the
order of the category, `points_attributes` a mapping each. Datumaro has `points` with `visibility` instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.skeleton_shapes import (
    LeftOut,
    check_file_names,
    labelled_image,
    left_out_notes,
    skeleton_category,
    skeleton_instance,
)

FORMAT = "Datumaro 1.0"
IMAGE_SUFFIX = ".jpg"  # what Datumaro takes an image without a path for

_CVAT_NAMES = {"bbox": "rectangle", "label": "tag", "cuboid_3d": "cuboid"}  # a type -> the shape, in CVAT's words


def is_datumaro(content: Any) -> bool:
    """Whether decoded JSON has the keys that every Datumaro file has."""
    return (
        isinstance(content, Mapping)
        and isinstance(content.get("items"), list)
        and isinstance(content.get("categories"), Mapping)
    )


def parse_datumaro(content: Mapping[str, Any], where: str) -> tuple[Dataset, tuple[str, ...]]:
    """A dataset from decoded JSON; `where` names the file in errors."""
    labels = _labels(content["categories"], where)
    reader = _Reader(where, labels, _categories(content["categories"], labels, where))
    images = tuple(reader.image(_mapping(item, f"{where}: items[{i}]")) for i, item in enumerate(content["items"]))
    dataset = Dataset(tuple(reader.categories.values()), images)
    check_file_names(dataset, where)
    notes = left_out_notes(reader.left_out)
    if reader.without_path:
        notes += (f"{reader.without_path} images have no file name here: {IMAGE_SUFFIX} was added to their ids",)
    return dataset, notes


@dataclass
class _Reader:
    """categories: a label's index -> the skeleton that is drawn with it."""

    where: str
    labels: Sequence[str]
    categories: Mapping[int, Category]
    left_out: LeftOut = field(default_factory=Counter)
    without_path: int = 0

    def image(self, item: Mapping[str, Any]) -> LabelledImage:
        where = f"{self.where}: item {item.get('id')!r}"
        instances = []
        for position, row in enumerate(_list(item.get("annotations"), f"{where}: annotations")):
            instance = self._instance(_mapping(row, f"{where}: annotations[{position}]"), where, position)
            if instance is not None:
                instances.append(instance)
        image = item.get("image")
        size = image.get("size") if isinstance(image, Mapping) else None
        if not isinstance(size, list) or len(size) != 2:
            raise CvatExportError(
                f"{where}: got no image with a size, expected [height, width]; "
                "export again with 'Save images', or as CVAT for images 1.1"
            )
        attributes = item.get("attr")
        extra = {"frame": attributes["frame"]} if isinstance(attributes, Mapping) and "frame" in attributes else {}
        return labelled_image(self._file_name(item, where), (size[1], size[0]), instances, extra, where)

    def _file_name(self, item: Mapping[str, Any], where: str) -> str:
        name = item["image"].get("path")
        if not name:
            self.without_path += 1
            return f"{item.get('id')}{IMAGE_SUFFIX}"
        if not isinstance(name, str):
            raise CvatExportError(f"{where}: got the path {name!r}, expected text")
        return name

    def _instance(self, row: Mapping[str, Any], where: str, position: int) -> Instance | None:
        """The skeleton in a row; None, and counted, for everything else."""
        kind, label_id = row.get("type"), row.get("label_id")
        where = f"{where}: annotations[{position}] ({kind})"
        label = self._label(label_id, where)
        category = self.categories.get(label_id) if isinstance(label_id, int) else None
        if kind == "skeleton" and category is None:
            raise CvatExportError(f"{where}: got a skeleton of label {label!r}, which has no joints in 'categories'")
        joints = category.skeleton.joints if category and category.skeleton else ()
        if category is None or (kind != "skeleton" and not _is_keypoints(row, len(joints))):
            self.left_out[_CVAT_NAMES.get(str(kind), str(kind)), label] += 1
            return None
        xyv = _skeleton_xyv(row, len(joints), where) if kind == "skeleton" else _points_xyv(row, len(joints), where)
        return skeleton_instance(category, xyv, _shape_extra(row, joints, where), where)

    def _label(self, label_id: Any, where: str) -> str:
        if label_id is None:
            return ""
        if not isinstance(label_id, int) or not 0 <= label_id < len(self.labels):
            raise CvatExportError(f"{where}: got label_id {label_id!r}, expected 0 to {len(self.labels) - 1}")
        return self.labels[label_id]


def _labels(categories: Mapping[str, Any], where: str) -> list[str]:
    label = _mapping(categories.get("label", {}), f"{where}: categories.label")
    rows = _list(label.get("labels", []), f"{where}: categories.label.labels")
    return [str(_mapping(row, f"{where}: categories.label.labels").get("name", "")) for row in rows]


def _categories(categories: Mapping[str, Any], labels: Sequence[str], where: str) -> dict[int, Category]:
    """The labels with joints, in the labels' order."""
    where = f"{where}: categories.points"
    points = _mapping(categories.get("points", {}), where)
    found: dict[int, Category] = {}
    for row in _list(points.get("items", []), f"{where}.items"):
        row = _mapping(row, f"{where}.items")
        label_id = row.get("label_id")
        if not isinstance(label_id, int) or not 0 <= label_id < len(labels):
            raise CvatExportError(f"{where}: got label_id {label_id!r}, expected 0 to {len(labels) - 1}")
        joints = [str(joint) for joint in _list(row.get("labels"), f"{where}: labels of {labels[label_id]!r}")]
        edges = _edges(row.get("joints", []), f"{where}: joints of {labels[label_id]!r}")
        if joints:
            found[label_id] = skeleton_category(labels[label_id], joints, edges, where)
    return dict(sorted(found.items()))


def _edges(pairs: Any, where: str) -> list[tuple[int, int]]:
    """Edges that count from 1, as CVAT's files do. Other plug-ins of Datumaro count from 0: then a 0 shows it."""
    edges = []
    for pair in _list(pairs, where):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(end, int) for end in pair):
            raise CvatExportError(f"{where}: got {pair!r}, expected a pair of whole numbers")
        edges.append((pair[0], pair[1]))
    first = 0 if any(0 in edge for edge in edges) else 1
    return [(a - first + 1, b - first + 1) for a, b in edges]


def _is_keypoints(row: Mapping[str, Any], joints: int) -> bool:
    """Whether a row is a subject's joints, and not some points that happen to have its label."""
    points = row.get("points")
    return row.get("type") == "points" and isinstance(points, list) and len(points) == 2 * joints


def _skeleton_xyv(row: Mapping[str, Any], joints: int, where: str) -> npt.NDArray[np.float64]:
    return _numbers(row.get("points"), 3 * joints, f"{where}: points").reshape(joints, 3)


def _points_xyv(row: Mapping[str, Any], joints: int, where: str) -> npt.NDArray[np.float64]:
    xy = _numbers(row.get("points"), 2 * joints, f"{where}: points").reshape(joints, 2)
    visibility = _numbers(row.get("visibility", [2] * joints), joints, f"{where}: visibility")
    return np.column_stack([xy, visibility])


def _shape_extra(row: Mapping[str, Any], joints: Sequence[str], where: str) -> dict[str, Any]:
    extra: dict[str, Any] = {"attributes": dict(_mapping(row.get("attributes") or {}, f"{where}: attributes"))}
    for key, name in (("group", "group_id"), ("z_order", "z_order")):
        if row.get(key):
            extra[name] = row[key]
    by_joint = _list(row.get("points_attributes") or [], f"{where}: points_attributes")
    if named := {joint: values for joint, values in zip(joints, by_joint, strict=False) if values}:
        extra["joint_attributes"] = named
    return extra


def _numbers(values: Any, size: int, where: str) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CvatExportError(f"{where}: got no list of numbers, expected {size}: {error}") from error
    if array.shape != (size,):
        raise CvatExportError(f"{where}: got shape {array.shape}, expected {size} numbers")
    return array


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CvatExportError(f"{where}: got {type(value).__name__}, expected an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise CvatExportError(f"{where}: got {type(value).__name__}, expected a list")
    return value
