"""Sharpness, exposure, scenes, novelty, hard cases, orientation, thinning."""

import struct
from fractions import Fraction
from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frame_tools.analysis import Analyst, Reservoir
from frame_tools.hard_cases import kinds_of
from frame_tools.novelty import NEAR_DUPLICATE, embed
from frame_tools.orientation import orientation_of_matrix, square_size
from frame_tools.quality import exposure, sharpness, subject_sharpness
from frame_tools.scenes import scene_numbers
from frame_tools.thumbnail import CHROMA_CELLS, LUMA_CELLS, THUMBNAIL_SIZE, thumbnail
from frame_tools.video import open_video


def natural(height: int = 360, width: int = 640, seed: int = 0) -> np.ndarray:
    """Dead leaves: discs of random size over one another, whose statistics are those of photographs."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width), np.uint8)
    for _ in range(1500):
        centre = (int(random.integers(0, width)), int(random.integers(0, height)))
        cv2.circle(image, centre, int(4 / random.uniform(0.05, 1)), int(random.integers(20, 236)), -1)
    return image


@pytest.mark.parametrize("contrast", [1.0, 0.5, 0.2])
def test_sharpness_does_not_depend_on_contrast(contrast):
    image = natural()
    faint = (128 + (image.astype(float) - 128) * contrast).astype(np.uint8)
    assert sharpness(image) == pytest.approx(1, abs=0.3)
    assert sharpness(faint) == pytest.approx(sharpness(image), rel=0.1)


def test_sharpness_falls_with_blur_of_any_direction():
    image = natural()
    by_focus = [sharpness(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (0.5, 1, 2, 4)]
    assert by_focus == sorted(by_focus, reverse=True) and by_focus[-1] < 0.3
    for kernel in ((15, 1), (1, 15)):
        assert sharpness(cv2.blur(image, kernel)) < 0.4 * sharpness(image)


def test_sharpness_compares_across_sizes():
    small = natural(360, 640)
    large = cv2.resize(small, (1920, 1080), interpolation=cv2.INTER_NEAREST)
    assert sharpness(large) == pytest.approx(sharpness(small), rel=0.25)


def test_what_shows_nothing_is_not_sharp():
    assert sharpness(np.full((360, 640), 90, np.uint8)) == 0
    assert sharpness(natural(12, 640)) == 0


def test_the_subject_is_judged_not_the_background():
    image = np.repeat(natural()[..., None], 3, axis=2)
    image[100:300, 200:400] = cv2.GaussianBlur(image, (0, 0), 4)[100:300, 200:400]
    assert subject_sharpness(image, (200, 100, 400, 300)) < 0.4 * subject_sharpness(image, (0, 0, 180, 300))
    assert subject_sharpness(image, (0, 0, 5, 5)) == 0


@pytest.mark.parametrize(("level", "full_range"), [(0, True), (16, False), (255, True), (235, False), (120, False)])
def test_flat_pictures_are_blank(level, full_range):
    assert exposure(np.full(THUMBNAIL_SIZE, level, np.uint8), full_range).is_blank


def test_an_ordinary_picture_is_not_blank():
    light = exposure(thumbnail([natural()]), full_range=True)
    assert not light.is_blank and 0.2 < light.brightness < 0.8


def test_a_thumbnail_keeps_the_layout():
    luma = np.zeros((432, 768), np.uint8)
    luma[:216, :384] = 200
    chroma = np.full((216, 384), 128, np.uint8)
    thumb = thumbnail([luma, chroma, chroma])
    grid = thumb[: LUMA_CELLS**2].reshape(LUMA_CELLS, LUMA_CELLS)
    assert (grid[:11, :11] == 200).all() and (grid[13:] == 0).all() and (grid[:, 13:] == 0).all()
    assert len(thumb) == THUMBNAIL_SIZE and (thumb[-(CHROMA_CELLS**2) :] == 128).all()


def test_a_moved_subject_is_news_and_a_cloud_is_not():
    background = np.full((432, 768), 120, np.uint8)
    person = background.copy()
    person[100:350, 300:380] = 60
    elsewhere = background.copy()
    elsewhere[100:350, 500:580] = 60
    chroma = np.full((216, 384), 128, np.uint8)
    thumbs = np.stack([thumbnail([p, chroma, chroma]) for p in (background, background + 8, person, elsewhere)])
    vectors = embed(thumbs)

    def distance(a, b):
        return float(np.linalg.norm(vectors[a] - vectors[b]))

    assert distance(0, 1) < NEAR_DUPLICATE < min(distance(0, 2), distance(2, 3), distance(0, 3))


def test_cuts_stand_out_from_their_neighbourhood():
    change = np.full(100, 1.0)
    change[40] = 30
    assert np.flatnonzero(np.diff(scene_numbers(change, np.zeros(100, bool), np.arange(100) / 25))).tolist() == [39]


def test_a_fast_pan_and_a_flash_are_no_cuts():
    still = np.zeros(100, bool)
    pan = np.full(100, 1.0)
    pan[30:60] = 25
    assert scene_numbers(pan, still, np.arange(100) / 25).max() == 0
    flash = np.full(100, 1.0)
    flash[[5, 6]] = 60  # too soon after the beginning for a scene of its own
    assert scene_numbers(flash, still, np.arange(100) / 25).max() == 0


def test_a_fade_through_black_ends_a_scene():
    blank = np.zeros(100, bool)
    blank[45:55] = True
    numbers = scene_numbers(np.full(100, 2.0), blank, np.arange(100) / 25)
    assert numbers[44] == numbers[54] == 0 and numbers[55] == 1


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_two_cuts_of_real_footage_are_found(shared_data):
    video = open_video(shared_data / "videos" / "variable_frame_rate.mp4")
    analyst = Analyst(video)
    for decoded in video.pictures():
        analyst.look(decoded)
    scenes = analyst.result().table.scene
    assert scenes.max() == 2 and (np.flatnonzero(np.diff(scenes)) + 1).tolist() == [60, 140]


def test_fades_and_cuts_of_a_video(make_video):
    def draw(index, width, height):
        image = np.repeat(natural(height, width, seed=index // 40)[..., None], 3, axis=2)
        fade = np.clip(abs(index - 80) / 10, 0, 1) if index > 60 else 1.0
        return (image * fade).astype(np.uint8)

    video = open_video(make_video(pts=range(120), size=(192, 128), draw=draw))
    analyst = Analyst(video)
    for decoded in video.pictures():
        analyst.look(decoded)
    table = analyst.result().table
    starts = (np.flatnonzero(np.diff(table.scene)) + 1).tolist()
    assert starts[0] == 40 and len(starts) == 2 and 80 < starts[1] <= 84
    assert table.blank[80] and not table.blank[60]


@given(st.integers(1, 400), st.integers(2, 30))
def test_a_reservoir_keeps_the_best_of_each_stride(count, capacity):
    scores = np.random.default_rng(count).random(count)
    reservoir = Reservoir(capacity)
    for row, score in enumerate(scores):
        reservoir.offer(row, float(score), np.full(THUMBNAIL_SIZE, row % 256, np.uint8))
    rows, thumbs = reservoir.content()
    stride = reservoir.stride
    best = [start + int(np.argmax(scores[start : start + stride])) for start in range(0, count, stride)]
    assert rows.tolist() == best and len(rows) <= capacity + 1
    assert (thumbs[:, 0] == rows % 256).all()


@pytest.mark.parametrize(
    ("boxes", "kinds"),
    [
        ([], {"empty"}),
        ([(50, 50, 80, 90)], set()),
        ([(0, 50, 80, 90)], {"truncated"}),
        ([(50, 50, 80, 199.5)], {"truncated"}),
        ([(50, 50, 90, 90), (60, 50, 100, 90)], {"occluded"}),
        ([(50, 50, 90, 90), (85, 85, 120, 120)], set()),
        ([(20 * i + 10, 50, 20 * i + 20, 70) for i in range(5)], {"crowded"}),
    ],
)
def test_hard_cases_by_their_boxes(boxes, kinds):
    assert kinds_of(np.array(boxes, np.float32).reshape(-1, 4), 300, 200) == kinds


RIGHT_ANGLES = [m for m in product((-1, 0, 1), repeat=4) if abs(m[0] * m[3] - m[1] * m[2]) == 1 and m.count(0) == 2]


@pytest.mark.parametrize(("a", "b", "c", "d"), RIGHT_ANGLES)
def test_a_display_matrix_moves_pixels_as_its_formula_says(a, b, c, d):
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    matrix = struct.pack("=9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    upright = orientation_of_matrix(matrix).apply(image)
    places = {}
    for y, x in product(range(3), range(4)):
        places[(b * x + d * y, a * x + c * y)] = image[y, x]
    top, left = min(p[0] for p in places), min(p[1] for p in places)
    for (row, column), value in places.items():
        assert upright[row - top, column - left] == value


def test_square_size_stretches_the_short_way():
    assert square_size(720, 576, Fraction(16, 11)) == (1047, 576)
    assert square_size(720, 480, Fraction(8, 9)) == (720, 540)
    assert square_size(720, 576, None) == square_size(720, 576, Fraction(0)) == (720, 576)
