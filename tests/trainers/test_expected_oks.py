"""Joints at the highest expected OKS, against the sum over all cells written out; and where there is nothing."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvat_export.skeleton import read_skeleton
from trainers.codecs import (
    average_mirrored,
    cells_to_input,
    decode_expected_oks,
    decode_heatmaps,
    encode_heatmaps,
    input_to_cells,
    oks_fall_offs,
)
from trainers.model_card import parse_card
from trainers.pose_decoding import decode_outputs

SIZE, MAP = (96, 128), (24, 32)
UNEVEN = (24, 16)  # cells of 4 x 8 pixels
alignments = st.sampled_from(["half-pixel", "stride", "align-corners"])
fractions = st.floats(0, 1, width=32)


def _inside(x, y, margin=0.0):
    return np.array([[margin + x * (SIZE[0] - 2 * margin), margin + y * (SIZE[1] - 2 * margin)]])


def _logits(shares):
    return np.log(np.asarray(shares, np.float64).clip(1e-30)).astype(np.float32)


def _cell_centres(map_size, alignment):
    """(h, w, 2) in pixels of the input."""
    return cells_to_input(np.stack(np.meshgrid(*map(np.arange, map_size)), axis=-1), SIZE, map_size, alignment)


def _oks_by_the_sum(logits, places, alignment, sigma, area):
    """COCO's OKS (exp(-d^2 / (2 area (2 sigma)^2))) of `places` (..., 2) in pixels, the mean over a map's cells."""
    shares = np.exp(logits.astype(np.float64) - np.nanmax(logits))
    shares = np.nan_to_num(shares) / np.nansum(shares)
    centres = _cell_centres(logits.shape[::-1], alignment)
    distances = ((places[..., None, None, :] - centres) ** 2).sum(axis=-1)
    return (shares * np.exp(-distances / (2 * area * (2 * sigma) ** 2))).sum(axis=(-2, -1))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([MAP, UNEVEN]), alignments, st.floats(0.02, 0.2), st.floats(0.5, 4))
def test_it_is_the_highest_of_the_sums_over_all_cells(seed, map_size, alignment, sigma, spread):
    logits = np.random.default_rng(seed).normal(0, spread, map_size[::-1]).astype(np.float32)
    logits[seed % map_size[1], seed % map_size[0]] = np.nan
    fall_offs = oks_fall_offs([sigma], SIZE, 1.25)
    xy, _ = decode_expected_oks(logits[None], SIZE, alignment, fall_offs, 1.5)
    area = (0.58 / 1.25) ** 2 * SIZE[0] * SIZE[1]
    expected = _oks_by_the_sum(logits, _cell_centres(map_size, alignment), alignment, sigma, area)
    off = np.abs(
        input_to_cells(xy[0], SIZE, map_size, alignment) - np.stack(np.meshgrid(*map(np.arange, map_size)), -1)
    )
    assert expected[(off <= 0.5 + 1e-4).all(axis=-1)].max() == pytest.approx(expected.max(), rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), fractions, fractions, st.floats(6, 16))
def test_no_place_beside_it_is_better(seed, x, y, fall_off):
    """Of two hills that lie over each other: a parabola finds the top of their sum."""
    joints = _inside(x, y, margin=20) + np.random.default_rng(seed).uniform(-8, 8, (2, 2))
    maps = encode_heatmaps(joints, SIZE, MAP, "half-pixel", 1.5)
    logits = _logits(0.6 * maps[0] + 0.4 * maps[1])
    xy, _ = decode_expected_oks(logits[None], SIZE, "half-pixel", [fall_off], 1.5)
    around = np.stack(np.meshgrid(*[np.linspace(-4, 4, 9)] * 2), axis=-1)  # a cell to each side
    found, beside = (
        _oks_by_the_sum(logits, places, "half-pixel", fall_off / 2, 1) for places in (xy[0], xy[0] + around)
    )
    assert beside.max() - found < 2e-3


@settings(deadline=None)
@given(fractions, fractions, alignments, st.floats(1, 2), st.floats(4, 16), st.sampled_from([MAP, (24, 64)]))
def test_a_gaussian_is_found_to_a_few_hundredths_of_a_cell(x, y, alignment, sigma, fall_off, map_size):
    joint = _inside(x, y, margin=24)
    maps = encode_heatmaps(joint, SIZE, map_size, alignment, sigma)
    xy, scores = decode_expected_oks(_logits(maps), SIZE, alignment, [fall_off], sigma)
    off = input_to_cells(xy, SIZE, map_size, alignment) - input_to_cells(joint, SIZE, map_size, alignment)
    assert np.abs(off).max() < 0.04
    assert scores[0] == decode_heatmaps(_logits(maps), SIZE, alignment, "dark", sigma, "softmax")[1][0] > 0.75


def test_more_probability_nearby_wins_over_a_higher_peak():
    narrow, broad = (
        encode_heatmaps(np.array([[22.0, 30]]), SIZE, MAP, "half-pixel", 0.8),
        encode_heatmaps(np.array([[70.0, 90]]), SIZE, MAP, "half-pixel", 2.5),
    )
    logits = _logits(narrow + 0.5 * broad)
    np.testing.assert_allclose(decode_heatmaps(logits, SIZE, "half-pixel", activation="softmax")[0], [[22, 30]], atol=1)
    np.testing.assert_allclose(decode_expected_oks(logits, SIZE, "half-pixel", [10.0], 1.5)[0], [[70, 90]], atol=0.2)
    # Where OKS forgives nothing, the highest cell is what counts.
    np.testing.assert_allclose(decode_expected_oks(logits, SIZE, "half-pixel", [1.5], 1.5)[0], [[22, 30]], atol=1)


def test_one_certain_cell_is_its_own_centre_and_worth_1():
    maps = np.zeros((4, 32, 24))
    places = np.array([[0, 0], [23, 31], [5, 0], [12, 17]])
    maps[np.arange(4), places[:, 1], places[:, 0]] = 1
    xy, scores = decode_expected_oks(_logits(maps), SIZE, "half-pixel", [2.0, 6.0, 20.0, 60.0], 1.5)
    np.testing.assert_allclose(xy, (places + 0.5) * 4, atol=1e-3)
    np.testing.assert_allclose(scores, 1, atol=1e-5)


def test_a_map_that_prefers_nothing_has_found_nothing():
    maps = np.stack([np.zeros((32, 24)), np.full((32, 24), 0.7), np.full((32, 24), np.nan)])
    xy, scores = decode_expected_oks(maps, SIZE, "half-pixel", [8.0] * 3, 1.5)
    assert np.isnan(xy).all()
    assert scores.tolist() == [0, 0, 0]


def test_a_spoilt_cell_does_not_spoil_the_map():
    joint = np.array([[50.0, 70.0]])
    maps = _logits(encode_heatmaps(joint, SIZE, MAP, "half-pixel", 2.0))
    maps[0, 3, 3] = np.nan
    maps[0, 18, 13] = np.nan  # beside the peak
    xy, scores = decode_expected_oks(maps, SIZE, "half-pixel", [8.0], 1.5)
    assert np.abs(xy - joint).max() < 2
    assert 0 < scores[0] <= 1


def test_maps_of_few_cells_are_decoded():
    for shape in ((1, 1), (1, 9), (2, 2), (9, 2)):
        maps = np.random.default_rng(0).random((3, *shape)).astype(np.float32)
        xy, scores = decode_expected_oks(maps, (16, 16), "half-pixel", [4.0] * 3, 1.5)
        assert np.isfinite(xy).all() == (shape != (1, 1))  # one cell alone is preferred to nothing
        assert ((scores >= 0) & (scores <= 1)).all()


def test_batches_of_any_shape_are_decoded_as_each_alone():
    fall_offs = [2.0, 4.0, 6.0, 8.0, 10.0]
    logits = np.random.default_rng(3).normal(size=(2, 4, 5, 32, 24)).astype(np.float32)
    together, scores = decode_expected_oks(logits, SIZE, "half-pixel", fall_offs, 1.5)
    assert together.shape == (2, 4, 5, 2)
    for joint, fall_off in enumerate(fall_offs):
        alone, score = decode_expected_oks(logits[1, 3, joint][None], SIZE, "half-pixel", [fall_off], 1.5)
        np.testing.assert_allclose(together[1, 3, joint], alone[0], atol=1e-3)
        assert scores[1, 3, joint] == pytest.approx(score[0], rel=1e-5)
    assert decode_expected_oks(logits[:0], SIZE, "half-pixel", fall_offs, 1.5)[0].shape == (0, 4, 5, 2)


def _card(**crop):
    head = {
        "kind": "heatmap",
        "alignment": "half-pixel",
        "decoding": "expected-oks",
        "activation": "softmax",
        "sigma": 1.5,
    }
    skeleton = {"name": "two", "joints": ["left_ear", "right_ear"], "sigmas": [0.03, 0.1]}
    content = {"name": "net", "skeleton": skeleton, "input": {"width": 96, "height": 128}, "crop": crop, "head": head}
    return parse_card(content, "test")


def test_a_card_says_the_sigmas_and_the_padding():
    logits = np.random.default_rng(0).normal(size=(3, 2, 32, 24)).astype(np.float32)
    for padding in (1.0, 2.0):
        joints = decode_outputs(_card(padding=padding), {"heatmaps": logits})
        fall_offs = [2 * sigma * 0.58 * np.sqrt(96 * 128) / padding for sigma in (0.03, 0.1)]
        xy, scores = decode_expected_oks(logits, SIZE, "half-pixel", fall_offs, 1.5)
        np.testing.assert_allclose(joints.xy, xy, atol=1e-4)
        np.testing.assert_allclose(joints.scores, scores, rtol=1e-5)
        assert joints.seen.all()


def test_the_flip_test_averages_the_maps_first():
    logits, mirrored = np.random.default_rng(0).normal(size=(2, 3, 2, 32, 24)).astype(np.float32)
    both = decode_outputs(_card(), {"heatmaps": logits}, {"heatmaps": mirrored})
    averaged = average_mirrored(logits, mirrored[:, [1, 0]], 96, "half-pixel")
    np.testing.assert_array_equal(both.xy, decode_outputs(_card(), {"heatmaps": averaged}).xy)


def test_it_is_cheap_beside_a_network():
    random = np.random.default_rng(0)
    maps = encode_heatmaps(random.uniform(40, 150, (8, 17, 2)), (192, 256), (48, 64), "half-pixel", 1.5)
    logits = np.log(maps + 1e-6) + random.normal(0, 0.5, maps.shape).astype(np.float32)
    fall_offs = oks_fall_offs(read_skeleton("coco17").sigmas, (192, 256), 1.25)

    def seconds():
        start = time.perf_counter()
        decode_expected_oks(logits, (192, 256), "half-pixel", fall_offs, 1.5)
        return time.perf_counter() - start

    milliseconds = min(seconds() for _ in range(20)) * 1000 / 8
    print(f"17 heatmaps of 48 x 64: {milliseconds:.2f} ms a crop")
    assert milliseconds < 1
