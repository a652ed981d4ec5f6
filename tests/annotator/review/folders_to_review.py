"""Small folders of each kind that a review reads, with real pictures and known mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from annotator.predictions import FrameSource, ModelIdentity, Prediction
from cvat_export.atomic import write_bytes, write_json_lines
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Boxes, Instance, Keypoints
from cvat_export.skeleton import Skeleton, read_skeleton
from frame_tools.images import encode_image

WIDTH, HEIGHT = 160, 120
SKELETON = read_skeleton("coco17")
SHA256 = "ab12cd34" + "0" * 56
MODEL = ModelIdentity("tiny", "f" * 64)


def frame_name(number: int) -> str:
    return f"walk-{SHA256[:8]}-{number * 100}.jpg"


def person(x: float, y: float, scale: float = 1.0, **changes: object) -> Instance:
    """A standing person, seen from the front: left joints lie on the right of the picture."""
    across = np.where([side == "left" for side in SKELETON.sides], 6.0, -6.0)
    across[0] = 0.0
    down = np.array([0, -2, -2, 0, 0, 10, 10, 20, 20, 30, 30, 30, 30, 42, 42, 54, 54], float)
    xy = np.stack([x + scale * across, y + scale * down], axis=1)
    box = np.array([x - 10 * scale, y - 5 * scale, x + 10 * scale, y + 57 * scale])
    one = Instance("person", box, xy, np.full(17, 2), 0.9, np.full(17, 0.8))
    return replace(one, **changes)


def swapped(one: Instance) -> Instance:
    """Left and right exchanged."""
    return replace(one, xy=one.xy[list(SKELETON.flip_order)])


def write_proposed(folder: Path, people: dict[str, tuple[Instance, ...]], skeleton: Skeleton = SKELETON) -> Path:
    """What preannotate writes, as far as a review reads it."""
    images = tuple(LabelledImage(name, WIDTH, HEIGHT, instances) for name, instances in people.items())
    dataset = Dataset((Category("person", skeleton),), images)
    (folder / "images").mkdir(parents=True)
    (folder / ANNOTATION_FILE).parent.mkdir()
    write_bytes(folder / ANNOTATION_FILE, encode_coco(dataset))
    for number, name in enumerate(people):
        pixels = cv2.applyColorMap(np.full((HEIGHT, WIDTH), 20 * number % 256, np.uint8), cv2.COLORMAP_BONE)
        write_bytes(folder / "images" / name, encode_image(pixels, ".jpg"))
    write_json_lines(folder / "predictions.jsonl", [_prediction(image) for image in images])
    return folder


def _prediction(image: LabelledImage) -> dict:
    one = image.instances
    boxes = Boxes(
        np.reshape([i.bbox_xyxy for i in one], (-1, 4)), np.array([i.score for i in one]), ("person",) * len(one)
    )
    joints = Keypoints.empty(17)
    if one:
        joints = Keypoints(
            *(np.stack([getattr(i, name) for i in one]) for name in ("xy", "joint_scores", "visibility"))
        )
    pts = int(image.file_name.rpartition("-")[2].removesuffix(".jpg"))
    source = FrameSource(SHA256, pts, "1/1000")
    return Prediction(image.file_name, WIDTH, HEIGHT, source, boxes, joints).to_json(MODEL, MODEL)
