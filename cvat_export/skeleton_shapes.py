"""What the shapes of an export become: a skeleton is an instance, everything else is counted and named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cvat_export.coco import parse_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance, hull_xyxy
from cvat_export.safe_zip import name_problem

LeftOut = Counter[tuple[str, str]]  # (kind of shape, label) -> how many


def skeleton_category(name: str, joints: Sequence[str], edges: Iterable[tuple[int, int]], where: str) -> Category:
    """A category as a COCO file with these joints gives it; `edges` count joints from 1."""
    if not joints:
        raise CvatExportError(f"{where}: label {name!r}: got no joints, expected at least one")
    row = {"id": 1, "name": name, "keypoints": list(joints), "skeleton": [list(edge) for edge in edges]}
    (category,) = parse_coco({"images": [], "annotations": [], "categories": [row]}, where).categories
    return replace(category, extra={})


def skeleton_instance(
    category: Category, xyv: npt.NDArray[np.float64], extra: Mapping[str, Any], where: str
) -> Instance:
    """xyv: (joints, 3), pixels and visibility. The box is the hull of the labelled joints, 0 where there are none."""
    with np.errstate(over="ignore"):
        xy = xyv[:, :2].astype(np.float32)
    if not np.isfinite(xy).all():
        raise CvatExportError(f"{where}: got a coordinate that is NaN or infinite, expected pixels")
    if not np.isin(xyv[:, 2], (0, 1, 2)).all():
        raise CvatExportError(f"{where}: got a visibility of {xyv[:, 2].max():g}, expected 0, 1 or 2")
    labelled = xyv[:, 2] > 0
    bbox_xyxy = hull_xyxy(xy, labelled) if labelled.any() else np.zeros(4, np.float32)
    return Instance(category.name, bbox_xyxy, xy, xyv[:, 2].astype(np.uint8), extra=extra)


def labelled_image(
    file_name: str, size: tuple[Any, Any], instances: Sequence[Instance], extra: Mapping[str, Any], where: str
) -> LabelledImage:
    """size: width and height as the file has them."""
    try:
        width, height = (int(number) for number in size)
    except (TypeError, ValueError, OverflowError) as error:
        raise CvatExportError(f"{where}: got size {size!r}, expected width and height in pixels") from error
    if min(width, height) < 1:
        raise CvatExportError(f"{where}: got {width}x{height} pixels, expected at least one")
    return LabelledImage(file_name, width, height, tuple(instances), extra)


def check_file_names(dataset: Dataset, where: str) -> None:
    """Image names are paths that others will join to a folder: none may lead out of it. Raises CvatExportError."""
    for image in dataset.images:
        if problem := name_problem(image.file_name):
            raise CvatExportError(
                f"{where}: image {image.file_name!r}: got {problem}, expected a path inside the images' folder; "
                "rename the image and export again"
            )


def left_out_notes(left_out: LeftOut) -> tuple[str, ...]:
    """What was present and not taken, one line a kind and label."""
    return tuple(f"not taken: {count} x {kind}, label {label!r}" for (kind, label), count in sorted(left_out.items()))


def join_subsets(parts: Sequence[tuple[str, Dataset]], where: str) -> Dataset:
    """One dataset of a project's subsets (name, content), which have a file each; Image.extra names the subset."""
    _, first = parts[0]
    if len(parts) == 1:
        return first
    expected = _joints(first)
    for name, part in parts:
        if _joints(part) != expected:
            raise CvatExportError(
                f"{where}: subset {name!r}: got categories {_joints(part)}, expected {expected} as in the first; "
                "export the tasks one by one"
            )
    images = [replace(image, extra={**image.extra, "subset": name}) for name, part in parts for image in part.images]
    return Dataset(first.categories, tuple(images), first.extra)


def _joints(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {c.name: c.skeleton.joints if c.skeleton else () for c in dataset.categories}
