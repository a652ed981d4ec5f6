"""Good, jitter, inversion, swap and miss where it is known which is which."""

import numpy as np
import pytest

from trainers.metrics.error_classes import ErrorClass, classify_errors
from trainers.metrics.pck import subject_errors
from trainers.metrics.tables import EstimateTable, TruthTable

SIGMA, AREA = 0.05, 10_000.0
FLIP = (0, 2, 1)  # nose, left, right


def _distance(similarity):
    """How far off a joint of this similarity lies, px."""
    return float(np.sqrt(-np.log(similarity) * 2 * AREA) * 2 * SIGMA)


def _classes(estimated, proposed=(True, True, True), labelled=((True,) * 3, (True,) * 3), area=(AREA, AREA)):
    """Of the first of two people, whose joints are at x = 0, 100, 200; the other's are 1,000 px to the right."""
    mine = np.array([[0, 0], [100, 0], [200, 0]], float)
    truth = TruthTable(
        image=np.array([0, 0]),
        xy=np.stack([mine, mine + np.array([1000, 0])]),
        labelled=np.array(labelled),
        bbox_xywh=np.array([[0, 0, 200, 50], [1000, 0, 200, 50]], float),
        area=np.array(area),
        crowd=np.zeros(2, bool),
    )
    estimates = EstimateTable(
        image=np.array([0]),
        xy=np.array([[(x, 0) for x in estimated]], float),
        proposed=np.array([proposed]),
        bbox_xywh=truth.bbox_xywh[:1],
        scores=np.ones(1),
        joint_scores=np.ones((1, 3)),
    )
    subjects = subject_errors(truth, estimates, np.array([0, -1]), np.full(2, 200.0))
    return [ErrorClass(kind) for kind in classify_errors(truth, estimates, subjects, [SIGMA] * 3, FLIP)[0]]


@pytest.mark.parametrize(
    ("similarity", "kind"),
    [(1.0, "GOOD"), (0.851, "GOOD"), (0.849, "JITTER"), (0.501, "JITTER"), (0.499, "MISS"), (0.01, "MISS")],
)
def test_thresholds_of_the_paper(similarity, kind):
    assert _classes([_distance(similarity), 100, 200])[0] == ErrorClass[kind]


def test_sides_exchanged_are_inversions():
    assert _classes([0, 200, 100]) == [ErrorClass.GOOD, ErrorClass.INVERSION, ErrorClass.INVERSION]


def test_joints_of_somebody_else_are_swaps_on_either_side():
    assert _classes([1000, 1100, 1100]) == [ErrorClass.SWAP] * 3
    alone = (True,) * 3, (False,) * 3
    assert _classes([1000, 1100, 1100], labelled=alone) == [ErrorClass.MISS] * 3


def test_another_joint_that_is_no_twin_is_a_miss():
    assert _classes([100, 0, 0]) == [ErrorClass.MISS] * 3


def test_what_is_not_labelled_is_not_judged_and_what_is_not_proposed_is_missed():
    labelled = (False, True, True), (True,) * 3
    got = _classes([0, 100, 200], proposed=(True, False, True), labelled=labelled)
    assert got == [ErrorClass.NOT_JUDGED, ErrorClass.MISS, ErrorClass.GOOD]


def test_everybody_is_measured_at_their_own_scale():
    near = 1000 + _distance(0.6)
    assert _classes([near, 100, 200])[0] == ErrorClass.SWAP
    assert _classes([near, 100, 200], area=(AREA, AREA / 100))[0] == ErrorClass.MISS


def test_who_was_not_found_is_not_judged():
    truth = TruthTable(
        np.zeros(1, int), np.zeros((1, 3, 2)), np.ones((1, 3), bool), np.ones((1, 4)), np.ones(1), np.zeros(1, bool)
    )
    nobody = EstimateTable(
        np.zeros(0, int), np.zeros((0, 3, 2)), np.ones((0, 3), bool), np.ones((0, 4)), np.ones(0), np.zeros((0, 3))
    )
    subjects = subject_errors(truth, nobody, np.array([-1]), np.ones(1))
    assert (classify_errors(truth, nobody, subjects, [SIGMA] * 3, FLIP) == ErrorClass.NOT_JUDGED).all()
