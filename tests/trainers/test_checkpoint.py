"""Checkpoints come back as they were, and what is no checkpoint is named."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from trainers.errors import TrainersError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from annotator.pose_model import estimate_image, load_pose_model  # noqa: E402
from cvat_export.labels import Boxes  # noqa: E402
from trainers.checkpoint import (  # noqa: E402
    Checkpoint,
    NetworkSpec,
    read_checkpoint,
    restore_network,
    write_checkpoint,
)
from trainers.model_card import parse_card  # noqa: E402
from trainers.networks import PoseNetwork, build_network  # noqa: E402
from trainers.runtimes import Execution, open_session  # noqa: E402
from trainers.runtimes.formats import ModelFormat, identify  # noqa: E402
from trainers.runtimes.metadata import read_metadata  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = NetworkSpec("lite-fpn", "mobilenetv4_conv_small_035", {"width": 16, "levels": 3}, predicts_visibility=True)


def card(visibility=True):
    head = {"kind": "heatmap", "alignment": "half-pixel", **({"visibility_output": 1} if visibility else {})}
    content = {
        "name": "small",
        "skeleton": {"name": "three", "joints": ["nose", "left hand", "right hand"]},
        "input": {"width": 64, "height": 96, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "head": head,
    }
    return parse_card(content, "test")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = PoseNetwork(build_network(SPEC.name, 6, (64, 96), SPEC.backbone, SPEC.options), 3, True)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    write_checkpoint(path, Checkpoint(card(), SPEC, network.state_dict(), {"epoch": 7, "metrics": {"pck": 0.5}}))
    return path


def test_a_checkpoint_comes_back_as_it_was(path, network):
    found = read_checkpoint(path)
    assert found.card == card()
    assert (found.network, found.origin) == (SPEC, {"epoch": 7, "metrics": {"pck": 0.5}})
    assert list(found.weights) == list(network.state_dict())
    restored = restore_network(found)
    assert not any(module.training for module in restored.modules())
    images = torch.rand(2, 3, 96, 64)
    with torch.no_grad():
        for again, before in zip(restored(images), network(images), strict=True):
            assert torch.equal(again, before)


def test_the_same_checkpoint_gives_the_same_bytes(path, tmp_path):
    write_checkpoint(tmp_path / "again.ckpt", read_checkpoint(path))
    assert (tmp_path / "again.ckpt").read_bytes() == path.read_bytes()


def test_the_file_is_also_plain_weights_for_torch(path, network):
    weights = torch.load(path, weights_only=True)
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())


def test_it_is_known_by_its_content_and_its_card_needs_no_torch(path, tmp_path):
    disguised = shutil.copy(path, tmp_path / "model.bin")
    model = identify(disguised)
    assert model.format is ModelFormat.CHECKPOINT
    assert json.loads(read_metadata(model)["model_card.json"])["name"] == "small"


def test_restoring_leaves_the_random_numbers_alone(path):
    checkpoint = read_checkpoint(path)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    restore_network(checkpoint)
    assert torch.equal(torch.rand(4), expected)


def test_a_session_over_a_checkpoint(path, network):
    session = open_session(path)
    assert (session.runtime, session.precision) == ("torch", "f32")
    assert session.inputs[0].shape == (None, 3, 96, 64)
    assert [output.name for output in session.outputs] == ["heatmaps", "visibility"]
    images = np.random.default_rng(0).random((3, 3, 96, 64), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images))
    for rows in (1, 3):
        for array, tensor in zip(session.run(images[:rows]), expected, strict=True):
            np.testing.assert_allclose(array, tensor[:rows].numpy(), rtol=1e-3, atol=1e-4)
    with pytest.raises(TrainersError, match="shape"):
        session.run(images[:, :, :64])


def test_a_checkpoint_is_a_pose_model_without_a_card_given(path):
    model = load_pose_model(path, None, Execution())
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    keypoints = estimate_image(model, image, Boxes(np.float32([[10, 10, 60, 100]]), np.float32([1]), ("person",)))
    assert keypoints.xy.shape == (1, 3, 2)


def test_a_write_that_fails_leaves_what_was_there(path, tmp_path):
    target = tmp_path / "best.ckpt"
    shutil.copy(path, target)
    checkpoint = read_checkpoint(path)
    with pytest.raises(TrainersError, match="plain values"):
        write_checkpoint(target, Checkpoint(checkpoint.card, SPEC, checkpoint.weights, {"model": object()}))
    assert target.read_bytes() == path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.999])
def test_a_truncated_file(path, tmp_path, share):
    short = tmp_path / "best.ckpt"
    short.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(TrainersError, match=r"empty|damaged"):
        read_checkpoint(short)


def test_another_kind_of_file(tmp_path):
    other = tmp_path / "last.ckpt"
    torch.save({"state_dict": {}}, other)
    with pytest.raises(TrainersError, match=r"got PyTorch pickle, expected a checkpoint .*take best\.ckpt"):
        read_checkpoint(other)
    with pytest.raises(TrainersError, match="no such model file"):
        read_checkpoint(tmp_path / "none.ckpt")


def rewritten(path, target, changes):
    """A copy with some members' content changed; None removes one."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            change = changes.get(name.partition("/")[2], lambda same: same)
            if change is not None:
                copy.writestr(name, change(content))
    return target


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extra/checkpoint.json": lambda text: text.replace(b'"version": 1', b'"version": 9')}, "format 9.*format 1"),
        ({"extra/checkpoint.json": lambda text: text[:40]}, "damaged: its checkpoint.json"),
        ({"extra/checkpoint.json": lambda text: b"{}"}, "damaged: its checkpoint.json"),
        (
            {"extra/checkpoint.json": lambda text: text.replace(b'"backbone"', b'"bone"')},
            "damaged: its checkpoint.json",
        ),
        ({"extra/model_card.json": None}, "without its model_card.json"),
        ({"extra/model_card.json": lambda text: b"{"}, "model_card.json: cannot be read"),
        ({"data.pkl": lambda text: text[:50]}, "torch cannot read its weights"),
        (
            {"data.pkl": lambda text: b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."},
            "torch cannot read its weights",
        ),
        ({"data.pkl": lambda text: b"\x80\x02]."}, "got list, expected tensors"),
    ],
)
def test_a_file_that_was_tampered_with(path, tmp_path, changes, said):
    with pytest.raises(TrainersError, match=said):
        read_checkpoint(rewritten(path, tmp_path / "other.ckpt", changes))


def test_weights_that_do_not_fit_are_named(path):
    found = read_checkpoint(path)
    weights = dict(found.weights)
    weights["body.final_layer.bias"] = torch.zeros(8)
    weights["stranger"] = weights.pop("body.final_layer.weight")
    with pytest.raises(TrainersError) as caught:
        restore_network(Checkpoint(found.card, SPEC, weights))
    for said in (r"final_layer.bias is (8,), expected (6,)", "final_layer.weight is missing", "stranger has no place"):
        assert said in str(caught.value)


def test_code_outside_the_toolkit_runs_only_if_trusted(path, tmp_path, monkeypatch):
    (tmp_path / "evil_network.py").write_text(
        "import torch, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        "def build(channels, input_size):\n    return torch.nn.Conv2d(3, channels, 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = NetworkSpec("evil_network:build")
    weights = PoseNetwork(torch.nn.Conv2d(3, 3, 1), 3).state_dict()
    write_checkpoint(tmp_path / "own.ckpt", Checkpoint(card(visibility=False), spec, weights))
    with pytest.raises(TrainersError, match=r"evil_network:build.*--trust"):
        open_session(tmp_path / "own.ckpt")
    assert not (tmp_path / "ran").exists()
    session = open_session(tmp_path / "own.ckpt", Execution(trust=True))
    assert session.run(np.zeros((1, 3, 96, 64), np.float32))[0].shape == (1, 3, 96, 64)
