"""Labelled images spoilt in one way each, as footage is: what a model that has seen clean photographs makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from frame_tools.frame import RgbImage
from frame_tools.images import encode_image, read_image

Damage = Callable[[RgbImage, np.random.Generator], RgbImage]
TURNED = "turned by 90°"
_BLUR = 2 / 416  # sigma, of the longer side
_NOISE = 20.0
_DARKNESS = 0.3
_JPEG_QUALITY = 20


def write_damaged(labels: Path, images: Path, name: str, folder: Path) -> Path:
    """Write the images as PNG, so that nothing but the damage called `name` counts; the COCO file of their labels."""
    content = json.loads(labels.read_text())
    rows = {row["id"]: row for row in content["images"]}
    turned = name == TURNED
    for number, row in rows.items():
        pixels = read_image(images / row["file_name"]).pixels
        damaged = DAMAGES[name](pixels, np.random.default_rng(number))
        (folder / row["file_name"]).with_suffix(".png").write_bytes(encode_image(damaged, ".png"))
    annotations = [
        turn_labels(one, rows[one["image_id"]]["height"]) if turned else one for one in content["annotations"]
    ]
    path = folder / "labels.json"
    damaged_rows = [_renamed(row, turned) for row in rows.values()]
    path.write_text(json.dumps({**content, "images": damaged_rows, "annotations": annotations}))
    return path


def turn_labels(annotation: Mapping[str, Any], height: int) -> dict[str, Any]:
    """A COCO row as it is after the image of this height was turned clockwise: (x, y) lies at (height - y, x)."""
    x, y, box_width, box_height = annotation["bbox"]
    joints = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
    turned = np.column_stack([height - joints[:, 1], joints[:, 0], joints[:, 2]])
    turned[joints[:, 2] == 0] = 0
    return {**annotation, "bbox": [height - y - box_height, x, box_height, box_width], "keypoints": _flat(turned)}


def _renamed(row: Mapping[str, Any], turned: bool) -> dict[str, Any]:
    name = Path(row["file_name"]).with_suffix(".png").name
    size = {"width": row["height"], "height": row["width"]} if turned else {}
    return {**row, "file_name": name, **size}


def _flat(joints: np.ndarray) -> list[float]:
    return [value if column < 2 else int(value) for row in joints.tolist() for column, value in enumerate(row)]


def _unchanged(image: RgbImage, _: np.random.Generator) -> RgbImage:
    return image


def _blurred(image: RgbImage, _: np.random.Generator) -> RgbImage:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _BLUR * max(image.shape[:2])), np.uint8)


def _compressed(image: RgbImage, _: np.random.Generator) -> RgbImage:
    return read_image("compressed.jpg", encode_image(image, ".jpg", _JPEG_QUALITY)).pixels


def _noisy(image: RgbImage, random: np.random.Generator) -> RgbImage:
    return (image + random.normal(0, _NOISE, image.shape)).round().clip(0, 255).astype(np.uint8)


def _dark(image: RgbImage, _: np.random.Generator) -> RgbImage:
    return (image * _DARKNESS).round().astype(np.uint8)


def _coarse(image: RgbImage, _: np.random.Generator) -> RgbImage:
    height, width = image.shape[:2]
    half = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _turned(image: RgbImage, _: np.random.Generator) -> RgbImage:
    return np.ascontiguousarray(np.rot90(image, -1))


DAMAGES: Mapping[str, Damage] = {
    "as they are": _unchanged,
    "blur, sigma 2 px": _blurred,
    "JPEG, quality 20": _compressed,
    "noise, sigma 20": _noisy,
    "dark, × 0.3": _dark,
    "half resolution": _coarse,
    TURNED: _turned,
}
