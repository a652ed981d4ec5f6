"""The detectors that need no model file, and the options that all of them share."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotator.detector import DetectionOptions, detect_image, indices_wanted, load_detector, select_classes
from annotator.errors import AnnotatorError
from cvat_export.errors import CvatExportError
from cvat_export.labels import box_iou
from trainers.letterbox import fit
from trainers.nms import suppress
from trainers.runtimes import Execution

GREY = np.full((60, 80, 3), 128, np.uint8)

boxes_strategy = st.integers(0, 12).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float32, (n, 4), elements=st.integers(0, 20).map(float)).map(
            lambda a: np.hstack([np.minimum(a[:, :2], a[:, 2:]), np.maximum(a[:, :2], a[:, 2:])])
        ),
        hnp.arrays(np.float32, (n,), elements=st.integers(0, 5).map(lambda v: v / 5)),
    )
)


def load(spec, **options):
    return load_detector(str(spec), DetectionOptions(**options), Execution())


def write_coco(path, annotations, images=(("a.jpg", 80, 60),), categories=("person", "car")):
    content = {
        "images": [{"id": i, "file_name": f, "width": w, "height": h} for i, (f, w, h) in enumerate(images, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories, 1)],
        "annotations": [{"id": i, "image_id": 1, "category_id": 1, **one} for i, one in enumerate(annotations, 1)],
    }
    path.write_text(json.dumps(content))
    return path


def test_full_frame_is_one_box_only_by_its_name():
    boxes = detect_image(load("full-frame"), "a.jpg", GREY)
    assert boxes.bbox_xyxy.tolist() == [[0, 0, 80, 60]]
    with pytest.raises(
        AnnotatorError,
        match=r"no such file, and no model of that name; there are annotator-person, .*, hog, full-frame",
    ):
        load("fullframe")


def test_coco_boxes_come_back_as_xyxy_best_first(tmp_path):
    path = write_coco(
        tmp_path / "boxes.json",
        [
            {"bbox": [1, 2, 10, 20], "score": 0.5},
            {"bbox": [30.5, 2, 10, 20]},
            {"bbox": [3, 2, 10, 20], "category_id": 2},
            {"bbox": [3, 2, 10, 20], "iscrowd": 1},
            {"bbox": [5, 5, 10, 20], "score": 0.1},
            {"bbox": [70, 50, 30, 30], "score": 0.4},
        ],
    )
    boxes = detect_image(load(path), "a.jpg", GREY)
    assert boxes.bbox_xyxy.tolist() == [[30.5, 2, 40.5, 22], [1, 2, 11, 22], [70, 50, 80, 60]]
    assert boxes.scores.tolist() == pytest.approx([1.0, 0.5, 0.4])
    assert boxes.class_names == ("person",) * 3
    assert len(detect_image(load(path, classes=("car", "0")), "a.jpg", GREY)) == 4


def test_coco_images_are_found_by_path_then_by_base_name(tmp_path):
    images = (("train/a.jpg", 80, 60), ("train/b.jpg", 80, 60), ("test/b.jpg", 80, 60))
    detector = load(write_coco(tmp_path / "boxes.json", [{"bbox": [0, 0, 9, 9]}], images))
    assert len(detect_image(detector, "a.jpg", GREY)) == 1
    assert len(detect_image(detector, "test/b.jpg", GREY)) == 0
    with pytest.raises(AnnotatorError, match=r"lists several: train/b\.jpg, test/b\.jpg"):
        detect_image(detector, "b.jpg", GREY)


def test_an_image_that_the_file_does_not_list_is_no_empty_image(tmp_path):
    detector = load(write_coco(tmp_path / "boxes.json", []))
    assert len(detect_image(detector, "a.jpg", GREY)) == 0
    with pytest.raises(AnnotatorError, match=r"c\.jpg: .*does not list this image"):
        detect_image(detector, "c.jpg", GREY)


def test_boxes_made_for_another_size_are_refused(tmp_path):
    detector = load(write_coco(tmp_path / "boxes.json", [], (("a.jpg", 160, 120),)))
    with pytest.raises(AnnotatorError, match=r"80x60 pixels.*for 160x120"):
        detect_image(detector, "a.jpg", GREY)


def test_a_json_that_is_no_coco_file_is_refused(tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    with pytest.raises(CvatExportError, match="expected an object with images"):
        load(tmp_path / "boxes.json")


@pytest.mark.parametrize(
    ("wanted", "expected"), [((), (1,)), (("car",), (2,)), (("CAR", "0"), (0, 2)), (("2", "car"), (2,))]
)
def test_classes_by_name_or_index_and_person_by_default(wanted, expected):
    assert select_classes(("cat", "person", "car"), wanted, "x") == expected


def test_all_classes_where_nobody_is_a_person():
    assert select_classes(("cat", "dog"), (), "x") == (0, 1)
    with pytest.raises(AnnotatorError, match=r"class 'cow': the 2 classes are cat, dog"):
        select_classes(("cat", "dog"), ("cow",), "x")
    with pytest.raises(AnnotatorError, match=r"class '2'"):
        select_classes(("cat", "dog"), ("2",), "x")


@given(boxes_strategy, st.integers(0, 8), st.sampled_from([None, 1, 3]))
def test_the_options_hold_for_whatever_is_kept(drawn, min_size, most):
    bbox_xyxy, scores = drawn
    options = DetectionOptions(min_score=0.4, min_size_px=min_size, max_subjects=most)
    kept = indices_wanted(bbox_xyxy, scores, options)
    sides = (bbox_xyxy[:, 2:] - bbox_xyxy[:, :2]).min(axis=1)
    fit_for = [i for i in range(len(scores)) if scores[i] >= 0.4 and sides[i] > 0 and sides[i] >= min_size]
    assert set(kept) <= set(fit_for)
    assert len(kept) == min(len(fit_for), len(fit_for) if most is None else most)
    assert list(scores[kept]) == sorted((scores[i] for i in fit_for), reverse=True)[: len(kept)]


@given(boxes_strategy, st.sampled_from([0.3, 0.5, 0.7]), st.randoms())
def test_suppression_keeps_the_same_boxes_in_any_order_and_none_twice(drawn, iou, random):
    bbox_xyxy, scores = drawn
    solid = (bbox_xyxy[:, 2:] > bbox_xyxy[:, :2]).all(axis=1)
    bbox_xyxy, scores = bbox_xyxy[solid], scores[solid]
    groups = np.zeros(len(scores))
    kept = suppress(bbox_xyxy, scores, groups, iou)
    for position, index in enumerate(kept):
        assert (box_iou(bbox_xyxy[index], bbox_xyxy[kept[position + 1 :]]) <= iou).all()
    for index in set(range(len(scores))) - set(kept):
        better = [k for k in kept if scores[k] >= scores[index]]
        assert (box_iou(bbox_xyxy[index], bbox_xyxy[better]) > iou).any()
    order = list(range(len(scores)))
    random.shuffle(order)
    again = suppress(bbox_xyxy[order], scores[order], groups, iou)
    assert bbox_xyxy[order][again].tolist() == bbox_xyxy[kept].tolist()


def test_suppression_leaves_other_classes_alone():
    bbox_xyxy = np.array([[0, 0, 9, 9], [0, 0, 9, 9]], np.float32)
    assert len(suppress(bbox_xyxy, np.array([0.9, 0.8]), np.array([0, 1]), 0.5)) == 2


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.sampled_from([(640, 640), (160, 160), (320, 192)]),
    st.sampled_from([None, 32]),
    hnp.arrays(np.float64, (5, 2), elements=st.floats(0, 1)),
)
def test_letterbox_undo_is_the_inverse(image_size, target, stride, fractions):
    letterbox = fit(image_size, target, stride)
    inside = fractions * letterbox.scaled_size + letterbox.offset
    np.testing.assert_allclose(letterbox.undo(inside), fractions * image_size, rtol=1e-5, atol=1e-3)
    assert all(
        s + 2 * o <= i for s, o, i in zip(letterbox.scaled_size, letterbox.offset, letterbox.input_size, strict=True)
    )
    if stride:
        assert all(side % stride == 0 for side in letterbox.input_size)


@pytest.mark.parametrize("size", [(200, 100), (90, 301), (1280, 721)])
def test_letterbox_puts_pixels_where_it_says(size):
    """A bright disc's centre of mass, found in the input and undone, is where it was drawn."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    centre, radius = (size[0] * 0.3, size[1] * 0.6), min(size) * 0.1
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    image[np.hypot(x - centre[0], y - centre[1]) < radius] = 255
    drawn = np.array([x[image[..., 0] > 0].mean(), y[image[..., 0] > 0].mean()])
    letterbox = fit(size, (320, 320))
    left, top = letterbox.offset
    canvas = letterbox.apply(image)[..., 0].astype(float)
    inner = np.zeros_like(canvas)
    inner[top : top + letterbox.scaled_size[1], left : left + letterbox.scaled_size[0]] = canvas[
        top : top + letterbox.scaled_size[1], left : left + letterbox.scaled_size[0]
    ]
    rows, columns = np.mgrid[: canvas.shape[0], : canvas.shape[1]] + 0.5
    mass = np.array([(columns * inner).sum(), (rows * inner).sum()]) / inner.sum()
    np.testing.assert_allclose(letterbox.undo(mass), drawn, atol=0.3)


def drawn_person(height):
    """A crude upright figure, dark on white: enough for the gradients that HOG looks for."""
    scale = height / 96
    image = np.full((round(140 * scale), round(120 * scale), 3), 235, np.uint8)

    def shape(*points):
        cv2.fillPoly(image, [np.int32(np.array(points) * scale)], (40, 40, 40), lineType=cv2.LINE_AA)

    cv2.circle(image, (round(60 * scale), round(32 * scale)), round(8 * scale), (40, 40, 40), -1, cv2.LINE_AA)
    shape((46, 43), (74, 43), (76, 75), (72, 80), (48, 80), (44, 75))
    shape((49, 80), (59, 80), (58, 118), (50, 118))
    shape((61, 80), (71, 80), (70, 118), (62, 118))
    return image, np.array([44, 24, 76, 118]) * scale


@pytest.mark.parametrize("height", [60, 96, 400])
def test_hog_finds_an_upright_figure_of_any_resolution(height):
    image, expected = drawn_person(height)
    boxes = detect_image(load("hog", min_score=0.05), "a.jpg", image)
    assert len(boxes) >= 1
    assert box_iou(boxes.bbox_xyxy[0], expected[None])[0] > 0.5


def test_hog_is_deterministic_and_finds_nobody_in_nothing():
    image, _ = drawn_person(96)
    detector = load("hog", min_score=0.0)
    runs = {detect_image(detector, "a.jpg", image).bbox_xyxy.tobytes() for _ in range(5)}
    assert len(runs) == 1
    for nothing in (GREY, np.zeros((1, 1, 3), np.uint8), np.zeros((10, 4000, 3), np.uint8)):
        assert len(detect_image(detector, "a.jpg", nothing)) == 0


def test_hog_knows_persons_only():
    with pytest.raises(AnnotatorError, match="class 'cat'"):
        load("hog", classes=("cat",))
