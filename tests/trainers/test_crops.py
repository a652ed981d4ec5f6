"""Geometry of crops: against inverses, and against images whose every pixel says where it is."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.crops import crop_affines, crop_image, invert_affines, transform_points
from trainers.errors import TrainersError

BLACK = (0, 0, 0)
sides = st.integers(16, 400)
corners = st.floats(-500, 500)
lengths = st.floats(1, 2000)
paddings = st.floats(1, 2)
fits = st.sampled_from(["contain", "stretch"])


def _corners_of(box, size, padding, fit):
    """Where the box's corners lie in the input, (2, 2)."""
    affine = crop_affines(np.array([box]), size, padding, fit)
    return transform_points(affine, np.reshape(box, (1, 2, 2)))[0]


@given(corners, corners, lengths, lengths, sides, sides, paddings, fits)
def test_the_way_back_is_the_inverse(x, y, width, height, input_width, input_height, padding, fit):
    box = [x, y, x + width, y + height]
    affine = crop_affines(np.array([box]), (input_width, input_height), padding, fit)
    points = np.array([[[x, y], [x + width / 3, y + height], [0, 0]]])
    np.testing.assert_allclose(
        transform_points(invert_affines(affine), transform_points(affine, points)),
        points,
        atol=1e-6 * (1 + width + height),
    )


@given(corners, corners, lengths, lengths, sides, sides, paddings, fits)
def test_the_padded_box_lies_centred_and_whole_in_the_input(x, y, width, height, in_width, in_height, padding, fit):
    first, last = _corners_of([x, y, x + width, y + height], (in_width, in_height), padding, fit)
    size = np.array([in_width, in_height])
    np.testing.assert_allclose((first + last) / 2, size / 2, atol=1e-6)
    share = (last - first) * padding / size
    if fit == "stretch":
        np.testing.assert_allclose(share, 1)
    else:
        assert share.max() == pytest.approx(1)
        np.testing.assert_allclose((last - first)[0] / width, (last - first)[1] / height)


@pytest.mark.parametrize("size", [(96, 128), (64, 64), (33, 57)])
@pytest.mark.parametrize(
    "box", [(40, 30, 200, 190), (3.3, 7.7, 236.2, 170.4), (100.5, 90.25, 110, 99), (0, 0, 240, 200)]
)
@pytest.mark.parametrize("fit", ["contain", "stretch"])
def test_every_pixel_shows_the_place_that_the_affine_says(box, size, fit):
    """A ramp of one level a pixel, in floats: bytes would round each mean of two neighbours up by half a level."""
    image = np.zeros((200, 240, 3), np.float32)
    image[..., 0], image[..., 1] = np.arange(240) + 0.5, np.arange(200)[:, None] + 0.5
    affine = crop_affines(np.array([box]), size, 1.1, fit)
    crop = crop_image(image, affine[0], size, BLACK).astype(float)
    centres = np.stack(np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5), axis=-1)
    places = transform_points(invert_affines(affine), centres.reshape(1, -1, 2)).reshape(size[1], size[0], 2)
    margin = 2 / affine[0, [0, 1], [0, 1]] + 2
    inside = ((places > margin) & (places < np.array([240, 200]) - margin)).all(axis=-1)
    assert inside.sum() > 100
    error = (crop[..., :2] - places)[inside]
    step = max(1, np.floor(1 / affine[0, [0, 1], [0, 1]]).max()) / 32  # OpenCV's, of the averaged pixels it sees
    assert np.abs(error.mean(axis=0)).max() < step / 2 + 0.005
    assert np.abs(error).max() < step + 0.005


@pytest.mark.parametrize("shrink", [2.5, 4, 7.3])
def test_downscaling_averages_what_a_bilinear_warp_would_skip(shrink):
    checks = np.indices((600, 600)).sum(axis=0) % 2 * 255
    image = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    affine = crop_affines(np.array([[100, 100, 100 + 64 * shrink, 100 + 64 * shrink]]), (64, 64), 1.0, "contain")[0]
    grey = 127.5
    assert np.abs(cv2.warpAffine(image, affine, (64, 64)) - grey).mean() > 30  # it aliases
    assert np.abs(crop_image(image, affine, (64, 64), BLACK) - grey).mean() < 5


def test_beyond_the_image_is_the_borders_colour():
    image = np.full((50, 60, 3), 200, np.uint8)
    affine = crop_affines(np.array([[-60.0, 0, 60, 50]]), (120, 50), 1.0, "stretch")[0]
    crop = crop_image(image, affine, (120, 50), (1, 2, 3))
    assert (crop[:, :59] == (1, 2, 3)).all()
    assert (crop[:, 61:] == 200).all()


@pytest.mark.parametrize("box", [(-400, -300, -100, -50), (1000, 0, 1100, 90), (0, 5000, 10, 5010)])
def test_a_box_outside_the_image_shows_only_the_border(box):
    affine = crop_affines(np.array([box]), (32, 48), 1.25, "contain")[0]
    assert (crop_image(np.full((50, 60, 3), 200, np.uint8), affine, (32, 48), (9, 8, 7)) == (9, 8, 7)).all()


def test_a_box_of_one_pixel_is_enlarged():
    image = np.zeros((9, 9, 3), np.uint8)
    image[4, 4] = 255
    affine = crop_affines(np.array([[4.0, 4, 5, 5]]), (31, 31), 1.0, "contain")[0]
    crop = crop_image(image, affine, (31, 31), BLACK)[..., 0]
    assert crop[15, 15] == 255
    np.testing.assert_allclose(crop.astype(int), crop[::-1, ::-1].astype(int), atol=9)  # symmetric: centred


def test_a_large_image_is_touched_only_where_needed(monkeypatch):
    seen = []
    resize = cv2.resize
    monkeypatch.setattr(
        cv2, "resize", lambda part, *rest, **named: seen.append(part.shape) or resize(part, *rest, **named)
    )
    affine = crop_affines(np.array([[2000.0, 1000, 2400, 1400]]), (64, 64), 1.0, "contain")[0]
    crop_image(np.zeros((3000, 4000, 3), np.uint8), affine, (64, 64), BLACK)
    assert len(seen) == 1
    assert max(seen[0][:2]) < 450


@pytest.mark.parametrize("box", [(10, 10, 10, 40), (10, 10, 40, 5), (0, 0, float("nan"), 4), (0, 0, float("inf"), 4)])
def test_a_box_without_area_is_refused(box):
    with pytest.raises(TrainersError, match=r"box 1: got x1, y1, x2, y2 = .*expected finite numbers with x1 < x2"):
        crop_affines(np.array([[0, 0, 5, 5], box]), (32, 32), 1.0, "contain")


def test_no_boxes_no_affines():
    assert crop_affines(np.zeros((0, 4), np.float32), (32, 32), 1.0, "contain").shape == (0, 2, 3)
