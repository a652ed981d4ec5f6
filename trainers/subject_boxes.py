"""The box that a subject is trained with: its own, or that of its joints where a file has none."""

from __future__ import annotations

import numpy as np

from cvat_export.dataset import LabelledImage
from cvat_export.labels import FloatArray, Instance, hull_xyxy
from trainers.problem import Problem

HULL_GROWTH = 0.1  # of a hull's longer side, on each side: what boxes of COCO's and LSP's people have beyond it
HULL_PX = 0.05  # a box this near to the hull is the hull: CVAT writes it for every skeleton, to two decimals


def box_problem(instance: Instance, image: LabelledImage, number: int) -> Problem | None:
    width, height = (float(value) for value in instance.bbox_xyxy[2:] - instance.bbox_xyxy[:2])
    if min(width, height) >= 0:
        return None
    text = f"its box is {width:g}×{height:g} px, expected a width and a height of at least 0"
    fix = "write [x, y, width, height], not two corners, or export again"
    return Problem("negative_box", "error", text, fix, image.file_name, number)


def training_box(instance: Instance, image: LabelledImage) -> tuple[FloatArray | None, str]:
    """The box to train with, or None, and why it is not simply the instance's own."""
    if instance.is_crowd:
        return None, "crowd left out"
    if not instance.labelled.any():
        return None, "subject without a labelled joint left out"
    hull = hull_xyxy(instance.xy, instance.labelled)
    drawn = bool((instance.bbox_xyxy[2:] > instance.bbox_xyxy[:2]).all())
    if drawn and float(np.abs(hull - instance.bbox_xyxy).max()) > HULL_PX:
        return instance.bbox_xyxy, ""
    longer = float((hull[2:] - hull[:2]).max())
    if longer < 1:
        return None, "subject without a box and with its joints in one point left out"
    grown = hull + np.array([-1, -1, 1, 1], np.float32) * np.float32(HULL_GROWTH * longer)
    size = np.array([image.width, image.height] * 2, np.float32)
    inside = np.clip(grown, 0, size)
    box = inside if (inside[2:] > inside[:2]).all() else grown
    return (
        box,
        f"subject without a box of its own: the hull of its joints is taken, {HULL_GROWTH:.0%} larger on each side",
    )
