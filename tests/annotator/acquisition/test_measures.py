"""What is measured of frames, on poses whose likeness is known."""

import numpy as np
import pytest

from annotator.acquisition.embeddings import joined, pose_vector, rgb_thumbnail
from annotator.acquisition.likeness import box_doubt, jumps, likeness
from annotator.predictions import FrameSource, Prediction
from cvat_export.labels import Boxes, Keypoints
from cvat_export.skeleton import Skeleton

SQUARE = Skeleton("square", ("a", "b", "c", "d"))
JOINTS = np.array([[10, 10], [90, 10], [10, 90], [90, 90]], np.float32)


def prediction(*offsets, pts=0, sha256="f" * 64, seen=(2, 2, 2, 2)):
    """Squares of 100 px with joints near their corners, each moved by an offset."""
    corners = np.array([[x, y, x + 100, y + 100] for x, y in offsets], np.float32).reshape(-1, 4)
    count = len(offsets)
    xy = JOINTS + corners[:, None, :2]
    return Prediction(
        "a.jpg",
        1000,
        1000,
        FrameSource(sha256, pts, "1/10"),
        Boxes(corners, np.ones(count), ("person",) * count),
        Keypoints(xy, np.ones((count, 4)), np.tile(np.array(seen, np.uint8), (count, 1))),
    )


def test_likeness_counts_each_subject_once():
    one, two = prediction((0, 0)), prediction((0, 0), (500, 500))
    assert likeness(one, one, SQUARE) == likeness(prediction(), prediction(), SQUARE) == 1
    assert likeness(one, prediction(), SQUARE) == 0
    assert likeness(one, two, SQUARE) == likeness(two, one, SQUARE) == 0.5
    assert likeness(two, prediction((500, 500), (0, 0)), SQUARE) == 1
    expected = np.exp(-(8**2) / (2 * 100 * 100 * 0.16**2))  # sigma 0.08, a box of 100 x 100
    assert likeness(one, prediction((8, 0)), SQUARE) == pytest.approx(expected)


def test_a_jump_is_unlike_both_neighbours_of_its_own_video():
    still = [prediction((0, 0), pts=pts) for pts in range(5)]
    still[2] = prediction(pts=2)  # lost for one frame
    other = prediction((700, 700), pts=3, sha256="0" * 64)
    predictions = [*still[::-1], other]
    seconds = np.array([p.source.pts / 10 for p in predictions])
    np.testing.assert_allclose(jumps(predictions, seconds, SQUARE), [0, 0, 1, 0, 0, np.nan])
    np.testing.assert_array_equal(jumps(predictions, 10 * seconds, SQUARE), np.full(6, np.nan))


def test_a_cut_is_no_jump():
    places = [(0, 0), (0, 0), (500, 500), (500, 500)]
    predictions = [prediction(place, pts=pts) for pts, place in enumerate(places)]
    np.testing.assert_allclose(jumps(predictions, np.arange(4) / 10, SQUARE), 0)


def test_box_doubt():
    assert box_doubt(prediction()) == 0
    assert box_doubt(prediction((200, 200))) == pytest.approx(1 - 96**2 / 100**2, abs=1e-6)  # 80 px and 8 on each side
    assert box_doubt(prediction((200, 200), seen=(0, 0, 0, 0))) == 1


def test_pose_vectors_know_neither_place_nor_size_but_how_many_there_are():
    here, there, two = prediction((0, 0)), prediction((300, 200)), prediction((0, 0), (300, 200))
    np.testing.assert_allclose(pose_vector(here), pose_vector(there), atol=1e-6)
    np.testing.assert_allclose(pose_vector(two)[:-1], pose_vector(here)[:-1], atol=1e-6)
    assert pose_vector(here)[-1] == 1 and pose_vector(two)[-1] == pytest.approx(np.log2(3))
    np.testing.assert_array_equal(pose_vector(prediction()), np.zeros(9))
    np.testing.assert_allclose(pose_vector(prediction((0, 0), seen=(0, 2, 2, 2)))[:4], [0, 0, 0.4, -0.4], atol=1e-6)


def test_blocks_count_alike_and_distances_are_kept():
    rng = np.random.default_rng(0)
    wide, narrow = 100 * rng.standard_normal((400, 300)).astype(np.float32), np.zeros((400, 3), np.float32)
    narrow[::2] = 0.01
    embeddings, blocks = joined({"looks": wide, "pose": narrow})
    assert embeddings.dtype == np.float32 and embeddings.shape == (400, 35)
    for columns in blocks.values():
        assert (embeddings[:, columns] ** 2).sum(axis=1).mean() == pytest.approx(1, abs=1e-3)
    pairs = rng.integers(0, 400, (2, 500))
    pairs = pairs[:, pairs[0] != pairs[1]]
    before = np.linalg.norm(wide[pairs[0]] - wide[pairs[1]], axis=1)
    after = np.linalg.norm(embeddings[pairs[0], :32] - embeddings[pairs[1], :32], axis=1)
    ratios = after / before
    assert np.std(ratios) / np.mean(ratios) < 0.15


def test_blocks_of_one_frame_are_finite():
    embeddings, _ = joined({"looks": np.ones((1, 3), np.float32)})
    np.testing.assert_array_equal(embeddings, np.zeros((1, 3)))


def test_a_thumbnail_of_rgb_tells_colours_and_places_apart():
    grey = np.full((48, 96, 3), 90, np.uint8)
    marked, red = grey.copy(), grey.copy()
    marked[:10, :10] = 200
    red[...] = (180, 60, 60)
    plain = rgb_thumbnail(grey)
    assert abs(plain[: 24 * 24].astype(int) - 90).max() <= 1
    assert (rgb_thumbnail(marked) != plain).any() and (rgb_thumbnail(red)[24 * 24 :] != plain[24 * 24 :]).any()
