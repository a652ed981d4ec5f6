"""PCK by box, torso and head; who is paired with whom."""

import numpy as np
import pytest

from cvat_export.skeleton import Skeleton, read_skeleton
from tests.trainers.coco_oracle import random_people, tables
from trainers.errors import TrainersError
from trainers.metrics.pairing import pair_by_boxes, pair_by_oks
from trainers.metrics.pck import auc_parts, pck, pck_curve, reference_lengths, subject_errors
from trainers.metrics.tables import EstimateTable, TruthTable

COCO, LSP = read_skeleton("coco17"), read_skeleton("lsp14")


def _truth(xy, labelled, bbox=(0, 0, 40, 100), image=0):
    xy = np.array([xy], float)
    return TruthTable(
        np.array([image]),
        xy,
        np.array([labelled], bool),
        np.array([bbox], float),
        np.array([1000.0]),
        np.array([False]),
    )


def _estimates(xy, proposed, bbox=(0, 0, 40, 100), scores=1.0):
    xy = np.array([xy], float)
    joints = xy.shape[1]
    return EstimateTable(
        np.array([0]),
        xy,
        np.array([proposed], bool),
        np.array([bbox], float),
        np.array([scores]),
        np.full((1, joints), np.nan),
    )


def _pose(skeleton, **joints):
    xy, labelled = np.zeros((len(skeleton.joints), 2)), np.zeros(len(skeleton.joints), bool)
    for name, point in joints.items():
        xy[skeleton.joints.index(name)], labelled[skeleton.joints.index(name)] = point, True
    return _truth(xy, labelled)


def test_torso_is_the_mean_of_the_diagonals_that_are_labelled():
    both = {"left_shoulder": (0, 0), "right_hip": (30, 40), "right_shoulder": (10, 0), "left_hip": (10, 60)}
    assert reference_lengths(_pose(COCO, **both), COCO, "torso")[0] == pytest.approx(55)
    one = {name: point for name, point in both.items() if name != "left_hip"}
    assert reference_lengths(_pose(COCO, **one), COCO, "torso")[0] == pytest.approx(50)
    assert np.isnan(reference_lengths(_pose(COCO, nose=(1, 1)), COCO, "torso")[0])


def test_head_is_from_its_top_to_the_neck_or_between_named_joints():
    head = _pose(LSP, head_top=(0, 0), neck=(0, 25))
    assert reference_lengths(head, LSP, "head")[0] == 25
    ears = _pose(COCO, left_ear=(0, 0), right_ear=(3, 4))
    assert reference_lengths(ears, COCO, "left ear, Right_Ear")[0] == 5


@pytest.mark.parametrize(
    ("reference", "words"),
    [("head", "head_top and neck"), ("nose", "two joints"), ("nose,tail", "nose and tail"), ("nose,nose", "nose")],
)
def test_a_reference_that_the_skeleton_lacks_is_an_error_that_names_it(reference, words):
    with pytest.raises(TrainersError, match=words):
        reference_lengths(_pose(COCO, nose=(0, 0)), COCO, reference)


def test_a_skeleton_without_a_torso():
    with pytest.raises(TrainersError, match="shoulders and hips"):
        reference_lengths(_truth([[0, 0]], [True]), Skeleton("dot", ("dot",)), "torso")


def test_missed_unproposed_and_unlabelled_joints():
    truth = _truth([[0, 0], [0, 0], [0, 0], [0, 0]], [True, True, True, False])
    estimates = _estimates([[5, 0], [11, 0], [1, 0], [0, 0]], [True, True, False, True])
    reference = np.array([100.0])
    strict = subject_errors(truth, estimates, np.array([0]), reference)
    assert strict.off_px[0].tolist() == [5, 11, np.inf, pytest.approx(np.nan, nan_ok=True)]
    assert pck(strict.relative, 0.1) == pytest.approx(1 / 3)
    kind = subject_errors(truth, estimates, np.array([0]), reference, all_coordinates=True)
    assert pck(kind.relative, 0.1) == pytest.approx(2 / 3)
    missed = subject_errors(truth, estimates, np.array([-1]), reference)
    assert pck(missed.relative, 0.1) == 0
    assert np.isnan(pck(subject_errors(truth, estimates, np.array([0]), np.array([np.nan])).relative, 0.1))


def test_the_area_under_the_curve_is_that_of_the_curve():
    rng = np.random.default_rng(2)
    relative = np.where(rng.random((50, 17)) < 0.8, rng.exponential(0.2, (50, 17)), np.nan)
    relative[0, :3] = np.inf
    fine = np.linspace(0, 0.5, 100_001)
    area = np.trapezoid(pck_curve(relative, fine), fine) / 0.5
    assert np.nanmean(auc_parts(relative, 0.5)) == pytest.approx(area, abs=1e-4)
    assert pck_curve(relative, np.array([0.1]))[0] == pytest.approx(pck(relative, 0.1))


def test_people_are_paired_with_their_own_estimates():
    truth, results = random_people(11, images=60)
    ours, _ = tables(truth, results, 17)
    rng = np.random.default_rng(0)
    shuffled = np.lexsort((rng.random(len(ours)), ours.image))
    same = EstimateTable(
        image=ours.image[shuffled],
        xy=ours.xy[shuffled] + 0.1,
        proposed=np.ones_like(ours.labelled),
        bbox_xywh=ours.bbox_xywh[shuffled],
        scores=rng.random(len(ours)),
        joint_scores=np.full(ours.labelled.shape, np.nan),
    )
    by_boxes, by_oks = pair_by_boxes(ours, same), pair_by_oks(ours, same, COCO.sigmas)
    people = ~ours.crowd
    assert (shuffled[by_boxes[people]] == np.flatnonzero(people)).all()
    assert (by_boxes[ours.crowd] == -1).all() and ours.crowd.any()
    sure = ~ours.ignored
    assert (shuffled[by_oks[sure]] == np.flatnonzero(sure)).mean() > 0.99


def test_a_box_that_overlaps_too_little_is_somebody_else():
    truth = _truth([[0, 0]], [True])
    assert pair_by_boxes(truth, _estimates([[0, 0]], [True], bbox=(0, 0, 40, 51))).tolist() == [0]
    assert pair_by_boxes(truth, _estimates([[0, 0]], [True], bbox=(0, 0, 40, 49))).tolist() == [-1]
