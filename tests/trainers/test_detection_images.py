"""What a detector learns from: boxes of every kind of label, and where they are after every change of an image."""

import json

import numpy as np
import pytest

from cvat_export.errors import CvatExportError
from tests.trainers.boxed_pictures import painted_box, write_pictures
from trainers.augmentation import ImageAugmentation
from trainers.detection.batches import BoxTargets
from trainers.detection.boxed_images import read_boxed_images
from trainers.detection.image_views import ImageView
from trainers.errors import TrainersError
from trainers.letterbox import GREY
from trainers.source_reading import LabelSource

SIZE = (96, 64)
GEOMETRY = ImageAugmentation(
    brightness=0, contrast=0, saturation=0, grey_probability=0, blur_probability=0, cut_out_probability=0
)


@pytest.fixture(scope="module")
def one_brick(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("one"), 11, most=1, seed=2)


def _read(path, complete=True, **options):
    return read_boxed_images([(LabelSource(path), complete)], **options)


def _changed(path, **options):
    """The labels with other rows: options maps a row's place to what is changed in it."""
    content = json.loads(path.read_text())
    for place, changes in options["rows"].items():
        content["annotations"][place] |= changes
    target = path.with_name("changed.json")
    target.write_text(json.dumps(content))
    return target


def test_every_image_is_there_and_the_empty_ones_too(one_brick):
    data = _read(one_brick)
    assert data.category == "brick"
    assert [len(image.bbox_xyxy) for image in data.images] == [1, 1, 1, 0] * 2 + [1, 1, 1]
    rows = json.loads(one_brick.read_text())["annotations"]
    x, y, width, height = rows[0]["bbox"]
    assert data.images[0].bbox_xyxy.tolist() == [[x, y, x + width, y + height]]


def test_crowds_are_ignored_and_boxes_without_area_left_out(one_brick):
    data = _read(_changed(one_brick, rows={0: {"iscrowd": 1}, 1: {"bbox": [5, 5, 0, 9]}}))
    assert [len(image.bbox_xyxy) for image in data.images[:3]] == [0, 0, 1]
    assert len(data.images[0].ignored_xyxy) == 1
    assert any("1 x subject without a box or joints left out" in note for note in data.notes)


def test_boxes_that_are_hulls_of_joints_are_made_larger(tmp_path):
    path = write_pictures(tmp_path, 3, most=1, joints=("left", "right", "top"))
    row = json.loads(path.read_text())["annotations"][0]
    xyv = np.add(np.reshape(row["keypoints"], (-1, 3)), [[0, -4, 0], [0, 4, 0], [0, 0, 0]])
    hull = [*xyv[:, :2].min(axis=0), *(xyv[:, :2].max(axis=0) - xyv[:, :2].min(axis=0))]
    data = _read(_changed(path, rows={0: {"bbox": hull, "keypoints": xyv.ravel().tolist()}}))
    x1, y1, x2, y2 = data.images[0].bbox_xyxy[0]
    assert x1 < hull[0] and y1 < hull[1] and x2 > hull[0] + hull[2] and y2 > hull[1] + hull[3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bbox": [5, 5, -4, 9]}, "expected a width and a height"),
        ({"bbox": [float("nan"), 5, 4, 9]}, "NaN"),
    ],
)
def test_faulty_boxes_stop_a_training(one_brick, changes, words):
    with pytest.raises((TrainersError, CvatExportError), match=words):
        _read(_changed(one_brick, rows={0: changes}))


def test_nothing_to_learn_from(one_brick):
    content = json.loads(one_brick.read_text())
    empty = one_brick.with_name("empty.json")
    empty.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(TrainersError, match="no box of 'brick'"):
        _read(empty)
    with pytest.raises(TrainersError, match="no category 'cat', expected one of: brick"):
        _read(one_brick, category="cat")


@pytest.mark.parametrize("turn", [0.0, 1.0])
def test_boxes_stay_on_their_pixels(one_brick, turn):
    view = ImageView(_read(one_brick).images, SIZE, GREY, 1 << 22)
    settings = GEOMETRY.model_copy(update={"mosaic_probability": 0, "turn_probability": turn})
    seen = 0
    for index in range(len(view)):
        for seed in range(12):
            shown = view.changed(index, np.random.default_rng(seed), settings)
            if len(shown.bbox_xyxy):
                seen += 1
                np.testing.assert_allclose(shown.bbox_xyxy[0], painted_box(shown.pixels), atol=1.6)
    assert seen > 80


def test_boxes_stay_on_their_pixels_in_mosaics(one_brick):
    view = ImageView(_read(one_brick).images, SIZE, GREY, 1 << 22)
    settings = GEOMETRY.model_copy(update={"mosaic_probability": 1})
    count = 0
    for seed in range(40):
        shown = view.changed(0, np.random.default_rng(seed), settings)
        assert shown.pixels.shape == (SIZE[1], SIZE[0], 3)
        for x1, y1, x2, y2 in shown.bbox_xyxy:
            count += 1
            inside = shown.pixels[int(np.ceil(y1)) : int(y2), int(np.ceil(x1)) : int(x2)]
            if inside.size:
                assert (inside[..., 0] > 100).mean() > 0.8
        covered = np.zeros(SIZE[::-1], bool)
        for x1, y1, x2, y2 in np.concatenate([shown.bbox_xyxy, shown.ignored_xyxy]):
            covered[max(0, int(y1) - 2) : int(y2) + 3, max(0, int(x1) - 2) : int(x2) + 3] = True
        painted = (shown.pixels[..., 0] > 160) & (shown.pixels[..., 1] < 120)
        assert not (painted & ~covered).any()
    assert count > 60


def test_the_same_random_state_gives_the_same_image_whether_kept_or_not(one_brick):
    images = _read(one_brick).images
    kept, read = ImageView(images, SIZE, GREY, 1 << 22), ImageView(images, SIZE, GREY)
    for view in (kept, read):
        view.changed(0, np.random.default_rng(0), ImageAugmentation())
    for seed in range(6):
        one, other = (view.changed(2, np.random.default_rng(seed), GEOMETRY) for view in (kept, kept))
        assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.bbox_xyxy, other.bbox_xyxy)
    assert (
        np.abs(
            kept.changed(2, np.random.default_rng(1), GEOMETRY).bbox_xyxy
            - read.changed(2, np.random.default_rng(1), GEOMETRY).bbox_xyxy
        ).max()
        == 0
    )


def test_images_in_which_not_everybody_has_a_box_are_not_mixed(one_brick):
    view = ImageView(_read(one_brick, complete=False).images, SIZE, GREY)
    settings = GEOMETRY.model_copy(update={"mosaic_probability": 1})
    shown = [view.changed(0, np.random.default_rng(seed), settings) for seed in range(5)]
    assert not any(one.complete for one in shown)
    batch = BoxTargets(1).encode(shown, range(5))
    assert batch.only_inside.all()


def test_tiny_subjects_are_neither_learnt_nor_background(one_brick):
    view = ImageView(_read(one_brick).images, SIZE, GREY)
    shown = [view.plain(0), view.plain(3)]
    batch = BoxTargets(smallest_px=64).encode(shown, [0, 3])
    assert batch.present.sum() == 0 and batch.ignored_present.tolist() == [[True], [False]]
    batch = BoxTargets(smallest_px=2).encode(shown, [0, 3])
    assert batch.present.tolist() == [[True], [False]] and batch.ignored_present.sum() == 0
    np.testing.assert_allclose(batch.truth[0, 0], painted_box(shown[0].pixels), atol=1)
