"""Small labelled datasets on disk, whole or with one thing wrong."""

import copy
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

JOINTS = ["nose", "left_ear", "right_ear", "tail"]
CATEGORY = {"id": 1, "name": "mouse", "keypoints": JOINTS, "skeleton": [[1, 2], [1, 3], [1, 4]]}
SIZE = (64, 48)


def subject(number, image, x=10.0, **more):
    """A row of COCO: a subject 20 px long with all joints."""
    keypoints = [x, 10, 2, x + 6, 14, 2, x + 6, 8, 1, x + 20, 12, 2]
    row = {"id": number, "image_id": image, "category_id": 1, "bbox": [x - 2, 4, 26, 16], "iscrowd": 0}
    return {**row, "keypoints": keypoints, "num_keypoints": 4, **more}


def content(names):
    """A subject in each image of these names."""
    return {
        "images": [{"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(names, 1)],
        "annotations": [subject(n, n) for n, _ in enumerate(names, 1)],
        "categories": [copy.deepcopy(CATEGORY)],
    }


def write_image(path: Path, seed=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def write_json(folder: Path, labels, name="annotations/labels.json"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(labels))
    return path


def write_folder(folder: Path, names=("a.png", "b.png", "c.png"), labels=None, seed=0):
    """images/ and annotations/labels.json; gives the folder."""
    write_json(folder, content(names) if labels is None else labels)
    for number, name in enumerate(names):
        write_image(folder / "images" / name, seed + number)
    return folder


def write_zip(path: Path, folder: Path, images=True):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and (images or file.suffix == ".json"):
                archive.write(file, file.relative_to(folder).as_posix())
    return path
