"""What people downloaded from CVAT, in whichever of three formats, recognised by its content -> Dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cvat_export import cvat_images_xml, datumaro_json
from cvat_export.coco import parse_coco
from cvat_export.dataset import Dataset
from cvat_export.errors import CvatExportError
from cvat_export.label_files import LabelFile, open_label_files
from cvat_export.skeleton_shapes import LeftOut, check_file_names, join_subsets, left_out_notes

COCO_KEYPOINTS = "COCO Keypoints 1.0"
FORMATS = (COCO_KEYPOINTS, cvat_images_xml.FORMAT, datumaro_json.FORMAT)

_COCO_KEYS = ("images", "annotations", "categories")
_LISTED = 5  # files that an error names


@dataclass(frozen=True)
class Export:
    """What was read. format: one of FORMATS. notes: everything that was present and not taken, and what was guessed."""

    dataset: Dataset
    format: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """One label file."""

    subset: str
    format: str
    dataset: Dataset
    notes: tuple[str, ...]


def read_export(path: Path, needs_joints: bool = True) -> Export:
    """The labels of a zip, of the folder it was unzipped to, or of its one file.

    needs_joints: whether a file without a label that has joints is refused. Raises CvatExportError.
    """
    parts, strangers = [], []
    with open_label_files(path) as files:
        for file in files:
            part = _parse_xml(file) if file.kind == "XML" else _parse_json(file)
            if isinstance(part, _Part):
                if needs_joints:
                    _check_skeletons(part.dataset, file.where)
                parts.append(part)
            else:
                strangers.append(f"{file.name} ({part})")
    found = sorted({part.format for part in parts})
    if len(found) != 1:
        got = _listed([*found, *strangers]) or "no labels in XML or JSON"
        raise CvatExportError(
            f"{path}: got {got}, expected one of: {', '.join(FORMATS)}; "
            "choose one of these in CVAT under 'Export dataset'"
        )
    dataset = join_subsets([(part.subset, part.dataset) for part in parts], str(path))
    notes = [note for part in parts for note in part.notes] + [f"not read: {stranger}" for stranger in strangers]
    return Export(dataset, found[0], (*notes, *_shared_names(dataset)))


def _parse_xml(file: LabelFile) -> _Part | str:
    """The part that an XML file is, or what it is instead. Where no root is seen, the parser says why."""
    if file.root_tag not in (cvat_images_xml.ROOT, None):
        return f"XML with the root <{file.root_tag}>"
    dataset, notes = cvat_images_xml.parse_cvat_images(file.stream(), file.where)
    return _Part(PurePosixPath(file.name).stem, cvat_images_xml.FORMAT, dataset, notes)


def _parse_json(file: LabelFile) -> _Part | str:
    content = file.read_json()
    stem = PurePosixPath(file.name).stem
    if datumaro_json.is_datumaro(content):
        dataset, notes = datumaro_json.parse_datumaro(content, file.where)
        return _Part(stem, datumaro_json.FORMAT, dataset, notes)
    if isinstance(content, Mapping) and all(isinstance(content.get(key), list) for key in _COCO_KEYS):
        dataset, notes = _parse_coco(content, file.where)
        return _Part(stem.removeprefix("person_keypoints_"), COCO_KEYPOINTS, dataset, notes)
    return f"JSON with the keys {_listed(list(content)) or 'none'}"


def _parse_coco(content: Mapping[str, Any], where: str) -> tuple[Dataset, tuple[str, ...]]:
    dataset = parse_coco(content, where)
    check_file_names(dataset, where)
    names = {row["id"]: row["name"] for row in content["categories"]}
    left_out: LeftOut = Counter()
    for row in content["annotations"]:
        label = str(names[row["category_id"]])
        if row.get("segmentation"):
            left_out["segmentation", label] += 1
        if row.get("keypoints") and dataset.category(label).skeleton is None:
            left_out["keypoints of a label without joints", label] += 1
    return dataset, left_out_notes(left_out)


def _check_skeletons(dataset: Dataset, where: str) -> None:
    if not any(category.skeleton for category in dataset.categories):
        names = ", ".join(category.name for category in dataset.categories) or "none"
        raise CvatExportError(
            f"{where}: got no label with joints (labels: {names}), expected a skeleton; "
            f"export a task with skeletons, for COCO as {COCO_KEYPOINTS}"
        )


def _shared_names(dataset: Dataset) -> tuple[str, ...]:
    counts = Counter((image.extra.get("subset"), image.file_name) for image in dataset.images)
    shared = [name for (_, name), count in counts.items() if count > 1]
    return (f"{len(shared)} names stand for several images each, such as {shared[0]!r}",) if shared else ()


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
