"""Small labelled data that tests draw: discs of known colours on a plain ground, one colour a joint."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton
from trainers.image_files import ImageRef
from trainers.label_sources import Sample

DOTS = Skeleton(
    "dots",
    ("left_eye", "right_eye", "nose"),
    edges=((0, 2), (1, 2)),
    flip_pairs=((0, 1),),
)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def draw_dots(xy: np.ndarray, size: tuple[int, int] = (160, 120), radius: float = 4) -> np.ndarray:
    """A picture of (width, height) with a disc at each joint."""
    canvas = np.full((size[1], size[0], 3), 60, np.uint8)
    for joint, colour in zip(xy, COLOURS, strict=True):
        centre = tuple(round(float(value - 0.5) * 16) for value in joint)
        cv2.circle(canvas, centre, round(radius * 16), colour, -1, cv2.LINE_AA, 4)
    return canvas


def dot_sample(folder: Path, number: int, random: np.random.Generator, box: bool = True) -> Sample:
    """A sample with its image written to `folder`."""
    centre = random.uniform((60, 45), (100, 75))
    xy = (centre + np.array([[12, -8], [-12, -8], [0, 10]]) + random.uniform(-5, 5, (3, 2))).astype(np.float32)
    path = folder / f"dots_{number:03d}.png"
    cv2.imwrite(str(path), draw_dots(xy)[..., ::-1])
    low, high = xy.min(axis=0) - 12, xy.max(axis=0) + 12
    instance = Instance("face", np.concatenate([low, high]), xy, np.full(3, 2, np.uint8))
    return Sample(ImageRef(path), path.name, f"image {path.name}", instance, 1.0)


def write_dots(folder: Path, count: int, seed: int = 0, name: str = "labels.json", occluded: bool = False) -> Path:
    """A COCO file of `count` images in `folder`/images; with `occluded` every other nose is occluded."""
    random = np.random.default_rng(seed)
    images_folder = folder / "images"
    images_folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        sample = dot_sample(images_folder, number + 1000 * seed, random)
        visibility = [2, 2, 1 if occluded and number % 2 else 2]
        keypoints = [
            value for (x, y), v in zip(sample.instance.xy.tolist(), visibility, strict=True) for value in (x, y, v)
        ]
        x1, y1, x2, y2 = sample.instance.bbox_xyxy.tolist()
        images.append({"id": number, "file_name": sample.file_name, "width": 160, "height": 120})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "keypoints": keypoints,
                "num_keypoints": 3,
            }
        )
    category = {"id": 1, "name": "face", "keypoints": list(DOTS.joints), "skeleton": [[1, 3], [2, 3]]}
    path = folder / name
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path
