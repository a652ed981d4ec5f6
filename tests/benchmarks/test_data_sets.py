"""Which images the released models are measured on."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.released.data_sets import read_boxes, standing_people, without_people, write_part
from frame_tools.images import encode_image
from recipes.derive import STANDING_TEST


def test_a_part_has_its_own_subjects_and_everything_else(tmp_path):
    labels = _write_labels(tmp_path / "labels.json", 4)
    content = json.loads(write_part(labels, {"1.jpg", "3.jpg"}, tmp_path / "part.json").read_text())
    assert [row["file_name"] for row in content["images"]] == ["1.jpg", "3.jpg"]
    assert [row["image_id"] for row in content["annotations"]] == [101, 103]
    assert content["categories"] == [{"id": 1, "name": "person"}]


@pytest.mark.parametrize(("limit", "count"), [(None, STANDING_TEST), (STANDING_TEST + 10, STANDING_TEST), (7, 7)])
def test_of_standing_people_the_first_in_the_files_order(tmp_path, limit, count):
    annotations = tmp_path / "standing_people" / "annotations"
    annotations.mkdir(parents=True)
    _write_labels(annotations / "person_keypoints.json", STANDING_TEST + 20)
    labelled = standing_people(tmp_path, tmp_path, limit)
    images = json.loads(labelled.source.path.read_text())["images"]
    assert [row["file_name"] for row in images] == [f"{number}.jpg" for number in range(count)]
    assert labelled.source.images == tmp_path / "standing_people" / "images"


def test_frames_of_a_video_are_resampled_in_stretches(tmp_path):
    files = [tmp_path / f"{number:02}.png" for number in range(25)]
    for path in files:
        path.write_bytes(encode_image(np.zeros((6, 9, 3), np.uint8), ".png"))
    groups = [image.group for image in without_people(files, stretches=10).images]
    assert sorted(set(map(int, groups))) == list(range(10))
    assert list(map(int, groups)) == sorted(map(int, groups))
    assert len({image.group for image in without_people(files).images}) == 25
    assert {image.size for image in without_people(files).images} == {(9, 6)}


@pytest.mark.shared_data
def test_standing_people_are_one_a_picture(shared_data, tmp_path):
    boxed = read_boxes(standing_people(shared_data, tmp_path))
    assert [len(image.bbox_xyxy) for image in boxed.images] == [1] * STANDING_TEST


def _write_labels(path: Path, count: int) -> Path:
    images = [{"id": 100 + n, "file_name": f"{n}.jpg", "width": 9, "height": 6} for n in range(count)]
    subjects = [{"id": n, "image_id": 100 + n, "category_id": 1, "bbox": [0, 0, 5, 5]} for n in range(count)]
    content = {"images": images, "annotations": subjects, "categories": [{"id": 1, "name": "person"}]}
    path.write_text(json.dumps(content))
    return path
