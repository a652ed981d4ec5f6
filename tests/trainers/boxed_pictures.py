"""Pictures of bright rectangles on noise, with their boxes as COCO's labels."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOUR = (250, 40, 40)
NOISE = 90  # brightest grey of the background


def write_pictures(folder: Path, count: int, size=(120, 90), seed=0, most=3, joints=()) -> Path:
    """Write images and labels.json, and give its path. Every fourth image is empty. joints: names, if any."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(1, count + 1):
        pixels = random.integers(0, NOISE, (size[1], size[0], 3)).astype(np.uint8)
        for box in _boxes(random, size, 0 if number % 4 == 0 else random.integers(1, most + 1)):
            x, y, width, height = box
            pixels[y : y + height, x : x + width] = COLOUR
            row = {"id": len(rows) + 1, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0}
            rows.append({**row, "area": width * height, **_keypoints(box, joints)})
        Image.fromarray(pixels).save(folder / "images" / f"{number:04}.png")
    images = [{"id": n, "file_name": f"{n:04}.png", "width": size[0], "height": size[1]} for n in range(1, count + 1)]
    category = {"id": 1, "name": "brick", **({"keypoints": list(joints), "skeleton": []} if joints else {})}
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": rows, "categories": [category]}))
    return path


def painted_box(pixels) -> list[int]:
    """x1, y1, x2, y2 around everything of the rectangles' colour."""
    y, x = np.nonzero((pixels[..., 0] > 160) & (pixels[..., 1] < 120))
    return [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]


def _boxes(random, size, count):
    """Apart from each other, so that each is seen whole."""
    columns = random.permutation(3)[:count]
    for column in columns:
        width, height = (int(side) for side in random.integers(14, 34, 2))
        yield [
            int(column * size[0] // 3 + random.integers(0, 6)),
            int(random.integers(0, size[1] - height)),
            width,
            height,
        ]


def _keypoints(box, joints):
    if not joints:
        return {}
    x, y, width, height = box
    places = [(x + width * (n + 1) / (len(joints) + 1), y + height / 2, 2) for n in range(len(joints))]
    return {"keypoints": [value for place in places for value in place], "num_keypoints": len(joints)}
