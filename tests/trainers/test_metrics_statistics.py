"""Intervals, calibration and sigmas against answers that are known beforehand."""

import numpy as np
import pytest
from scipy.optimize import minimize

from trainers.errors import TrainersError
from trainers.metrics.bootstrap import draw_groups, interval, resample_ratio, share_above_zero, sum_by_group
from trainers.metrics.calibration import FittedCalibration, expected_calibration_error, fit_calibration, reliability
from trainers.metrics.sigma_estimation import estimate_sigmas


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(600):
        counts = rng.integers(5, 20, 100)
        right = rng.binomial(counts, rng.beta(14, 6, 100))  # groups differ: mean 0.7
        resampled = resample_ratio(draw_groups(100, 400, seed), right.astype(float), counts.astype(float))
        found = interval(right.sum() / counts.sum(), resampled, 100)
        hits += found.low <= 0.7 <= found.high
    assert 0.91 <= hits / 600 <= 0.975


def test_whole_groups_are_drawn_and_the_seed_decides():
    draws = draw_groups(5, 50, seed=3)
    assert (draws.sum(axis=1) == 5).all()
    assert (draws == draw_groups(5, 50, seed=3)).all()
    assert (draws != draw_groups(5, 50, seed=4)).any()
    values = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 1.0]])
    assert sum_by_group(values, [1, 0, 1], 3).tolist() == [[2, 5], [4, 1], [0, 0]]


def test_one_group_has_no_interval():
    found = interval(0.5, np.full(10, 0.5), 1)
    assert found.value == 0.5 and np.isnan(found.low) and np.isnan(found.high)
    assert np.isnan(resample_ratio(draw_groups(0, 10, 0), np.zeros(0), np.zeros(0))).all()


def test_share_above_zero():
    assert share_above_zero(np.array([1.0, -1.0, 2.0, 0.0, np.nan])) == 0.625


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.5, -0.7), (0.4, 1.2)])
def test_calibration_finds_the_numbers_that_made_the_data(temperature, bias):
    rng = np.random.default_rng(1)
    scores = rng.uniform(0.02, 0.98, 40_000)
    right = rng.random(40_000) < FittedCalibration(temperature, bias).apply(scores)
    found = fit_calibration(scores, right)
    assert (found.temperature, found.bias) == pytest.approx((temperature, bias), rel=0.06, abs=0.05)
    before = expected_calibration_error(reliability(scores, right))
    after = expected_calibration_error(reliability(found.apply(scores), right))
    assert after < 0.015 and after <= before + 0.01


def test_calibration_is_the_likeliest_by_another_optimiser():
    rng = np.random.default_rng(4)
    scores = rng.beta(2, 1, 300)
    right = rng.random(300) < scores**2

    def loss(parameters):
        p = FittedCalibration(np.exp(parameters[0]), parameters[1]).apply(scores)
        return -np.log(np.where(right, p, 1 - p)).sum()

    other = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
    found = fit_calibration(scores, right)
    assert (np.log(found.temperature), found.bias) == pytest.approx(tuple(other.x), abs=1e-4)


@pytest.mark.parametrize(
    ("scores", "right", "words"),
    [
        (np.linspace(0, 1, 10), np.arange(10) > 4, "expected at least 50"),
        (np.linspace(0, 1, 100), np.ones(100), "some right and some wrong"),
        (np.linspace(0, 1, 100), np.arange(100) < 50, "the opposite"),
        (np.linspace(0, 1, 100), np.arange(100) >= 50, "part entirely"),
    ],
)
def test_calibration_says_when_there_is_nothing_to_fit(scores, right, words):
    with pytest.raises(TrainersError, match=words):
        fit_calibration(scores, right)


def test_calibration_of_scores_that_are_all_equal():
    right = np.arange(100) < 30
    with pytest.raises(TrainersError, match="say nothing about"):
        fit_calibration(np.full(100, 0.5), right)


def test_reliability_counts_every_joint_once():
    table = reliability([0.0, 0.05, 0.95, 1.0, 0.1], [0, 1, 1, 0, 1])
    assert [row.count for row in table] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert table[0].share_right == 0.5
    wanted = (2 * abs(0.025 - 0.5) + 1 * 0.9 + 2 * abs(0.975 - 0.5)) / 5
    assert expected_calibration_error(table) == pytest.approx(wanted)
    assert np.isnan(expected_calibration_error(reliability([], [])))


def test_sigmas_come_back_from_simulated_labellers():
    rng = np.random.default_rng(9)
    sigmas = np.array([0.025, 0.08, 0.1])
    area = np.exp(rng.uniform(6, 12, 4000))
    truth = rng.uniform(0, 500, (4000, 3, 2))
    noise = np.sqrt(area)[:, None, None] * sigmas[:, None]
    first, second = (truth + rng.normal(0, 1, truth.shape) * noise for _ in range(2))
    labelled = rng.random((4000, 3)) < (1, 0.5, 0)
    found, count = estimate_sigmas(first, second, labelled, area)
    assert found[:2] == pytest.approx(sigmas[:2], rel=0.05)
    assert np.isnan(found[2]) and count[2] == 0 and count[0] == 4000
