"""The zip that CVAT imports, and its rules."""

from __future__ import annotations

import math
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from cvat_export.atomic import atomic_writer
from cvat_export.coco import ANNOTATION_FILE

_TOP_LEVEL_KEYS = {"images", "annotations", "categories", "info", "licenses"}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: no output holds a clock


def write_archive(folder: Path, file_names: Iterable[str], path: Path) -> None:
    """Zip a dataset folder's annotations and the named files of its images/, the same bytes every time."""
    with atomic_writer(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        _add(archive, folder, ANNOTATION_FILE, zipfile.ZIP_DEFLATED)
        for file_name in file_names:
            _add(archive, folder, f"images/{file_name}", zipfile.ZIP_STORED)


def _add(archive: zipfile.ZipFile, folder: Path, name: str, compression: int) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    source = folder / name
    entry.file_size = source.stat().st_size
    with source.open("rb") as reader, archive.open(entry, "w") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)


def colliding_names(file_names: Iterable[str]) -> dict[str, list[str]]:
    """Base names that several files share: CVAT, which matches images by base name, would mix them up."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in file_names:
        groups[PurePosixPath(name).stem].append(name)
    return {stem: names for stem, names in groups.items() if len(names) > 1}


def import_problems(content: Mapping[str, Any]) -> list[str]:
    """Why CVAT's import "COCO Keypoints 1.0" would fail on this JSON, or lose something silently. Empty: it will not.

    The rules are what CVAT 2.73 was seen to do.
    """
    problems = [f"unknown top-level key {key!r}" for key in content if key not in _TOP_LEVEL_KEYS]
    names = [image["file_name"] for image in content["images"]]
    problems += [f"images {' and '.join(files)} share one base name" for files in colliding_names(names).values()]
    problems += [f"image {name}: is in a folder, CVAT matches base names only" for name in names if "/" in name]
    for category in content["categories"]:
        if not category.get("keypoints") or "skeleton" not in category:
            problems.append(f"category {category['name']!r}: 'keypoints' or 'skeleton' is missing")
    for kind in ("images", "annotations", "categories"):
        ids = [row["id"] for row in content[kind]]
        if len(set(ids)) != len(ids) or any(not isinstance(i, int) or i < 1 for i in ids):
            problems.append(f"{kind}: ids must be different whole numbers from 1")
    image_ids = {image["id"] for image in content["images"]}
    category_ids = {category["id"] for category in content["categories"]}
    for row in content["annotations"]:
        problems += [f"annotation {row['id']}: {problem}" for problem in _row_problems(row, image_ids, category_ids)]
    return problems


def _row_problems(row: Mapping[str, Any], image_ids: set[int], category_ids: set[int]) -> Iterable[str]:
    if row["image_id"] not in image_ids:
        yield f"image_id {row['image_id']} is no image's: CVAT drops it silently"
    if row["category_id"] not in category_ids:
        yield f"category_id {row['category_id']} is no category's"
    if row.get("segmentation") != []:
        yield "segmentation must be []: CVAT makes an extra shape of a polygon and fails on null"
    if len(row.get("bbox", ())) != 4:
        yield "bbox must be four numbers"
    if not all(math.isfinite(number) for number in (*row.get("bbox", ()), *row.get("keypoints", ()))):
        yield "NaN or infinity"
    if not 0 <= row.get("score", 0) <= 1:
        yield f"score {row['score']} is not in 0..1"
