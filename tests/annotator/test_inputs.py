"""What the words on the command line mean."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from annotator.errors import AnnotatorError
from annotator.inputs import BadInput, VideoFile, digest, find_inputs
from annotator.predictions import FrameSource
from demo.film import film
from demo.footage import write_footage
from frame_tools.images import MANIFEST_FILE, ManifestEntry, manifest_text


@pytest.fixture
def folder(tmp_path):
    for number in (2, 10, 1):
        Image.fromarray(np.full((20, 30, 3), number, np.uint8)).save(tmp_path / f"im{number}.png")
    (tmp_path / "notes.txt").touch()
    return tmp_path


def _names(inputs):
    return [item.path.name for item in inputs]


def test_a_folder_in_the_order_of_its_numbers(folder):
    assert _names(find_inputs([str(folder)])) == ["im1.png", "im2.png", "im10.png"]


def test_a_pattern_and_files_in_their_order(folder):
    assert _names(find_inputs([str(folder / "im1*.png"), str(folder / "im2.png")])) == [
        "im1.png",
        "im10.png",
        "im2.png",
    ]


def test_a_pattern_of_folders(tmp_path):
    for name in ("clip_1", "clip_2"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / f"{name}.png")
    assert _names(find_inputs([str(tmp_path / "clip_*")])) == ["clip_1.png", "clip_2.png"]


def test_a_plain_image_is_its_own_source(folder):
    (item,) = find_inputs([str(folder / "im1.png")])
    image = item.load()
    content = (folder / "im1.png").read_bytes()
    assert image.content == content
    assert image.source == FrameSource(hashlib.sha256(content).hexdigest(), 0)


def test_a_manifest_gives_order_and_identity(folder):
    entries = [
        ManifestEntry(f"im{number}.png", "a.mp4", "ab" * 32, pts, Fraction(1, 600), number, "uniform")
        for number, pts in ((10, 40), (1, 20), (7, 60))
    ]
    (folder / MANIFEST_FILE).write_text(manifest_text(entries))
    inputs = find_inputs([str(folder)])
    assert _names(inputs) == ["im10.png", "im1.png", "im7.png"]
    assert inputs[0].load().source == FrameSource("ab" * 32, 40, "1/600")
    deleted = inputs[2].load()
    assert isinstance(deleted, BadInput)
    assert "im7.png" in deleted.error


def test_a_video_is_all_of_its_frames(tmp_path):
    frames = [frame for frame, _ in zip(film(), range(5), strict=False)]
    truth = write_footage(tmp_path / "walk.mp4", frames)
    (item,) = find_inputs([str(tmp_path / "walk.mp4")])
    assert isinstance(item, VideoFile)
    images = [load() for load in item.loaders()]
    assert [image.file_name for image in images] == [image.file_name for image in truth.images]
    assert np.abs(images[3].pixels.astype(int) - frames[3].image).mean() < 6


def test_the_digest_knows_names_sizes_and_order(folder):
    inputs = find_inputs([str(folder)])
    before = digest(inputs)
    assert digest(find_inputs([str(folder)])) == before
    assert digest(inputs[::-1]) != before
    (folder / "im1.png").write_bytes(b"0")
    assert digest(inputs) != before


@pytest.mark.parametrize("names", [["a.jpg", "b/a.png"], ["a.jpg", "b/a.jpg"]])
def test_base_names_that_collide(tmp_path, names):
    (tmp_path / "b").mkdir()
    for name in names:
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(AnnotatorError, match="base names are used twice, first 'a'"):
        find_inputs([str(tmp_path / name) for name in names])


def test_one_video_twice(tmp_path):
    write_footage(tmp_path / "a.mp4", [next(film())])
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    with pytest.raises(AnnotatorError, match="given twice"):
        find_inputs([str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")])
