"""Joints stay on their pixels through every change of a crop."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainers.training_data import COLOURS, DOTS, dot_sample
from trainers.augmentation import Augmentation, change_colours, draw_change, half_body_box, reach
from trainers.batches import PlainBatches, TrainingBatches
from trainers.codecs import decode_heatmaps, encode_heatmaps
from trainers.crop_store import CropStore
from trainers.crops import crop_affines, crop_image
from trainers.model_card import CropCard
from trainers.network_input import encode_input
from trainers.samples import SampleView, TeacherJoints
from trainers.steps import Steps
from trainers.targets import Targets
from trainers.task import card_origin
from trainers.training_config import parse_config

SIZE = (96, 128)
GEOMETRY = Augmentation(
    brightness=0, contrast=0, saturation=0, grey_probability=0, blur_probability=0, cut_out_probability=0
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("dots")
    return [dot_sample(folder, number, random) for number in range(6)]


def _view(samples, augmentation=GEOMETRY, budget=1 << 22, teacher=None):
    crop = CropCard()
    store = CropStore(samples, SIZE, crop, reach(augmentation, SIZE), budget)
    return SampleView(store, DOTS, SIZE, crop, teacher)


def _disc_centre(pixels, colour):
    """Where the pixels of a colour lie, weighted by how purely they have it; None where there are too few."""
    other = [channel for channel in range(3) if COLOURS[colour][channel] == 0]
    purity = (pixels[..., colour % 3].astype(float) - pixels[..., other].max(axis=-1)).clip(0)
    purity[purity < 60] = 0
    if (purity > 0).sum() < 30:
        return None
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    return np.array([(x * purity).sum(), (y * purity).sum()]) / purity.sum()


@given(st.integers(0, 5), st.integers(0, 10_000))
def test_joints_lie_on_their_discs_after_any_change(samples, index, seed):
    shown = _view(samples).changed(index, np.random.default_rng(seed), GEOMETRY)
    flipped = draw_change(GEOMETRY, SIZE, np.random.default_rng(seed)).flipped
    for joint, xy in enumerate(shown.xy):
        whole = (xy > 14).all() and (xy < np.array(SIZE) - 14).all()  # False for NaN
        centre = _disc_centre(shown.pixels, DOTS.flip_order[joint] if flipped else joint)
        if whole and centre is not None:
            assert np.linalg.norm(centre - xy) < 0.6


def test_most_changes_show_most_discs(samples):
    """Else the test above would look at nothing."""
    view = _view(samples)
    shown = [view.changed(index, np.random.default_rng(seed), GEOMETRY) for index in range(6) for seed in range(10)]
    assert np.mean([np.isfinite(one.xy).all() for one in shown]) > 0.7


def test_plain_crops_are_those_of_the_model_in_use(samples):
    crop = CropCard()
    store = CropStore(samples, SIZE, crop, budget_bytes=1 << 20)
    view = SampleView(store, DOTS, SIZE, crop)
    for index, sample in enumerate(samples):
        affine = crop_affines(sample.instance.bbox_xyxy[None], SIZE, crop.padding, crop.fit)[0]
        expected = crop_image(sample.image.read(), affine, SIZE, crop.border)
        np.testing.assert_array_equal(view.plain(index).pixels, expected)


def test_what_is_kept_and_what_is_read_again_are_the_same(samples):
    compressed_bytes = 60_000  # of all six; raw they are ten times as large
    kept, read = _view(samples, budget=compressed_bytes), _view(samples, budget=0)
    for _ in range(2):
        for index in range(len(samples)):
            one = kept.changed(index, np.random.default_rng(7), Augmentation())
            other = read.changed(index, np.random.default_rng(7), Augmentation())
            np.testing.assert_array_equal(one.pixels, other.pixels)
            np.testing.assert_array_equal(one.xy, other.xy)
    assert 0 < sum(one.nbytes for one in kept.store._cache._kept.values()) <= compressed_bytes


def test_what_fits_is_kept_as_it_is(samples):
    store = CropStore(samples, SIZE, CropCard(), reach(GEOMETRY, SIZE), 1 << 22)
    first = store.region(0).pixels
    assert store.region(0).pixels is first
    assert first.shape[:2] == store.size[::-1]


@given(st.integers(0, 10_000))
def test_a_change_keeps_lengths_in_proportion(seed):
    change = draw_change(Augmentation(), SIZE, np.random.default_rng(seed))
    matrix = change.affine[:, :2]
    scale = np.sqrt(abs(np.linalg.det(matrix)))
    assert 1 / 1.3001 <= scale <= 1.3001
    np.testing.assert_allclose(matrix @ matrix.T, scale**2 * np.eye(2), atol=1e-9)
    assert (np.linalg.det(matrix) < 0) == change.flipped


def test_the_reach_holds_the_corners_of_every_change():
    settings = Augmentation()
    across, along = reach(settings, SIZE)
    room = np.array(SIZE) * (across, along) / 2
    corners = np.array([[0, 0], [SIZE[0], 0], [0, SIZE[1]], SIZE], float)
    for seed in range(500):
        affine = draw_change(settings, SIZE, np.random.default_rng(seed)).affine
        back = (corners - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T
        assert (np.abs(back - np.array(SIZE) / 2) <= room + 1e-6).all()


def test_half_a_body_holds_about_half_of_the_joints():
    random = np.random.default_rng(0)
    xy = np.column_stack([random.uniform(0, 20, 12), np.linspace(0, 200, 12)]).astype(np.float32)
    for _ in range(10):
        box = half_body_box(xy, np.ones(12, bool), random)
        inside = ((xy >= box[:2]) & (xy <= box[2:])).all(axis=1)
        assert 6 <= inside.sum() <= 10
    assert half_body_box(xy, np.arange(12) < 5, random) is None


def test_colours_change_and_the_source_does_not():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    before = pixels.copy()
    changed = [change_colours(pixels, Augmentation(), random) for _ in range(20)]
    np.testing.assert_array_equal(pixels, before)
    assert all(one.shape == pixels.shape and one.dtype == np.uint8 for one in changed)
    assert len({one.tobytes() for one in changed}) == 20


def _bars(size=(64, 48)):
    """Upright bars of many widths, in colours that a wrong order of channels would change."""
    columns = np.cumsum(np.arange(size[0]) % 7 == 0) % 2 * 160 + 40
    return np.broadcast_to((columns[None, :, None] * [1.0, 0.6, 0.2]), (size[1], size[0], 3)).astype(np.uint8)


@pytest.mark.parametrize("harm", ["coarse", "noise", "compression"])
def test_a_worse_camera_changes_pixels_and_neither_places_nor_colours(harm):
    pixels = _bars()
    settings = GEOMETRY.model_copy(update={f"{harm}_probability": 1.0})
    changed = [change_colours(pixels, settings, np.random.default_rng(seed)).astype(float) for seed in range(10)]
    assert all(one.shape == pixels.shape for one in changed)
    assert min(np.abs(one - pixels).mean() for one in changed) > 0.5
    for one in changed:
        np.testing.assert_allclose(one.mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), atol=12)
        shifts = [np.abs(np.roll(one, shift, axis=1) - pixels)[:, 4:-4].mean() for shift in (-3, 0, 3)]
        assert shifts[1] == min(shifts)


def test_a_step_normalises_pixels_as_the_card_says():
    config = parse_config({"data": {"train": "labels.json"}, "input": {"width": 96, "height": 128}}, "test")
    steps: Steps = Steps(torch.nn.Conv2d(3, 1, 1), config, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 128, 96, 3), dtype=np.uint8)
    given = encode_input(card_origin(config)["input"], pixels)
    np.testing.assert_allclose(steps.normalised(torch.from_numpy(pixels)).numpy(), given, atol=1e-6)


def test_unlabelled_joints_stay_unlabelled_and_teachers_follow_the_change(samples):
    truth = np.stack([sample.instance.xy for sample in samples])
    teacher = TeacherJoints(truth, np.full(truth.shape[:2], 0.7, np.float32))
    view = _view(samples, teacher=teacher)
    for seed in range(20):
        shown = view.changed(2, np.random.default_rng(seed), GEOMETRY)
        np.testing.assert_array_equal(shown.xy, shown.teacher_xy)
        np.testing.assert_array_equal(shown.visibility > 0, shown.teacher_scores > 0)


def _targets(map_size=(24, 32), occluded_is_negative=False):
    return Targets((96, 128), map_size, 2.0, occluded_is_negative, np.ones(3, np.float32))


def _training(samples, epoch, threads=1, seed=3, weights=None):
    weights = np.ones(len(samples)) if weights is None else np.asarray(weights, float)
    draw = partial(_view(samples).changed, settings=Augmentation())
    return TrainingBatches(draw, _targets().encode, weights, 2, seed, lambda: epoch, threads)


def test_an_epoch_is_the_same_again_in_any_number_of_threads(samples):
    first, again = (list(_training(samples, 4, threads)) for threads in (1, 3))
    for one, other in zip(first, again, strict=True):
        for tensor, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(tensor.numpy(), same.numpy())
    other_epoch = list(_training(samples, 5))
    assert any((a.pixels != b.pixels).any() for a, b in zip(first, other_epoch, strict=True))


def test_every_sample_is_seen_once_an_epoch(samples):
    for epoch in range(5):
        seen = np.concatenate([batch.samples.numpy() for batch in _training(samples, epoch)])
        assert sorted(seen) == list(range(6))


def test_weights_are_how_often_a_sample_is_seen(samples):
    weights = [1, 1, 0.5, 0.5, 2, 1]
    seen = np.zeros(6)
    for epoch in range(200):
        for batch in _training(samples, epoch, weights=weights):
            np.add.at(seen, batch.samples.numpy(), 1)
    np.testing.assert_allclose(seen / 200, weights, atol=0.1)


def test_targets_decode_to_the_joints(samples):
    view = SampleView(CropStore(samples, SIZE, CropCard()), DOTS, SIZE, CropCard())
    targets = _targets()
    maps = np.concatenate([targets.maps(batch).numpy() for batch in PlainBatches(view.plain, targets.encode, 6, 4)])
    expected = np.stack([view.plain(index).xy for index in range(6)])
    np.testing.assert_allclose(decode_heatmaps(maps, SIZE, "half-pixel")[0], expected, atol=0.05)
    np.testing.assert_allclose(maps, encode_heatmaps(expected, SIZE, (24, 32), "half-pixel", 2.0), atol=1e-5)


def test_an_occluded_joint_is_drawn_negative_where_that_is_wanted(samples):
    hidden = replace(samples[0].instance, visibility=np.array([2, 1, 0], np.uint8))
    view = SampleView(CropStore([replace(samples[0], instance=hidden)], SIZE, CropCard()), DOTS, SIZE, CropCard())
    targets = _targets(occluded_is_negative=True)
    batch = next(iter(PlainBatches(view.plain, targets.encode, 1, 1)))
    maps = targets.maps(batch)[0]
    assert maps[0].max() > 0.9
    assert maps[1].min() < -0.9
    assert not maps[2].any()
    assert batch.weights[0].tolist() == [1, 1, 0]
    assert batch.visible[0].tolist() == [1, 0, 0]
