"""Dataset <-> COCO person_keypoints JSON. What this toolkit does not know survives the round trip."""

from __future__ import annotations

import json
import math
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.safe_zip import open_zip
from cvat_export.skeleton import Skeleton, canonical_name, embedded_skeletons, guess_flip_pairs, read_skeleton

ANNOTATION_FILE = "annotations/person_keypoints_default.json"  # where CVAT looks for it

_FAR_PX = 1e9
_IMAGE_KEYS = {"file_name", "width", "height"}
_CATEGORY_KEYS = {"name", "keypoints", "skeleton"}
_ANNOTATION_KEYS = {"image_id", "category_id", "bbox", "keypoints", "num_keypoints", "iscrowd", "score"}


def read_coco(path: Path) -> Dataset:
    """The dataset in a JSON file, a zip, or a folder with annotations/*.json. Raises CvatExportError."""
    where, text = _annotation_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CvatExportError(f"{where}: is not JSON: {error}") from error
    return parse_coco(content, where)


def parse_coco(content: Any, where: str) -> Dataset:
    """A dataset from decoded JSON; `where` names the file in errors. Raises CvatExportError."""
    try:
        return _parse(content, where)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CvatExportError(f"{where}: holds a value of another type than COCO's: {error}") from error


def _parse(content: Any, where: str) -> Dataset:
    if not isinstance(content, Mapping):
        raise CvatExportError(
            f"{where}: got a {type(content).__name__}, expected an object with images and annotations"
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise CvatExportError(f"{where}: '{key}' is missing or not a list, expected a COCO keypoints file")
    categories = {_required(row, "id", f"{where}: categories"): _category(row, where) for row in content["categories"]}
    instances: dict[Any, list[Instance]] = defaultdict(list)
    for position, row in enumerate(content["annotations"]):
        place = f"{where}: annotations[{position}] (id {row.get('id') if isinstance(row, Mapping) else '?'})"
        instances[_required(row, "image_id", place)].append(_instance(row, categories, place))
    images = []
    for position, row in enumerate(content["images"]):
        place = f"{where}: images[{position}]"
        found = instances.pop(_required(row, "id", place), [])
        images.append(_image(row, found, place))
    if instances:
        stranger = next(iter(instances))
        raise CvatExportError(
            f"{where}: {sum(map(len, instances.values()))} annotations belong to no image; first image_id {stranger!r}"
        )
    extra = {key: value for key, value in content.items() if key not in ("images", "annotations", "categories")}
    return Dataset(tuple(categories.values()), tuple(images), extra)


def format_coco(dataset: Dataset) -> dict[str, Any]:
    """The dataset as plain lists and mappings, as CVAT wants them: ids from 1, coordinates to two decimals.

    Ids that a file brought along are kept.
    """
    category_ids = dict(zip((c.name for c in dataset.categories), _ids(dataset.categories), strict=True))
    images, annotations = [], []
    annotation_ids = iter(_ids([instance for image in dataset.images for instance in image.instances]))
    for image_id, image in zip(_ids(dataset.images), dataset.images, strict=True):
        size = {"file_name": image.file_name, "width": image.width, "height": image.height}
        images.append({"id": image_id, **size, **_without_id(image.extra)})
        for position, instance in enumerate(image.instances):
            place = f"{image.file_name}, instance {position}"
            ids = {"image_id": image_id, "category_id": category_ids[instance.category]}
            annotations.append({"id": next(annotation_ids), **ids, **_format_instance(instance, place)})
    categories = [{"id": category_ids[category.name], **_format_category(category)} for category in dataset.categories]
    return {**dataset.extra, "images": images, "annotations": annotations, "categories": categories}


def encode_coco(dataset: Dataset) -> bytes:
    """The dataset as the bytes of a JSON file: the same dataset gives the same bytes."""
    return json.dumps(format_coco(dataset), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _annotation_text(path: Path) -> tuple[str, str]:
    """Where the annotations of a dataset are, and their text."""
    try:
        if path.is_dir():
            found = sorted((path / "annotations").glob("*.json"))
            path = path / _only([str(file.relative_to(path)) for file in found], path)
        elif zipfile.is_zipfile(path):
            with open_zip(path) as archive:
                name = _only([n for n in archive.names if n.startswith("annotations/") and n.endswith(".json")], path)
                return f"{path}:{name}", archive.read(name).decode("utf-8-sig")
        return str(path), path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise CvatExportError(f"{path}: no such file; expected a COCO .json, a .zip or a dataset folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CvatExportError(f"{path}: cannot be read as a COCO file: {error}") from error


def _only(names: Sequence[str], path: Path) -> str:
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise CvatExportError(f"{path}: expected one annotations/*.json, got {listed}; name the file itself")
    return names[0]


def _category(row: Mapping[str, Any], where: str) -> Category:
    name = str(_required(row, "name", f"{where}: categories"))
    extra = {key: value for key, value in row.items() if key not in _CATEGORY_KEYS}
    joints = row.get("keypoints")
    if not joints:
        return Category(name, None, extra)
    edges = tuple((int(a) - 1, int(b) - 1) for a, b in row.get("skeleton") or [])
    try:
        skeleton = Skeleton(name, tuple(map(str, joints)), edges)
    except CvatExportError as error:
        raise CvatExportError(f"{where}: {error}") from error
    return Category(name, _recognise(skeleton), extra)


def _recognise(skeleton: Skeleton) -> Skeleton:
    """The skeleton with what COCO files leave out: pairs and sigmas, from the embedded one with the same joints."""
    names = [canonical_name(joint) for joint in skeleton.joints]
    for known in _known_skeletons():
        if [canonical_name(joint) for joint in known.joints] == names:
            return replace(
                skeleton,
                flip_pairs=known.flip_pairs,
                sigmas=known.sigmas,
                edges=skeleton.edges or known.edges,
            )
    return replace(skeleton, flip_pairs=guess_flip_pairs(skeleton.joints))


@cache
def _known_skeletons() -> tuple[Skeleton, ...]:
    return tuple(map(read_skeleton, embedded_skeletons()))


def _image(row: Mapping[str, Any], instances: Iterable[Instance], where: str) -> LabelledImage:
    return LabelledImage(
        file_name=str(_required(row, "file_name", where)),
        width=int(_required(row, "width", where)),
        height=int(_required(row, "height", where)),
        instances=tuple(instances),
        extra={key: value for key, value in row.items() if key not in _IMAGE_KEYS},
    )


def _instance(row: Mapping[str, Any], categories: Mapping[Any, Category], where: str) -> Instance:
    category = categories.get(_required(row, "category_id", where))
    if category is None:
        known = ", ".join(map(str, categories))
        raise CvatExportError(f"{where}: got category_id {row['category_id']!r}, expected one of: {known}")
    joints = len(category.skeleton.joints) if category.skeleton else 0
    keypoints = row.get("keypoints") if joints else None
    triples = _numbers(keypoints if keypoints is not None else [0] * (3 * joints), 3 * joints, f"{where}: keypoints")
    x, y, width, height = _numbers(_required(row, "bbox", where), 4, f"{where}: bbox")
    xyv = triples.reshape(-1, 3)
    if not np.isin(xyv[:, 2], (0, 1, 2)).all():
        raise CvatExportError(f"{where}: keypoints: got a visibility of {xyv[:, 2].max():g}, expected 0, 1 or 2")
    return Instance(
        category=category.name,
        bbox_xyxy=np.array([x, y, x + width, y + height], np.float32),
        xy=xyv[:, :2].astype(np.float32),
        visibility=xyv[:, 2].astype(np.uint8),
        score=None if row.get("score") is None else float(row["score"]),
        is_crowd=bool(row.get("iscrowd", 0)),
        extra={key: value for key, value in row.items() if key not in _ANNOTATION_KEYS},
    )


def _numbers(values: Any, size: int, where: str) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CvatExportError(f"{where}: expected {size} numbers: {error}") from error
    if array.shape != (size,):
        raise CvatExportError(f"{where}: got {array.size} numbers, expected {size}")
    if not (np.abs(array) < _FAR_PX).all():
        raise CvatExportError(f"{where}: holds NaN, infinity or a coordinate beyond {_FAR_PX:g}")
    return array


def _required(row: Any, key: str, where: str) -> Any:
    if not isinstance(row, Mapping) or key not in row:
        raise CvatExportError(f"{where}: {key!r} is missing")
    return row[key]


def _format_category(category: Category) -> dict[str, Any]:
    row: dict[str, Any] = {"name": category.name, "supercategory": ""}
    if category.skeleton is not None:
        row["keypoints"] = list(category.skeleton.joints)
        row["skeleton"] = [[a + 1, b + 1] for a, b in category.skeleton.edges]
    return {**row, **_without_id(category.extra)}


def _format_instance(instance: Instance, where: str) -> dict[str, Any]:
    x1, y1, x2, y2 = (_rounded(value, where) for value in instance.bbox_xyxy)
    width, height = round(x2 - x1, 2), round(y2 - y1, 2)
    row: dict[str, Any] = {"bbox": [x1, y1, width, height], "area": round(width * height, 2), "segmentation": []}
    row["iscrowd"] = int(instance.is_crowd)
    if len(instance.visibility):
        pairs = zip(instance.xy, instance.visibility, strict=True)
        row["keypoints"] = [n for (x, y), v in pairs for n in (_rounded(x, where), _rounded(y, where), int(v))]
        row["num_keypoints"] = int(instance.labelled.sum())
    if instance.score is not None:
        row["score"] = round(instance.score, 4)
    return {**row, **_without_id(instance.extra)}


def _without_id(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in extra.items() if key != "id"}


def _rounded(value: float, where: str) -> float:
    """A coordinate as files hold it: two decimals, as CVAT stores it."""
    if not math.isfinite(value):
        raise CvatExportError(f"{where}: a coordinate is {value}, expected a number")
    return round(float(value), 2)


def _ids(values: Sequence[Category | LabelledImage | Instance]) -> list[int]:
    """An id for each: its own where it brought a valid one along that nobody before it has, else a free one."""
    owners: dict[int, int] = {}
    for position, value in enumerate(values):
        own = value.extra.get("id")
        if isinstance(own, int) and own > 0:
            owners.setdefault(own, position)
    kept = {position: own for own, position in owners.items()}
    free = (number for number in count(1) if number not in owners)
    return [kept[position] if position in kept else next(free) for position in range(len(values))]
