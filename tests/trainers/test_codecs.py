"""Round trips of the codecs, against the papers written out as loops, and what they do where there is nothing."""

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.codecs import (
    average_mirrored,
    cells_to_input,
    decode_coordinates,
    decode_heatmaps,
    decode_simcc,
    encode_coordinates,
    encode_heatmaps,
    encode_simcc,
    input_to_cells,
    peak_entropy,
    turn_negative,
)

ALIGNMENTS = ("half-pixel", "stride", "align-corners")
SIZE, MAP = (96, 128), (24, 32)
alignments = st.sampled_from(ALIGNMENTS)
fractions = st.floats(0, 1, width=32)


def _inside(x, y, margin=0.0):
    """A joint of the input, `margin` pixels or more from its borders."""
    return np.array([[margin + x * (SIZE[0] - 2 * margin), margin + y * (SIZE[1] - 2 * margin)]])


@given(fractions, fractions, alignments)
def test_cells_and_pixels_are_inverse(x, y, alignment):
    joint = _inside(x, y)
    there = input_to_cells(joint, SIZE, MAP, alignment)
    np.testing.assert_allclose(cells_to_input(there, SIZE, MAP, alignment), joint, atol=1e-9)


@pytest.mark.parametrize(
    ("alignment", "first", "last"),
    [("half-pixel", 2, 94), ("stride", 0.5, 92.5), ("align-corners", 0.5, 95.5)],
)
def test_where_the_cells_at_the_borders_lie(alignment, first, last):
    ends = cells_to_input(np.array([[0, 0], [23, 31]]), SIZE, MAP, alignment)
    np.testing.assert_allclose(ends[:, 0], [first, last])


@given(fractions, fractions, alignments, st.floats(1, 3), st.sampled_from(["none", "sigmoid", "softmax"]))
def test_dark_finds_gaussians_to_a_hundredth_of_a_cell(x, y, alignment, sigma, activation):
    joint = _inside(x, y, margin=14)
    maps = encode_heatmaps(joint, SIZE, MAP, alignment, sigma)
    if activation != "none":
        clear = maps.clip(1e-4, 1 - 1e-4)
        maps = np.log(clear / (1 - clear)) if activation == "sigmoid" else np.log(maps.clip(1e-12)) + 7
    xy, scores = decode_heatmaps(maps, SIZE, alignment, "dark", 1.0, activation)
    np.testing.assert_allclose(xy, joint, atol=0.04)
    assert 1 / (2 * sigma**2) < scores[0] <= 1


@given(fractions, fractions, st.floats(1, 3))
def test_a_perfect_softmax_scores_as_its_gaussian(x, y, sigma):
    joint = _inside(x, y, margin=40)  # so far inside that no border takes a share
    maps = encode_heatmaps(joint, SIZE, MAP, "half-pixel", sigma)
    _, scores = decode_heatmaps(np.log(maps.clip(1e-30)), SIZE, "half-pixel", "dark", sigma, "softmax")
    assert scores[0] == pytest.approx(maps.max(), abs=0.01)


def test_negative_maps_are_turned_and_told():
    maps = encode_heatmaps(np.array([[40.0, 60.0], [50.0, 70.0], [20.0, 30.0]]), SIZE, MAP, "half-pixel", 2.0)
    signs = np.array([1, -1, 0], np.float32)
    turned, is_negative = turn_negative(maps * signs[:, None, None])
    assert is_negative.tolist() == [False, True, False]
    np.testing.assert_array_equal(turned[:2], maps[:2])
    spoilt = np.full((1, 4, 4), np.nan, np.float32)
    assert not turn_negative(spoilt)[1].any()


@given(fractions, fractions, alignments)
def test_dark_holds_up_to_the_border(x, y, alignment):
    joint = _inside(x, y)
    first, last = cells_to_input(np.array([[-0.5, -0.5], [23.5, 31.5]]), SIZE, MAP, alignment)
    joint = joint.clip(first, last)  # beyond half a cell outside, a map does not say how far
    xy, _ = decode_heatmaps(encode_heatmaps(joint, SIZE, MAP, alignment, 2.0), SIZE, alignment)
    np.testing.assert_allclose(xy, joint, atol=0.35)  # less than a tenth of a cell


@given(fractions, fractions, alignments)
def test_simpler_decodings_stay_within_their_cells(x, y, alignment):
    joint = _inside(x, y, margin=6)
    maps = encode_heatmaps(joint, SIZE, MAP, alignment, 2.0)
    stride = cells_to_input(np.array([[1, 1]]), SIZE, MAP, alignment) - cells_to_input(
        np.zeros((1, 2)), SIZE, MAP, alignment
    )
    by_peak, _ = decode_heatmaps(maps, SIZE, alignment, "argmax")
    by_quarter, _ = decode_heatmaps(maps, SIZE, alignment, "quarter-offset")
    assert (np.abs(by_peak - joint) <= 0.5 * stride + 1e-3).all()
    assert (np.abs(by_quarter - joint) <= 0.25 * stride + 1e-3).all()


def _dark_as_in_the_paper(heatmap, sigma):
    """Zhang et al. (2020), one map at a time: smooth, take the logarithm, expand about the highest cell."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    size = 2 * int(np.ceil(2.5 * sigma)) + 1
    log = np.log(np.maximum(cv2.GaussianBlur(heatmap, (size, size), sigma), 1e-10)).astype(float)
    gradient = np.array([(log[y, x + 1] - log[y, x - 1]) / 2, (log[y + 1, x] - log[y - 1, x]) / 2])
    dxx = log[y, x + 1] - 2 * log[y, x] + log[y, x - 1]
    dyy = log[y + 1, x] - 2 * log[y, x] + log[y - 1, x]
    dxy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
    return np.array([x, y]) - np.linalg.solve(np.array([[dxx, dxy], [dxy, dyy]]), gradient)


def test_dark_is_the_papers_and_faster_than_its_loop():
    random = np.random.default_rng(0)
    joints = random.uniform((40, 40), (152, 216), (64, 17, 2))  # a cell and a kernel from every border
    maps = encode_heatmaps(joints, (192, 256), (48, 64), "half-pixel", 2.0)
    maps += random.uniform(0, 0.05, maps.shape).astype(np.float32)  # uneven, as networks' maps are

    def loop():
        return np.array([[_dark_as_in_the_paper(heatmap, 2.0) for heatmap in crop] for crop in maps])

    def ours():
        return decode_heatmaps(maps, (192, 256), "half-pixel")[0]

    expected = cells_to_input(loop(), (192, 256), (48, 64), "half-pixel")
    np.testing.assert_allclose(ours(), expected, atol=0.01)
    ratio = min(_seconds(loop) for _ in range(3)) / min(_seconds(ours) for _ in range(5))
    print(f"64 x 17 heatmaps of 48 x 64: {ratio:.1f} times as fast as a loop")
    assert ratio > 3


def _seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.mark.parametrize("decoding", ["argmax", "quarter-offset", "dark"])
def test_a_map_that_prefers_nothing_has_found_nothing(decoding):
    maps = np.stack([np.zeros((32, 24)), np.full((32, 24), 0.7), np.full((32, 24), np.nan)])
    xy, scores = decode_heatmaps(maps, SIZE, "half-pixel", decoding)
    assert np.isnan(xy).all()
    assert (scores == 0).all()


@pytest.mark.parametrize("decoding", ["argmax", "quarter-offset", "dark"])
def test_a_spoilt_cell_does_not_spoil_the_map(decoding):
    joint = np.array([[50.0, 70.0]])
    maps = encode_heatmaps(joint, SIZE, MAP, "half-pixel", 2.0)
    maps[0, 3, 3] = np.nan
    maps[0, 18, 13] = np.nan  # beside the peak
    xy, scores = decode_heatmaps(maps, SIZE, "half-pixel", decoding)
    assert np.abs(xy - joint).max() < 4
    assert scores[0] > 0.8


@pytest.mark.parametrize("place", [(0, 0), (23, 31), (0, 31), (5, 0)])
@pytest.mark.parametrize("decoding", ["argmax", "quarter-offset", "dark"])
def test_a_single_lit_cell_is_its_own_centre(place, decoding):
    maps = np.zeros((1, 32, 24), np.float32)
    maps[0, place[1], place[0]] = 1
    xy, scores = decode_heatmaps(maps, SIZE, "half-pixel", decoding)
    expected = (np.array(place) + 0.5) * 4
    limit = 4.01 if decoding == "dark" else 0.01  # in a border cell nothing tells where the hill's top is
    assert np.abs(xy[0] - expected).max() < limit
    assert scores[0] == 1


@pytest.mark.parametrize("decoding", ["argmax", "quarter-offset", "dark"])
def test_maps_of_few_cells_are_decoded(decoding):
    for shape in ((1, 1), (1, 9), (2, 2), (9, 2)):
        maps = np.random.default_rng(0).random((3, *shape)).astype(np.float32)
        xy, _ = decode_heatmaps(maps, (16, 16), "half-pixel", decoding)
        assert xy.shape == (3, 2)


def test_scores_lie_between_0_and_1():
    maps = np.zeros((2, 5, 5), np.float32)
    maps[0, 2, 2], maps[1, :, :], maps[1, 2, 2] = 3.0, -2.0, -1.0
    assert decode_heatmaps(maps, (20, 20), "half-pixel")[1].tolist() == [1, 0]


def test_a_joint_that_nobody_labelled_has_an_empty_target():
    joints = np.array([[np.nan, np.nan], [20.0, 30.0]])
    maps = encode_heatmaps(joints, SIZE, MAP, "half-pixel", 2.0)
    assert not maps[0].any()
    assert maps[1].max() > 0.9
    x_bins, y_bins = encode_simcc(joints, SIZE, (192, 256), "half-pixel", 6.0)
    assert not x_bins[0].any()
    assert y_bins[1].sum() == pytest.approx(1)


@given(fractions, fractions, st.sampled_from(["half-pixel", "stride"]), st.sampled_from([1, 2, 3]), st.booleans())
def test_simcc_round_trip(x, y, alignment, split, is_logit):
    joint = _inside(x, y, margin=3)
    bins = (SIZE[0] * split, SIZE[1] * split)
    encoded = encode_simcc(joint, SIZE, bins, alignment, 6.0)
    if is_logit:
        encoded = tuple(np.log(array + 1e-12) + 5 for array in encoded)
    xy, scores = decode_simcc(*encoded, SIZE, alignment, is_logit, 6.0)
    np.testing.assert_allclose(xy, joint, atol=0.02)
    if is_logit and 0.2 < x < 0.8 and 0.2 < y < 0.8:
        assert scores[0] > 0.97  # a perfect answer is worth 1, however many bins share it


def test_simcc_without_a_preference_has_found_nothing():
    flat, clear = np.full((1, 192), 0.3), encode_simcc(np.array([[48.0, 64]]), SIZE, (192, 256), "half-pixel", 6.0)[1]
    for is_logit in (False, True):
        xy, scores = decode_simcc(flat, clear, SIZE, "half-pixel", is_logit, 6.0)
        assert np.isnan(xy).all()
        assert scores[0] == 0


def test_simcc_with_spoilt_bins():
    x_bins, y_bins = encode_simcc(np.array([[48.0, 64]]), SIZE, (192, 256), "half-pixel", 6.0)
    x_bins[0, 5] = np.nan
    for is_logit in (False, True):
        xy, scores = decode_simcc(x_bins, y_bins, SIZE, "half-pixel", is_logit, 6.0)
        assert np.abs(xy - [48, 64]).max() < 0.5
        assert 0 < scores[0] <= 1


@given(fractions, fractions, st.sampled_from(["fraction", "pixels", "pixel-indices"]), fractions)
def test_coordinates_round_trip(x, y, unit, score):
    order = ("y", "x", "z", "score")
    joint, scores = _inside(x, y), np.array([score])
    rows = encode_coordinates(joint, scores, order, unit, SIZE)
    xy, found_scores, seen = decode_coordinates(rows, order, unit, SIZE, is_logit=False)
    np.testing.assert_allclose(xy, joint, atol=1e-4)
    np.testing.assert_allclose(found_scores, scores)
    assert seen.all()


def test_what_the_numbers_of_a_row_mean():
    rows = np.array([[[10, 20, -3, 4.0, -4.0], [np.nan, 2, 0, 4, 4]]])
    xy, scores, seen = decode_coordinates(rows, ("x", "y", "z", "presence", "visibility"), "pixel-indices", SIZE, True)
    assert xy[0, 0].tolist() == [10.5, 20.5]
    assert np.isnan(xy[0, 1]).all()
    assert scores[0] == pytest.approx([1 / (1 + np.exp(-4)), 0])
    assert seen[0].tolist() == [False, True]


@settings(max_examples=50)
@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), alignments)
def test_a_mirrored_answer_lies_over_the_straight_one(x, y, alignment):
    joint = _inside(x, y)
    mirrored = np.array([[SIZE[0] - joint[0, 0], joint[0, 1]]])
    maps, other = (encode_heatmaps(where, SIZE, MAP, alignment, 2.0) for where in (joint, mirrored))
    averaged = average_mirrored(maps, other, SIZE[0], alignment)
    np.testing.assert_allclose(averaged, maps, atol=0.006 if alignment == "stride" else 1e-6)
    xy, _ = decode_heatmaps(averaged, SIZE, alignment)
    np.testing.assert_allclose(xy, joint, atol=0.1)


def test_batches_of_any_shape_are_decoded_as_each_alone():
    joints = np.random.default_rng(3).uniform(10, 80, (4, 5, 2))
    maps = encode_heatmaps(joints, SIZE, MAP, "half-pixel", 2.0)
    together, scores = decode_heatmaps(maps, SIZE, "half-pixel")
    assert together.shape == (4, 5, 2)
    assert scores.shape == (4, 5)
    np.testing.assert_array_equal(together[2, 3], decode_heatmaps(maps[2, 3], SIZE, "half-pixel")[0])
    assert decode_heatmaps(maps[:0], SIZE, "half-pixel")[0].shape == (0, 5, 2)


@settings(max_examples=50)
@given(st.floats(0.1, 0.9), st.floats(0.1, 0.9), st.floats(0.01, 50))
def test_one_peak_has_no_entropy_wherever_it_is_and_however_high(x, y, height):
    maps = height * encode_heatmaps(_inside(x, y), SIZE, MAP, "half-pixel", 2.0)
    np.testing.assert_array_equal(peak_entropy(maps, 2.0), [0])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_equal_peaks_have_the_entropy_of_equal_chances(count):
    cells = np.array([[8.0, 8], [30, 8], [8, 30], [30, 30]])[:count]
    maps = encode_heatmaps(cells, (48, 48), (48, 48), "align-corners", 2.0).max(axis=0)
    assert peak_entropy(maps, 2.0) == pytest.approx(np.log(count), abs=1e-4)


def test_unequal_peaks_have_the_entropy_of_their_heights_and_ripples_none():
    rows = np.zeros((3, 1, 40), np.float32)
    rows[0, 0, [5, 30]] = 0.6, 0.2
    rows[1, 0, [5, 30, 20]] = 0.8, 0.079, 0.01  # below a tenth of the highest
    rows[2, 0, [5, 6, 8]] = 0.5, 0.5, 0.4  # of one hill
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(peak_entropy(rows, 3.0), [expected, 0, 0], atol=1e-6)


def test_maps_without_evidence_have_no_entropy_to_tell():
    maps = np.zeros((2, 3, 8, 8), np.float32)
    maps[0, 1] = np.nan
    maps[0, 2] = -1
    maps[1, 0, 3, 4] = 1
    assert peak_entropy(maps, 2.0).shape == (2, 3)
    np.testing.assert_array_equal(peak_entropy(maps, 2.0), [[np.nan] * 3, [0, np.nan, np.nan]])
