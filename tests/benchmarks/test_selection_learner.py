"""What the benchmark of selection trains and measures, on a few drawn pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from annotator.acquisition.doubts import pose_doubts
from annotator.acquisition.pool import SIGNALS
from annotator.acquisition.strategies import STRATEGIES
from benchmarks.selection.__main__ import CONFIGS, PEOPLE, _config
from benchmarks.selection.climbing import Choice
from benchmarks.selection.data_sets import MOUSE_BLOCKS, Subjects, limited, lspet, mouse
from benchmarks.selection.learner import CropLearner, as_model
from benchmarks.selection.learning import learn, learning_view, write_start
from benchmarks.selection.looking import cut_views, doubts, make_pool, propose
from cvat_export.labels import Boxes, Instance
from cvat_export.skeleton import Skeleton
from frame_tools.images import encode_image
from trainers.checkpoint import read_checkpoint
from trainers.image_files import ImageRef
from trainers.label_sources import LabelledData, Sample

SKELETON = Skeleton("dots", ("left_ear", "right_ear", "tail"), flip_pairs=((0, 1),))
STEPS = 3


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """Twelve frames of a video, each with three dots on noise."""
    folder, rng = tmp_path_factory.mktemp("dots"), np.random.default_rng(0)
    samples = []
    for number in range(16):
        pixels = rng.integers(0, 80, (60, 90, 3), np.uint8)
        xy = rng.uniform((10, 10), (80, 50), (3, 2)).astype(np.float32)
        for (x, y), colour in zip(xy.astype(int), np.eye(3) * 255, strict=True):
            pixels[y - 2 : y + 3, x - 2 : x + 3] = colour
        path = folder / f"frame{number:04}.png"
        path.write_bytes(encode_image(pixels, ".png"))
        instance = Instance("dots", np.array([5, 5, 85, 55], np.float32), xy, np.full(3, 2, np.uint8))
        samples.append(Sample(ImageRef(path), path.name, path.name, instance, 1.0))
    return Subjects("dots", SKELETON, tuple(samples[:12]), tuple(samples[12:]), np.arange(4), (3, 6, 9, 12), True)


@pytest.fixture(scope="module")
def start(subjects, tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "start.ckpt"
    labels = LabelledData(SKELETON, "dots", subjects.pool, (), (), {}, {}, {})
    write_start(path, labels, _config({**PEOPLE, "batch_size": 4}), STEPS)
    return path


@pytest.fixture
def learner(subjects, start):
    return CropLearner(subjects, _config(CONFIGS["cats"], weights=str(start), batch_size=4), lambda labels: STEPS)


def test_the_start_is_made_once(subjects, start):
    before = start.read_bytes()
    write_start(start, LabelledData(SKELETON, "dots", (), (), (), {}, {}, {}), _config(PEOPLE), STEPS)
    assert start.read_bytes() == before


def test_the_same_training_gives_the_same_weights(subjects, start):
    config = _config(CONFIGS["cats"], weights=str(start), batch_size=4, seed=3)
    view = learning_view(subjects.pool, SKELETON, config)
    first, again, other = (learn(view, rows, config, STEPS).weights for rows in ([0, 1], [0, 1], [0, 2]))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_signals_of_many_images_are_those_of_each(subjects, start):
    """`pose_doubts`, image by image, is what `annotator select` measures."""
    model, rows = as_model(read_checkpoint(start)), np.array([1, 4, 7])
    views = cut_views(model, subjects)
    scores = np.sort(np.ravel([one.keypoints.scores for one in propose(model, views, rows)]))
    least = float(scores[3:5].mean())  # half are proposed, and rounding decides about none
    model = replace(model, card=model.card.model_copy(update={"min_joint_score": least}))
    found = doubts(model, views, rows)
    for place, row in enumerate(rows):
        box = Boxes(subjects.pool[row].instance.bbox_xyxy[None], np.ones(1), ("dots",))
        alone = pose_doubts(model, subjects.images[row], box, 8)
        assert {name: values[place] for name, values in found.items()} == pytest.approx(alone, abs=1e-4)
    assert all(values.max() > 0 for values in found.values())


def test_a_pool_knows_what_its_images_are(subjects, start):
    model = as_model(read_checkpoint(start))
    views = cut_views(model, subjects)
    everything = np.arange(12)
    predictions = propose(model, views, everything)
    rest = np.arange(3, 12)
    pool = make_pool(views, predictions, (0, 1, 2), doubts(model, views, rest), predictions)
    assert pool.candidates.tolist() == rest.tolist()
    assert pool.signals.keys() == SIGNALS.keys()
    assert np.isnan(pool.signals["peaks"]).tolist() == pool.labelled.tolist()
    assert pool.signals["models"] == pytest.approx(1 - np.array([_finds(one) for one in predictions]))
    assert not np.isnan(pool.signals["jump"]).any()  # of one video
    assert set(pool.blocks) == {"looks", "pose"}


def _finds(prediction):
    return float(prediction.keypoints.visibility.any())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_chooses_of_the_rest(learner, strategy):
    labelled = learner.first(0)
    choice = Choice(strategy, labelled, (), 3, 0)
    chosen = learner.choose(choice)
    assert len({*labelled, *chosen}) == 6
    assert learner.choose(choice) == chosen
    later = learner.choose(Choice(strategy, (*labelled, *chosen), labelled, 3, 0))
    assert len({*labelled, *chosen, *later}) == 9


def test_scores_count_joints(learner):
    score = learner.score((0, 1, 2), 0)
    assert score.joints == (3,) * 4
    assert all(0 <= fewer <= more <= 3 for fewer, more in zip(score.near["0.05"], score.near["0.1"], strict=True))
    assert learner.score((0, 1, 2), 0) == score


def test_a_trial_is_smaller(subjects):
    assert limited(subjects, None) is subjects
    small = limited(subjects, 1)
    assert small.sizes == (3, 6) and len(small.pool) == 6


@pytest.mark.shared_data
def test_held_out_blocks_of_the_mouse_are_whole(shared_data):
    found = mouse(shared_data)
    assert (len(found.pool), len(found.held_out)) == (87, 29)
    held_out = sorted(int(sample.file_name[3:7]) for sample in found.held_out)
    assert (np.diff(held_out) > 1).sum() == MOUSE_BLOCKS // 4 - 1
    assert np.bincount(found.groups).min() >= 3
    assert not {sample.file_name for sample in found.pool} & {sample.file_name for sample in found.held_out}


@pytest.mark.shared_data
def test_athletes_are_drawn_alike_each_time(shared_data):
    first, again = lspet(shared_data), lspet(shared_data)
    assert [sample.file_name for sample in first.pool] == [sample.file_name for sample in again.pool]
    assert (len(first.pool), len(first.held_out)) == (600, 200)
