"""Ultralytics trains on our labels, says so, and leaves a run from which it goes on."""

import csv
import json
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from annotator.box_evaluation import BoxOptions, evaluate_boxes
from annotator.cli import group
from tests.trainers.boxed_pictures import write_pictures
from trainers.detection.boxed_images import read_boxed_images
from trainers.detection.yolo_folder import write_yolo_folder
from trainers.errors import TrainersError
from trainers.runtimes import Execution
from trainers.source_reading import LabelSource
from trainers.training import resume, train
from trainers.training_config import DetectionConfig, UltralyticsConfig, dump_config, parse_config, read_config
from trainers.training_split import Split
from trainers.ultralytics_networks import read_architecture, ultralytics_networks

if find_spec("ultralytics") is None:  # not importorskip: a plain import changes how Pillow opens files
    pytest.skip("ultralytics is not installed", allow_module_level=True)


def _content(labels, **changes):
    return {
        "task": "detection",
        "network": "yolo11n",
        "data": {"train": str(labels), "split": {"validation": 0.25}},
        "input": {"width": 64, "height": 64},
        "optimizer": {"learning_rate": 0.002},
        "epochs": 2,
        "batch_size": 8,
        "device": "cpu",
        **changes,
    }


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("labels"), 16)


@pytest.mark.slow
def test_a_run_is_interrupted_resumed_and_used(labels, tmp_path, monkeypatch, capsys):
    from trainers import ultralytics_training

    begin, said = ultralytics_training._Job._begin_epoch, []

    def power_cut(job, trainer):
        if trainer.epoch == 1:
            raise OSError("power cut")
        begin(job, trainer)

    def unplugged(*address, **_):
        called.append(address)
        raise OSError("no network")

    called: list = []
    home, folder = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("socket.getaddrinfo", unplugged)
    monkeypatch.setattr("socket.socket.connect", unplugged)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="power cut"):
        broken.setattr(ultralytics_training._Job, "_begin_epoch", power_cut)
        train(parse_config(_content(labels), "test"), folder, notify=said.append)
    assert any("AGPL-3.0" in text for text in said) and any("no weights are given" in text for text in said)

    trained = resume(folder)
    assert (trained.epochs, trained.best) == (2, folder / "best.pt")
    assert resume(folder) == trained  # there is nothing left to do
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"ap", "ap50", "loss", "validation_loss"} <= rows[0].keys()
    files = {"best.pt", "config.yaml", "curves.png", "last.pt", "metrics.csv", "run.json"}
    assert {path.name for path in folder.iterdir()} == files
    record = json.loads((folder / "run.json").read_text())
    assert record["samples"]["validation"] == 4 and record["versions"]["ultralytics"]
    assert not [path for path in home.rglob("*") if "ltralytics" in path.name]
    assert capsys.readouterr().out == ""

    data = read_boxed_images([(LabelSource(labels), True)])
    figures = evaluate_boxes(str(trained.best), data, BoxOptions(resamples=0), Execution(precision="f32")).figures
    assert 0 <= figures["AP50"].value <= 1
    again = parse_config(_content(labels, weights=str(trained.best), epochs=1), "test")
    assert train(again, tmp_path / "again", notify=said.append).epochs == 1
    assert any(text.startswith(f"{trained.best}: ") for text in said)
    assert called == []


def test_ultralytics_reads_the_folder_as_we_read_the_labels(labels, tmp_path):
    from trainers.runtimes.ultralytics_file import silenced_ultralytics

    data = read_boxed_images([(LabelSource(labels), True)])
    write_yolo_folder(tmp_path, Split(data.images, data.images[:1]), lambda _: None)
    with silenced_ultralytics():
        from ultralytics.data.dataset import YOLODataset

        read = YOLODataset(img_path=str(tmp_path / "images/train"), data={"names": {0: "brick"}, "channels": 3})
    assert len(read.labels) == 16
    for image, label in zip(data.images, read.labels, strict=True):
        centre, sides = label["bboxes"][:, :2] * image.size, label["bboxes"][:, 2:] * image.size
        found = np.hstack([centre - sides / 2, centre + sides / 2])
        np.testing.assert_allclose(
            found[found[:, 0].argsort()], image.bbox_xyxy[image.bbox_xyxy[:, 0].argsort()], atol=1e-3
        )


def test_a_preview_is_refused_with_what_shows_the_labels(labels, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(parse_config(_content(labels), "test")))
    result = CliRunner().invoke(group, ["train", str(path), "--preview", str(tmp_path / "preview")])
    assert isinstance(result.exception, TrainersError) and "network=lite-detector" in str(result.exception)
    shown = CliRunner().invoke(
        group, ["train", str(path), "--set", "network=lite-detector", "--preview", str(tmp_path / "preview")]
    )
    assert shown.exit_code == 0, shown.output


def test_architectures_are_found_by_their_names():
    known = ultralytics_networks()
    assert {"yolo11n", "yolov8x", "yolov10b"} <= known.keys()
    assert not [name for name in known if "seg" in name or "pose" in name or "rtdetr" in name]
    assert read_architecture("yolo11s.yaml")["scale"] == "s"


def test_the_network_says_who_trains(labels):
    config = parse_config(_content(labels), "test")
    assert isinstance(config, UltralyticsConfig)
    ours = {"task": "detection", "network": "lite-detector", "data": {"train": str(labels)}}
    assert isinstance(parse_config(ours, "test"), DetectionConfig)


def test_the_config_is_written_out_whole(labels, tmp_path):
    config = parse_config(_content(labels, network="yolo11n.yaml"), "test")
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert read_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "yolo11q"}, "no detector of this name.*did you mean 'yolo11"),
        ({"network_options": {"width": 32}}, "network_options: unknown key, expected task, data, network"),
        ({"loss": {"box_weight": 1}}, "loss: unknown key"),
        ({"optimizer": {"kind": "sgd"}}, "optimizer.kind: unknown key, expected learning_rate"),
        ({"input": {"width": 640, "height": 480}}, "input.height: got 480, expected 640"),
        ({"data": {"train": {"path": "x.json", "complete": False}}}, "x.json is not complete.*lite-detector"),
        ({"data": {"train": {"path": "x.json", "weight": 2.0}}}, "x.json has the weight 2.0.*leave weight out"),
        ({"data": {"train": "x.json", "cache_gb": 8.0}}, "data.cache_gb: Ultralytics reads"),
        ({"data": {"train": "x.json", "teacher": "taught"}}, "data.teacher: is of joints"),
        ({"weights": "nowhere.pt"}, "nowhere.pt: no such file; nothing is downloaded"),
        ({"device": "tpu"}, "device: got tpu"),
    ],
)
def test_what_a_config_may_not_say(labels, tmp_path, changes, words):
    content = _content(labels)
    if changes.get("network") == "yolo11q":  # nobody's, so its keys are ours
        content = {"task": "detection", "data": content["data"]}
    with pytest.raises(TrainersError, match=words):
        train(parse_config({**content, **changes}, "test"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_kind_are_refused(labels, tmp_path):
    import torch

    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "other.pt")
    with pytest.raises(TrainersError, match="a checkpoint without a YOLO network"):
        train(parse_config(_content(labels, weights=str(tmp_path / "other.pt")), "test"), tmp_path / "run")
