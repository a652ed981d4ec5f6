"""A teacher's joints find the subjects they were proposed for."""

from dataclasses import replace

import numpy as np
import pytest

from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton
from tests.trainers.training_data import DOTS, dot_sample
from trainers.errors import TrainersError
from trainers.teaching import match_teacher

TEACHER = Skeleton("teacher", ("Nose", "mouth", "Left Eye"))


def _proposal(sample, shift=0.0):
    xy = np.stack([sample.instance.xy[2], sample.instance.xy[2] + 5, sample.instance.xy[0]]) + shift
    return Instance(
        "face", sample.instance.bbox_xyxy + shift, xy, np.array([2, 2, 1]), 0.9, np.array([0.8, 0.7, 0.3], np.float32)
    )


def _dataset(*images):
    return Dataset((Category("face", TEACHER),), tuple(images))


@pytest.fixture
def samples(tmp_path):
    random = np.random.default_rng(0)
    return [dot_sample(tmp_path, number, random) for number in range(3)]


def test_joints_are_matched_by_name_and_image_and_place(samples):
    far = _proposal(samples[0], shift=40.0)
    images = [LabelledImage(f"deep/{samples[0].file_name}", 160, 120, (far, _proposal(samples[0], shift=1.0)))]
    images += [LabelledImage(samples[1].file_name, 160, 120)]
    found = match_teacher(samples, DOTS, _dataset(*images))
    np.testing.assert_allclose(found.xy[0, [0, 2]], samples[0].instance.xy[[0, 2]] + 1)
    assert found.scores[0].tolist() == pytest.approx([0.3, 0, 0.8])
    assert np.isnan(found.xy[0, 1]).all()
    assert not found.scores[1:].any()
    assert np.isnan(found.xy[1:]).all()


def test_a_teacher_of_other_images_or_joints_is_refused(samples):
    elsewhere = LabelledImage("other.jpg", 160, 120, (_proposal(samples[0]),))
    with pytest.raises(TrainersError, match="none of its proposals overlaps"):
        match_teacher(samples, DOTS, _dataset(elsewhere))
    foreign = Dataset((Category("face", Skeleton("x", ("tail", "paw", "ear"))),), ())
    with pytest.raises(TrainersError, match="has no joint of skeleton 'dots'"):
        match_teacher(samples, DOTS, foreign)


def test_joints_that_the_teacher_left_out_teach_nothing(samples):
    hidden = replace(_proposal(samples[0]), visibility=np.array([0, 2, 2], np.uint8))
    found = match_teacher(samples, DOTS, _dataset(LabelledImage(samples[0].file_name, 160, 120, (hidden,))))
    assert found.scores[0].tolist() == pytest.approx([0.3, 0, 0])
