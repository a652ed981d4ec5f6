"""A detector learns, resumes to the same weights, and is exported as it was trained."""

import csv
import json

import numpy as np
import pytest
import torch

from annotator.box_evaluation import BoxOptions, evaluate_boxes
from annotator.detector import DetectionOptions, load_detector
from tests.annotator.marker_networks import marker_card
from tests.trainers.boxed_pictures import write_pictures
from trainers.card_changes import CardChanges
from trainers.checkpoint import read_checkpoint
from trainers.detection.boxed_images import read_boxed_images
from trainers.detection.outputs import read_boxes
from trainers.detection.steps import DetectionSteps
from trainers.errors import TrainersError
from trainers.export import cut_labelled_inputs, export_checkpoint, read_run_crops
from trainers.export_formats import EXPORT_FORMATS
from trainers.model_card import DetectorCard, card_from_metadata, dump_card, pose_card_from_metadata
from trainers.run_files import RunFiles
from trainers.runtimes import Execution, open_session
from trainers.runtimes.metadata import CARD_KEY
from trainers.source_reading import LabelSource
from trainers.training import resume, train
from trainers.training_config import DetectionConfig, dump_config, parse_config

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("labels"), 48)


def _config(labels, **changes):
    content = {
        "task": "detection",
        "data": {"train": str(labels), "split": {"validation": 0.25}},
        "input": {"width": 96, "height": 64},
        "optimizer": {"learning_rate": 0.002},
        "augmentation": {"scale": 0.1, "mosaic_probability": 0.2, "cut_out_probability": 0},
        "loss": {"smallest_px": 2},
        "report": {"pictures_every": 2},
        "epochs": 3,
        "batch_size": 8,
        "ema": 0,
        "precision": "f32",
        **changes,
    }
    return parse_config(content, "test")


@pytest.fixture(scope="module")
def trained(labels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(_config(labels, epochs=30), folder)


def test_it_learns_where_bricks_are(trained):
    assert trained.figures["ap50"] > 0.9
    assert trained.figures["ap"] > 0.4


def test_the_run_folder_holds_all_that_is_needed(trained):
    run = RunFiles(trained.best.parent)
    rows = list(csv.DictReader(run.metrics.open()))
    assert len(rows) == 30 and {"ap", "ap50", "loss", "validation_loss"} <= rows[0].keys()
    card = read_checkpoint(run.best).card
    assert isinstance(card, DetectorCard) and card.category == "brick"
    assert card.metrics["ap"] == pytest.approx(max(float(row["ap"]) for row in rows), abs=1e-4)
    assert run.worst(2).read_bytes().startswith(b"\xff\xd8")
    assert np.load(run.parity)["pixels"].shape == (12, 64, 96, 3)
    assert json.loads(run.record.read_text())["samples"]["validation"] == 12


def test_an_interrupted_run_ends_with_the_same_weights(labels, tmp_path, power_cut):
    config = _config(labels, ema=0.9)
    train(config, tmp_path / "whole")
    power_cut(DetectionSteps, at=6)  # in the second epoch of four steps
    with pytest.raises(OSError, match="power cut"):
        train(config, tmp_path / "broken")
    resume(tmp_path / "broken")
    whole, broken = (read_checkpoint(tmp_path / name / "best.ckpt").weights for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


@pytest.mark.parametrize("export_format", EXPORT_FORMATS)
def test_exports_find_the_same_boxes(trained, tmp_path, export_format):
    pixels = read_run_crops(trained.best)
    done = export_checkpoint(trained.best, export_format, pixels, tmp_path / EXPORT_FORMATS[export_format].file_name)
    assert done.parities and all(parity.p99_px < 0.05 and parity.points > 10 for parity in done.parities)
    card = card_from_metadata(open_session(done.path).metadata, "export")
    assert card == read_checkpoint(trained.best).card.model_copy(update={"precision": "f32"})


@pytest.mark.parametrize("export_format", ["onnx", "openvino"])
def test_int8_finds_nearly_the_same_boxes(trained, labels, tmp_path, export_format):
    """What it is judged by are its boxes, not only the check of the export."""
    done = export_checkpoint(
        trained.best, export_format, read_run_crops(trained.best), tmp_path / f"model{SUFFIXES[export_format]}",
        precision="int8",
    )  # fmt: skip
    data = read_boxed_images([(LabelSource(labels), True)])
    found = [
        evaluate_boxes(str(path), data, BoxOptions(resamples=0), Execution(precision="f32")).figures["AP50"].value
        for path in (trained.best, done.path)
    ]
    assert found[0] > 0.8 and found[1] > found[0] - 0.03
    card = card_from_metadata(open_session(done.path).metadata, "export")
    assert card.precision == "int8" and card.category == "brick"


def test_a_detector_is_exported_for_a_larger_input(trained, tmp_path):
    changes = CardChanges(input_size=(192, 128), licence="CC0-1.0")
    pixels = read_run_crops(trained.best, (192, 128))
    assert pixels.shape[1:] == (128, 192, 3)
    done = export_checkpoint(trained.best, "openvino", pixels, tmp_path / "large.xml", changes=changes)
    session = open_session(done.path)
    card = card_from_metadata(session.metadata, "export")
    assert (card.input.size, card.licence) == ((192, 128), "CC0-1.0")
    assert all(parity.p99_px < 0.05 and parity.points > 10 for parity in done.parities)  # with torch at that size
    detector = load_detector(str(done.path), DetectionOptions(), Execution(precision="f32"))
    assert detector.input_size == (192, 128)
    boxes, scores = session.run(np.zeros((1, 3, 128, 192), np.float32))
    assert boxes.shape == (1, 24 * 16 + 12 * 8 + 6 * 4, 4) and scores.shape == boxes.shape[:2]


def test_an_export_moves_the_score_from_which_boxes_are_proposed(trained):
    card = read_checkpoint(trained.best).card
    moved = CardChanges(propose_from=0.4).apply(card)
    outputs = {"boxes": np.zeros((1, 4, 4), np.float32), "scores": np.array([[0.0, 0.39, 0.4, 0.41]], np.float32)}
    by_place = {"boxes_output": "boxes", "scores_output": "scores"}
    scores = read_boxes(moved.model_copy(update=by_place), outputs)[1][0]
    assert scores[0] == 0 and scores[1] < 0.25 < scores[3] and scores[2] == pytest.approx(0.25)
    np.testing.assert_array_equal(read_boxes(card.model_copy(update=by_place), outputs)[1], outputs["scores"])
    with pytest.raises(TrainersError, match=r"propose from: .* is a pose model"):
        CardChanges(propose_from=0.4).apply(marker_card("stride"))


def test_a_pose_models_input_stays_as_it_was_trained():
    with pytest.raises(TrainersError, match="input size: 'markers-stride' is a pose model"):
        CardChanges(input_size=(64, 64)).apply(marker_card("stride"))


def test_an_export_names_the_score_from_which_joints_are_proposed(trained):
    assert CardChanges(min_joint_score=0.35).apply(marker_card("stride")).min_joint_score == 0.35
    with pytest.raises(TrainersError, match=r"min joint score: .* is a detector, which has no joints"):
        CardChanges(min_joint_score=0.35).apply(read_checkpoint(trained.best).card)


def test_inputs_to_compare_exports_on_are_whole_images(trained, labels):
    card = read_checkpoint(trained.best).card
    assert cut_labelled_inputs(card, labels).shape == (48, 64, 96, 3)


def test_a_trained_pose_networks_backbone_starts_a_detector(labels, tmp_path):
    pose_labels = write_pictures(tmp_path / "pose", 16, most=1, joints=("left", "right", "top"))
    pose = {
        "data": {"train": str(pose_labels), "split": {"validation": 0.25}},
        "input": {"width": 64, "height": 64},
        "augmentation": {"flip_probability": 0},
        "epochs": 1,
        "batch_size": 4,
        "ema": 0,
    }
    start = train(parse_config(pose, "test"), tmp_path / "pose-run").best
    said = []
    train(_config(labels, epochs=1, weights=str(start)), tmp_path / "run", notify=said.append)
    assert any("joints: none: a detector has none" in text and "tensors loaded" in text for text in said)


def test_a_detectors_card_is_no_pose_models(trained):
    metadata = {CARD_KEY: dump_card(read_checkpoint(trained.best).card)}
    with pytest.raises(TrainersError, match="a detector of 'brick', expected a pose model; name it in --detection"):
        pose_card_from_metadata(metadata, "x")


def test_the_config_is_written_out_whole(labels):
    import yaml

    config = _config(labels)
    assert isinstance(config, DetectionConfig)
    assert parse_config(yaml.safe_load(dump_config(config)), "again") == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "segmentation"}, "task: got 'segmentation', expected one of pose, detection"),
        ({"crop": {"padding": 1.3}}, "crop: unknown key"),
        ({"network": "lite-fpn"}, "no detector of this name, there are lite-detector"),
        ({"data": {"train": "x.json", "teacher": "taught"}}, "data.teacher: is of joints"),
        ({"network_options": {"widht": 3}}, "unknown option 'widht'"),
        ({"input": {"width": 100, "height": 64}}, "multiple of 32"),
    ],
)
def test_what_a_config_may_not_say(labels, tmp_path, changes, words):
    with pytest.raises(TrainersError, match=words):
        train(_config(labels, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
