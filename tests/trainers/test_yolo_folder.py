"""Labels as the folder that YOLO reads; Ultralytics is not needed for it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.trainers.boxed_pictures import write_pictures
from trainers.detection.boxed_images import read_boxed_images
from trainers.detection.yolo_folder import visible_boxes, write_yolo_folder
from trainers.errors import TrainersError
from trainers.source_reading import LabelSource
from trainers.training_split import Split


@pytest.fixture
def images(tmp_path):
    """Two sources whose files have the same names."""
    sources = [write_pictures(tmp_path / name, 4, seed=seed) for seed, name in enumerate(("one", "two"))]
    return read_boxed_images([(LabelSource(path), True) for path in sources]).images


def _write(folder, images, validation=()):
    said = []
    write_yolo_folder(folder, Split(tuple(images), tuple(validation)), said.append)
    return said


def test_every_image_is_there_with_its_boxes(tmp_path, images):
    assert _write(tmp_path / "yolo", images[:6], images[6:]) == []
    for part, expected in (("train", images[:6]), ("val", images[6:])):
        files = sorted((tmp_path / "yolo/images" / part).iterdir())
        assert len(files) == len(expected)
        for file, image in zip(files, expected, strict=True):
            assert file.is_symlink() and file.read_bytes() == image.image.content()
            lines = (tmp_path / "yolo/labels" / part / f"{file.stem}.txt").read_text().splitlines()
            rows = np.array([line.split() for line in lines], float).reshape(-1, 5)
            centre, sides = rows[:, 1:3] * image.size, rows[:, 3:] * image.size
            np.testing.assert_allclose(np.hstack([centre - sides / 2, centre + sides / 2]), image.bbox_xyxy, atol=1e-4)
    assert any(len(image.bbox_xyxy) == 0 for image in images)


def test_what_labels_cannot_say_is_counted(tmp_path, images):
    crowd = np.array([[0, 0, 9, 9]], np.float32)
    outside = np.array([[-5, 10, 20, 30], [500, 10, 520, 30]], np.float32)
    changed = [replace(images[0], ignored_xyxy=crowd), replace(images[1], bbox_xyxy=outside), *images[2:]]
    said = _write(tmp_path / "yolo", changed)
    assert said == [
        "1 x image with crowds, which Ultralytics learns as background",
        "1 x box outside its image left out",
    ]
    assert (tmp_path / "yolo/labels/train/000002.txt").read_text() == "0 0.08333333 0.22222222 0.16666667 0.22222222\n"


def test_boxes_end_at_the_border():
    boxes = np.array([[-4, -4, 4, 4], [8, 0, 12, 2], [10, 0, 12, 2]], np.float32)
    assert visible_boxes(boxes, (10, 8)).tolist() == [[0, 0, 4, 4], [8, 0, 10, 2]]


def test_pictures_are_what_we_read_and_originals_stay(tmp_path, images):
    """A turned JPEG is stored upright; one with bytes after its end, which Ultralytics would mend, is copied."""
    turned, tailed = tmp_path / "turned.jpg", tmp_path / "tailed.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    Image.fromarray(pixels.transpose(1, 0, 2)[::-1].copy()).save(turned, exif=exif)
    Image.fromarray(pixels).save(tailed)
    tailed.write_bytes(tailed.read_bytes() + b"tail")
    changed = [
        replace(image, image=replace(image.image, path=path))
        for image, path in zip(images, (turned, tailed), strict=False)
    ]
    _write(tmp_path / "yolo", changed)
    first, second = sorted((tmp_path / "yolo/images/train").iterdir())
    assert first.suffix == ".png" and not second.is_symlink()
    with Image.open(first) as written:
        assert np.array_equal(np.asarray(written), changed[0].image.read())


@pytest.mark.parametrize(("change", "words"), [({"size": (120, 9)}, "10 or more"), ({}, "cannot be read")])
def test_images_that_cannot_be_used_are_named(tmp_path, images, change, words):
    if not change:
        images[0].image.path.unlink()
    with pytest.raises(TrainersError, match=words):
        _write(tmp_path / "yolo", [replace(images[0], **change)])
