"""Training learns, resumes to the same weights, and refuses what would go wrong before it begins."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.trainers.training_data import write_dots
from trainers.checkpoint import read_checkpoint, restore_network
from trainers.errors import TrainersError
from trainers.model_card import read_card
from trainers.network_input import encode_input
from trainers.new_network import make_network
from trainers.pose_steps import PoseSteps
from trainers.run_files import RunFiles
from trainers.training import resume, train
from trainers.training_config import apply_settings, dump_config, parse_config, read_config
from trainers.training_data import read_training_data

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("one_thread")
TINY = "tests.trainers.tiny_network:make"


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_dots(tmp_path_factory.mktemp("labels"), 32, occluded=True)


def _config(labels, **changes):
    content = {
        "data": {"train": str(labels), "split": {"validation": 0.25}},
        "network": TINY,
        "input": {"width": 64, "height": 64},
        "optimizer": {"learning_rate": 0.01},
        "augmentation": {
            "flip_probability": 0,
            "grey_probability": 0,
        },  # the dots' colours are all that tells them apart
        "report": {"pictures_every": 2},
        "epochs": 3,
        "batch_size": 8,
        "precision": "f32",
        **changes,
    }
    return parse_config(content, "test")


def _weights(path):
    return read_checkpoint(path).weights


def _same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
def test_it_learns_where_coloured_dots_are(labels, tmp_path, loss):
    settings = {"learning_rate": 0.02 if loss == "cross-entropy" else 0.05}
    trained = train(_config(labels, epochs=15, loss={"kind": loss}, optimizer=settings, ema=0.9), tmp_path / "run")
    assert trained.figures["pck"] > 0.9
    assert trained.epochs == 15


def test_how_joints_are_read_changes_nothing_that_is_learnt(labels, tmp_path):
    states, figures = [], []
    for decoding in ("dark", "expected-oks"):
        trained = train(_config(labels, target={"decoding": decoding}, epochs=2), tmp_path / decoding)
        assert read_checkpoint(trained.best).card.head.decoding == decoding
        states.append(torch.load(RunFiles(tmp_path / decoding).last, weights_only=False)["state_dict"])
        figures.append(trained.figures)
    assert _same(*states)
    assert figures[0] != figures[1]  # validation reads them so as well


def test_the_run_folder_holds_all_that_is_needed(labels, tmp_path):
    config = _config(labels)
    train(config, tmp_path / "run")
    run = RunFiles(tmp_path / "run")
    assert read_config(run.config) == config
    record = json.loads(run.record.read_text())
    assert list(record["labels_sha256"]) == [str(labels)]
    assert record["samples"]["validation"] == len(record["samples"]["validation_images"]) == 8
    assert record["versions"]["torch"]
    rows = list(csv.DictReader(run.metrics.open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(0 <= float(row["data_wait"]) <= 1 for row in rows)
    assert read_card(run.card).skeleton.joints == ("left_eye", "right_eye", "nose")
    assert run.curves.read_bytes().startswith(b"\x89PNG")
    assert run.worst(2).read_bytes().startswith(b"\xff\xd8")
    assert not run.worst(1).exists()
    assert run.worst(3).exists()  # the last epoch's always
    assert np.load(run.parity)["pixels"].shape == (8, 64, 64, 3)
    assert list((run.folder / "tensorboard").glob("events*"))
    checkpoint = read_checkpoint(run.best)
    assert checkpoint.card.skeleton.joints == ("left_eye", "right_eye", "nose")
    assert checkpoint.card.metrics["pck"] == pytest.approx(max(float(row["pck"]) for row in rows), abs=1e-4)


def test_an_interrupted_run_ends_with_the_same_weights(labels, tmp_path, power_cut):
    config = _config(labels, epochs=4)
    train(config, tmp_path / "whole")
    begun = power_cut(PoseSteps, at=8)  # in the middle of the third epoch of three steps
    with pytest.raises(OSError, match="power cut"):
        train(config, tmp_path / "broken")
    resume(tmp_path / "broken")
    assert len(begun) == 8 + 6
    whole, broken = (RunFiles(tmp_path / name) for name in ("whole", "broken"))
    assert _same(_weights(whole.best), _weights(broken.best))
    states = [torch.load(run.last, weights_only=False) for run in (whole, broken)]
    assert _same(states[0]["state_dict"], states[1]["state_dict"])
    figures = [
        [(row["epoch"], row["pck"], row["loss"]) for row in csv.DictReader(r.metrics.open())] for r in (whole, broken)
    ]
    assert figures[0] == figures[1]


def test_the_last_model_is_kept_where_that_is_wanted(labels, tmp_path):
    for keep in ("best", "last"):
        trained = train(_config(labels, epochs=6, ema=0, report={"keep": keep}), tmp_path / keep)
        rows = list(csv.DictReader(RunFiles(tmp_path / keep).metrics.open()))
        wanted = rows[-1] if keep == "last" else max(rows, key=lambda row: (float(row["pck"]), float(row["oks"])))
        assert trained.epoch == int(wanted["epoch"])
        assert read_checkpoint(trained.best).origin["epoch"] == trained.epoch


def test_a_finished_run_is_finished(labels, tmp_path):
    trained = train(_config(labels), tmp_path / "run")
    before = (tmp_path / "run/best.ckpt").read_bytes()
    assert resume(tmp_path / "run") == trained
    assert (tmp_path / "run/best.ckpt").read_bytes() == before


def test_a_folder_with_a_run_is_not_begun_again(labels, tmp_path):
    train(_config(labels, epochs=1), tmp_path / "run")
    with pytest.raises(TrainersError, match=r"holds a training already; go on with it by --resume"):
        train(_config(labels, epochs=1), tmp_path / "run")


def test_labels_that_have_changed_are_refused(tmp_path):
    labels = write_dots(tmp_path, 12)
    train(_config(labels, epochs=1), tmp_path / "run")
    labels.write_text(labels.read_text() + "\n")
    with pytest.raises(TrainersError, match="its labels have changed since"):
        resume(tmp_path / "run")


def test_too_large_batches_are_halved(labels, tmp_path, monkeypatch):
    step, sizes, said = PoseSteps.training_step, [], []

    def hungry(self, batch, number):
        sizes.append(len(batch.pixels))
        if len(batch.pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, batch, number)

    monkeypatch.setattr(PoseSteps, "training_step", hungry)
    train(_config(labels, epochs=1), tmp_path / "run", notify=said.append)
    assert sizes == [8, 4, *[2] * 12]
    assert [text for text in said if "out of memory" in text] == [
        "out of memory: going on with batches of 4, as many of them a step as needed",
        "out of memory: going on with batches of 2, as many of them a step as needed",
    ]


def test_memory_that_holds_nothing_is_an_error(labels, tmp_path, monkeypatch):
    def hungry(self, batch, number):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PoseSteps, "training_step", hungry)
    with pytest.raises(TrainersError, match="out of memory with batches of 2; take a smaller input or network"):
        train(_config(labels), tmp_path / "run")


def test_a_training_that_diverges_says_so(labels, tmp_path):
    optimizer = {"kind": "sgd", "learning_rate": 1e9, "clip_norm": 0, "warm_up": 0}
    with pytest.raises(TrainersError, match=r"is nan: the training has diverged; begin another with a lower"):
        train(_config(labels, optimizer=optimizer, loss={"kind": "mse"}), tmp_path / "run")


def test_a_visibility_head_learns_what_is_occluded(tmp_path):
    """Noses are occluded in every other picture, which nothing shows: so eyes are seen, noses in half of them."""
    labels = write_dots(tmp_path, 32, occluded=True)
    train(_config(labels, target={"occluded": "head"}, epochs=10, ema=0.9), tmp_path / "run")
    checkpoint = read_checkpoint(tmp_path / "run/best.ckpt")
    assert checkpoint.card.head.visibility_output == "visibility"
    pixels = np.load(tmp_path / "run/parity.npz")["pixels"]
    _, logits = restore_network(checkpoint, trust=True)(torch.from_numpy(encode_input(checkpoint.card.input, pixels)))
    seen = torch.sigmoid(logits).mean(dim=0)
    assert seen[:2].min() > 0.7
    assert seen[2] < seen[:2].min()


def test_a_tracker_that_cannot_be_reached_costs_no_training(labels, tmp_path, caplog):
    trained = train(_config(labels, report={"trackers": ["wandb", "mlflow"]}, epochs=1), tmp_path / "run")
    assert trained.best.exists()
    assert "wandb is left out" in caplog.text
    assert "mlflow is left out" in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"netwrok": "cpm"}, r"netwrok: unknown key, expected .*; did you mean 'network'\?"),
        ({"optimizer": {"lerning_rate": 1}}, r"optimizer.lerning_rate: unknown key.*did you mean 'learning_rate'\?"),
        ({"epochs": 0}, r"epochs: got 0, expected greater than or equal to 1"),
        ({"epochs": "many"}, r"epochs: got 'many', expected a valid integer"),
        ({"loss": {"kind": "hinge"}}, r"loss.kind: got 'hinge', expected 'cross-entropy' or 'mse'"),
        ({"target": {"occluded": "negative"}}, r"target.occluded: got negative with loss.kind cross-entropy"),
        (
            {"target": {"decoding": "expected-oks"}, "loss": {"kind": "mse"}},
            r"target.decoding: got expected-oks with loss.kind mse",
        ),
        ({"data": {}}, r"data.train: is missing"),
        ({"data": {"train": []}}, r"data.train: .*at least 1"),
        ({"data": {"train": [{"path": "a", "wieght": 2}]}}, r"data.train.0.wieght: unknown key.*'weight'"),
        ({"data": {"train": "a", "split": {"fold": 2}}}, r"data.split.fold: got 2, expected less than folds"),
        ({"input": {"width": float("nan")}}, r"input.width"),
    ],
)
def test_a_wrong_config_says_where_and_what_instead(labels, changes, words):
    with pytest.raises(TrainersError, match=words):
        _config(labels, **changes)


def test_settings_reach_into_the_config():
    content = {"data": {"train": "a.zip"}, "optimizer": {"kind": "sgd"}}
    changed = apply_settings(
        content, ["optimizer.learning_rate=0.01", "backbone=resnet50", "loss.joint_weights.nose=2"]
    )
    assert changed["optimizer"] == {"kind": "sgd", "learning_rate": 0.01}
    assert changed["backbone"] == "resnet50"
    assert changed["loss"]["joint_weights"]["nose"] == 2
    assert content == {"data": {"train": "a.zip"}, "optimizer": {"kind": "sgd"}}
    for wrong in ("epochs", "=3", "epochs.=3", "data.train.path=3"):
        with pytest.raises(TrainersError, match=f"--set {wrong}"):
            apply_settings(content, [wrong])


def test_a_config_survives_being_written(labels, tmp_path):
    config = _config(labels, loss={"joint_weights": {"nose": 2.0}}, patience=4)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert read_config(tmp_path / "config.yaml") == config


def test_the_documented_config_is_the_default():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/training.md").read_text(), re.S)
    whole = next(yaml.safe_load(block) for block in blocks if "optimizer" in block)
    documented = parse_config(whole, "docs")
    assert documented == parse_config({"data": {"train": "corrected.zip"}}, "short")
    keys = set(yaml.safe_load(dump_config(documented)))
    assert set(whole) == keys
    for key, values in yaml.safe_load(dump_config(documented)).items():
        if isinstance(values, dict):
            assert set(whole[key]) == set(values), key


def test_the_documented_keys_of_detectors_are_the_defaults():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/training.md").read_text(), re.S)
    own = next(yaml.safe_load(block) for block in blocks if "mosaic" in block)
    short = {"task": "detection", "data": {"train": "corrected.zip"}}
    assert parse_config({**short, **own}, "docs") == parse_config(short, "short")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": {"joint_weights": {"tail": 2}}}, "'tail', which is no joint of skeleton"),
        ({"network": "cmp"}, "did you mean 'cpm'"),
        ({"device": "cuda"}, "sees no CUDA device"),
        ({"weights": "nowhere.ckpt"}, "nowhere.ckpt"),
    ],
)
def test_what_cannot_be_trained_is_said_before_it_begins(labels, tmp_path, changes, words):
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(TrainersError, match=words):
        train(_config(labels, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_image_on_both_sides_is_refused(labels):
    with pytest.raises(TrainersError, match="is in both training and validation"):
        read_training_data(_config(labels, data={"train": str(labels), "validation": str(labels)}))


def test_a_group_on_both_sides_is_said(tmp_path):
    """Two label files with other images of one folder, said to be one group."""
    sources = [write_dots(tmp_path / name, 8, seed) for seed, name in enumerate(("first", "second"))]
    groups = [{"path": str(path), "group": r"regex:(dots)_"} for path in sources]
    found = read_training_data(_config(sources[0], data={"train": groups[0], "validation": groups[1]}))
    assert (
        "1 groups, such as 'match dots', are in both training and validation: figures will be too good" in found.notes
    )


def test_the_same_seed_gives_the_same_network(labels):
    config = _config(labels)
    skeleton = read_training_data(config).skeleton
    first, again = (make_network(config, skeleton).state_dict() for _ in range(2))
    assert _same(first, again)


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_step_hardly_waits_for_its_batch(shared_data, tmp_path):
    """ResNet-18 at 192 x 256 on photographs, from the second epoch on, when they have been read."""
    labels = shared_data / "standing_people/annotations/person_keypoints.json"
    config = _config(
        labels,
        data={"train": str(labels), "split": {"validation": 0.5}, "leave_out_faulty": True},
        network="simple-baseline",
        backbone="resnet18",
        input={},
        augmentation={},
        batch_size=16,
        epochs=2,
    )
    train(config, tmp_path / "run")
    rows = list(csv.DictReader(RunFiles(tmp_path / "run").metrics.open()))
    print([row["data_wait"] for row in rows])
    assert float(rows[1]["data_wait"]) < 0.05


@pytest.mark.slow
def test_killed_at_random_steps_it_ends_with_the_same_weights(labels, tmp_path):
    """Eight times SIGKILL, each some epochs and a part of one after the run has begun or been resumed."""
    config = tmp_path / "config.yaml"
    config.write_text(dump_config(_config(labels, epochs=40)))
    whole, broken = RunFiles(tmp_path / "whole"), RunFiles(tmp_path / "broken")
    start = time.monotonic()
    assert _start(["train", str(config), "-o", str(whole.folder)]).wait() == 0
    epoch_seconds = (time.monotonic() - start) / 40
    chance = random.Random(0)
    for number in range(8):
        resumed = ["train", "--resume", str(broken.folder)]
        process = _start(resumed if number else ["train", str(config), "-o", str(broken.folder)])
        wanted = _epochs(broken) + chance.randint(0, 4)
        while _epochs(broken) < wanted or not broken.config.exists():
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 2) * epoch_seconds)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert _epochs(broken) < 40
    assert _start(["train", "--resume", str(broken.folder)]).wait() == 0
    assert _same(_weights(whole.best), _weights(broken.best))
    states = [torch.load(run.last, weights_only=False)["state_dict"] for run in (whole, broken)]
    assert _same(*states)


def _epochs(run):
    """How many are in the run's table."""
    return len(run.metrics.read_text().splitlines()) - 1 if run.metrics.exists() else 0


def _start(arguments):
    command = [sys.executable, "-c", "from annotator.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
