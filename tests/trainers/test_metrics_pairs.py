"""PCK and OKS where it is known who is who."""

import numpy as np
import pytest

from cvat_export.changes import oks
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton
from trainers.metrics.pairs import box_areas, oks_given_boxes, pck_given_boxes

COCO = read_skeleton("coco17")


def test_pck_counts_labelled_joints_within_a_share_of_the_longer_side():
    truth = np.zeros((1, 4, 2))
    found = np.array([[[10, 0], [10.01, 0], [0, 0], [500, 0]]])
    labelled = np.array([[True, True, True, False]])
    box = np.array([[0, 0, 40, 100]])
    assert pck_given_boxes(found, truth, labelled, box) == pytest.approx(2 / 3)
    assert pck_given_boxes(found, truth, labelled, box, threshold=0.2) == 1


def test_what_is_not_there_is_wrong_and_what_is_not_labelled_does_not_count():
    truth = np.array([[[5.0, 5.0], [np.nan, np.nan]]])
    found = np.array([[[np.nan, np.nan], [3.0, 3.0]]])
    box = np.array([[0, 0, 10, 10]])
    assert pck_given_boxes(found, truth, [[True, False]], box) == 0
    assert oks_given_boxes(found, truth, [[True, False]], box, [0.1, 0.1]).tolist() == [0]
    assert np.isnan(pck_given_boxes(found, truth, [[False, False]], box))
    assert np.isnan(oks_given_boxes(found, truth, [[False, False]], box, [0.1, 0.1])).all()


def test_nobody():
    nobody = np.zeros((0, 17, 2))
    assert np.isnan(pck_given_boxes(nobody, nobody, np.zeros((0, 17), bool), np.zeros((0, 4))))
    assert oks_given_boxes(nobody, nobody, np.zeros((0, 17), bool), np.zeros((0, 4)), COCO.sigmas).shape == (0,)


def test_oks_is_that_of_matching():
    rng = np.random.default_rng(5)
    for _ in range(20):
        box = np.array([10, 20, 110, 180], np.float32)
        people = [Instance("person", box, rng.uniform(10, 180, (17, 2)), (rng.random(17) < 0.7) * 2) for _ in range(2)]
        other = Instance("person", box, people[1].xy, np.full(17, 2))  # an estimate has every joint
        wanted = oks(people[0], other, COCO)
        got = oks_given_boxes(
            other.xy[None], people[0].xy[None], people[0].labelled[None], box[None], COCO.sigmas, box_areas(box[None])
        )
        assert got[0] == pytest.approx(wanted, abs=1e-9)
