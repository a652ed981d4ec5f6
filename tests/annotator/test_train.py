"""The command train, as a user calls it."""

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from annotator.cli import group, main
from annotator.commands.train import _with_named_weights
from annotator.detector import DetectionOptions, load_detector
from annotator.named_models import CHECKPOINTS, SHIPPED
from annotator.pose_model import load_pose_model
from cvat_export.labels import Boxes
from demo.film import Moment, scenes
from tests.trainers.training_data import write_dots
from trainers.runtimes import Execution
from trainers.training_config import parse_config

TINY = ["--set", "network=tests.trainers.tiny_network:make", "--set", "epochs=2", "--set", "batch_size=8"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_dots(tmp_path, 24, occluded=True)
    (tmp_path / "config.yaml").write_text(
        "data:\n  train: labels.json\ninput: {width: 64, height: 64}\nreport: {pictures_every: 0}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments):
    return CliRunner().invoke(group, ["train", *arguments])


def test_runs_are_numbered_and_the_model_is_named(folder):
    for number in (1, 2):
        result = _run("config.yaml", *TINY)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"runs/{number}/best.ckpt\n"
        assert (folder / f"runs/{number}/best.ckpt").is_file()
    assert "best: epoch" in result.stderr
    assert "each of 24 images is a group of its own" in result.stderr


def test_json_holds_the_figures(folder):
    result = _run("config.yaml", *TINY, "-o", "mine", "--json")
    figures = json.loads(result.stdout)
    assert figures["best"] == "mine/best.ckpt"
    assert 1 <= figures["epoch"] <= 2
    assert 0 <= figures["pck"] <= 1


def test_a_run_is_resumed(folder):
    _run("config.yaml", *TINY, "-o", "mine")
    result = _run("--resume", "mine")
    assert result.exit_code == 0, result.output
    assert result.stdout == "mine/best.ckpt\n"


def test_the_preview_shows_targets_and_trains_nothing(folder):
    result = _run("config.yaml", *TINY, "--preview", "preview")
    assert result.exit_code == 0, result.output
    assert result.stdout == "preview/preview.html\n"
    assert "dots_" in (folder / "preview/preview.html").read_text()
    assert list((folder / "preview/report_files").glob("*.jpg"))
    assert not (folder / "runs").exists()


def test_a_teacher_is_read_with_its_scores(folder):
    """What preannotate writes beside a dataset, made by hand: the labels themselves, with scores."""
    taught = folder / "taught"
    (taught / "annotations").mkdir(parents=True)
    labels = json.loads((folder / "labels.json").read_text())
    (taught / "annotations/person_keypoints_default.json").write_text(json.dumps(labels))
    rows = []
    for image, annotation in zip(labels["images"], labels["annotations"], strict=True):
        x, y, width, height = annotation["bbox"]
        joints = [annotation["keypoints"][place : place + 2] for place in (0, 3, 6)]
        instance = {"bbox_xyxy": [x, y, x + width, y + height], "bbox_score": 1.0, "class": "face", "keypoints": joints}
        instance |= {"keypoint_scores": [0.5, 0.6, 0.7], "visibility": [2, 2, 2]}
        frame = {"sha256": None, "pts": None, "time_base": None}
        size = {"file_name": image["file_name"], "width": 160, "height": 120}
        rows.append(json.dumps({**size, "frame": frame, "instances": [instance]}))
    (taught / "predictions.jsonl").write_text("\n".join(rows) + "\n")
    result = _run("config.yaml", *TINY, "--set", "data.teacher=taught")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "say CONFIG, or --resume RUN"),
        (("config.yaml", "--resume", "runs/1"), 2, "say CONFIG, or --resume RUN"),
        (("--resume", "runs/1", "--set", "epochs=3"), 2, "leave --set, -o and --preview out"),
        (("--resume", "runs/1"), 1, "runs/1: no training to go on with"),
        (("nowhere.yaml",), 1, "nowhere.yaml: no such training config"),
        (("config.yaml", "--set", "epoch=3"), 1, "did you mean 'epochs'?"),
        (("config.yaml", "--set", "data.train=nowhere.zip"), 1, "nowhere.zip"),
    ],
)
def test_misuse_is_explained(folder, monkeypatch, capsys, arguments, code, words):
    monkeypatch.setattr("sys.argv", ["annotator", "train", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == code
    assert words in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.delitem(sys.modules, "trainers.training", raising=False)
    for name in [name for name in sys.modules if name.startswith(("lightning.", "trainers.pose_steps"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.argv", ["annotator", "train", "config.yaml"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "pip install 'cvat-pose-annotator[train]'" in capsys.readouterr().err


def test_weights_may_be_named_like_a_model_of_the_install(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"data": {"train": ["a.json"]}, "weights": "annotator-pose"}
    assert _with_named_weights(parse_config(content, "x")).weights == str(CHECKPOINTS["annotator-pose"])
    (tmp_path / "annotator-pose").write_text("a file of that name is meant")
    assert _with_named_weights(parse_config(content, "x")).weights == str(tmp_path / "annotator-pose")


def test_the_checkpoint_of_the_install_is_the_model_of_the_install():
    """What a training begins with finds what the exported file finds, to the rounding of 16 bits."""
    image = np.asarray(Image.effect_noise((300, 400), 60).convert("RGB"))
    boxes = Boxes(np.array([[20, 10, 250, 390]], np.float32), np.ones(1, np.float32), ("person",))
    found = [
        load_pose_model(path, None, Execution(precision="f32"))
        for path in (CHECKPOINTS["annotator-pose"], SHIPPED["annotator-pose"])
    ]
    one, other = (model.estimate(model.prepare(image, boxes)) for model in found)
    assert found[0].card.head == found[1].card.head and found[0].card.crop == found[1].card.crop
    np.testing.assert_allclose(one.scores, other.scores, atol=0.02)


def test_detectors_begin_with_the_detector_of_the_install(tmp_path):
    """Its boxes are those of the exported file, to the rounding of 16 bits; that one's scores are moved."""
    image = Moment(scenes()[0], scenes()[0].scenery(), 1.0).expose()
    found = [
        load_detector(str(path), DetectionOptions(), Execution(precision="f32"))
        for path in (CHECKPOINTS["annotator-person"], SHIPPED["annotator-person"])
    ]
    (one,), (other,) = (model.detect([model.prepare("drawn.png", image)]) for model in found)
    assert len(one) == len(other) > 0
    np.testing.assert_allclose(one.bbox_xyxy, other.bbox_xyxy, atol=2)
