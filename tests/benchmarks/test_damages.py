"""Damaged images keep their size and the place of what is in them."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.released.damages import DAMAGES, TURNED, turn_labels, write_damaged
from frame_tools.images import encode_image, read_image

WIDTH, HEIGHT = 61, 40
DOT = (13, 29)  # the corner at which four bright pixels meet


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A COCO file, in whose image a dot is drawn on the one labelled joint and at the middle of the box."""
    pixels = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pixels[DOT[1] - 4 : DOT[1] + 4, DOT[0] - 4 : DOT[0] + 4] = 250
    (tmp_path / "dot.jpg").write_bytes(encode_image(pixels, ".jpg", 100))
    annotation = {"id": 1, "image_id": 5, "category_id": 1, "iscrowd": 0, "area": 64}
    annotation |= {"bbox": [DOT[0] - 4, DOT[1] - 4, 8, 8], "keypoints": [*DOT, 2, 0, 0, 0]}
    image = {"id": 5, "file_name": "dot.jpg", "width": WIDTH, "height": HEIGHT, "all_people_listed": True}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": [image], "annotations": [annotation], "categories": [{"id": 1}]}))
    return path


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_labelled_is_where_the_label_says(labelled, name, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    content = json.loads(write_damaged(labelled, tmp_path, name, folder).read_text())
    (image,), (annotation,) = content["images"], content["annotations"]
    pixels = read_image(folder / image["file_name"]).pixels.astype(float).mean(axis=2)
    assert pixels.shape == (image["height"], image["width"])
    assert image["all_people_listed"]
    bright = pixels > (pixels.max() + np.median(pixels)) / 2
    rows, columns = np.nonzero(bright)
    middle = (columns.mean() + 0.5, rows.mean() + 0.5)
    assert annotation["keypoints"][:2] == pytest.approx(middle, abs=0.3)
    assert annotation["keypoints"][2:] == [2, 0, 0, 0]
    x, y, width, height = annotation["bbox"]
    assert (x + width / 2, y + height / 2) == pytest.approx(middle, abs=0.3)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_one_and_the_same_each_time(name):
    clean = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    first, second = (DAMAGES[name](clean, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(first, clean) == (name == "as they are")


def test_four_turns_are_none():
    row = {"bbox": [3.0, 5.0, 10.0, 20.0], "keypoints": [4.5, 6.5, 2, 0.0, 0.0, 0]}
    turned, height, width = row, HEIGHT, WIDTH
    for _ in range(4):
        turned, height, width = turn_labels(turned, height), width, height
    assert turned == row
    assert turn_labels(row, HEIGHT) != row


def test_only_the_turn_changes_sides(labelled, tmp_path):
    sizes = {}
    for name in DAMAGES:
        folder = tmp_path / name.replace(" ", "")
        folder.mkdir()
        (image,) = json.loads(write_damaged(labelled, tmp_path, name, folder).read_text())["images"]
        sizes[name] = (image["width"], image["height"])
    assert {name for name, size in sizes.items() if size == (HEIGHT, WIDTH)} == {TURNED}
    assert set(sizes.values()) == {(WIDTH, HEIGHT), (HEIGHT, WIDTH)}
