"""Every family in every format and runtime finds the checkpoint's joints; what does not is not let out."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from annotator.commands.export import command
from annotator.errors import AnnotatorError
from annotator.pose_model import load_pose_model
from tests.trainers.exported_networks import FAMILIES, INPUT, SKELETON, make_checkpoint
from trainers.errors import TrainersError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
onnx = pytest.importorskip("onnx")
from trainers.export import cut_labelled_inputs, export_checkpoint, read_run_crops  # noqa: E402
from trainers.export_formats import EXPORT_FORMATS, ExportFormat  # noqa: E402
from trainers.model_card import card_from_metadata  # noqa: E402
from trainers.parity import LIMITS, compare_points  # noqa: E402
from trainers.pose_decoding import InputJoints, check_card  # noqa: E402
from trainers.runtimes import Execution, open_session  # noqa: E402
from trainers.runtimes.formats import RUNTIMES, identify  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def cases():
    for family in FAMILIES:
        for export_format in EXPORT_FORMATS:
            quick = family == "simple-baseline" or (
                family == "lite-fpn" and export_format in ("torchscript", "openvino")
            )
            yield pytest.param(family, export_format, marks=[] if quick else pytest.mark.slow)


@pytest.mark.parametrize(("family", "export_format"), cases())
def test_every_runtime_finds_the_checkpoints_joints(checkpoints, pixels, tmp_path, family, export_format):
    path = checkpoints(family)
    done = export_checkpoint(path, export_format, pixels, tmp_path / EXPORT_FORMATS[export_format].file_name)
    assert done.notes == ()
    assert [parity.runtime for parity in done.parities] == list(RUNTIMES[identify(done.path).format])
    for parity in done.parities:
        assert parity.p99_px < 0.05 and parity.points > 20
        assert parity.milliseconds > 0
    source = open_session(path)
    card = card_from_metadata(source.metadata, "source")
    places = {"output": 0, "visibility_output": 1 if len(source.outputs) == 2 else None}
    card = card.model_copy(update={"head": card.head.model_copy(update=places), "precision": "f32"})
    images = np.random.default_rng(1).normal(size=(5, 3, INPUT[1], INPUT[0])).astype(np.float32)
    expected = source.run(images)
    for runtime in RUNTIMES[identify(done.path).format]:
        session = open_session(done.path, Execution(runtime, precision="f32"))
        assert card_from_metadata(session.metadata, "export") == card
        check_card(card, session)
        if export_format in ("onnx", "openvino"):
            assert [output.name for output in session.outputs] == [output.name for output in source.outputs]
            assert session.inputs[0].shape == (None, 3, INPUT[1], INPUT[0])
        for rows in (1, 3, 5):
            for found, wanted in zip(session.run(images[:rows]), expected, strict=True):
                np.testing.assert_allclose(found, wanted[:rows], atol=2e-4 * np.abs(wanted).max())


def test_an_input_whose_sides_are_no_multiple_of_32(tmp_path):
    path = make_checkpoint(tmp_path / "odd.ckpt", FAMILIES["lite-fpn"], (36, 52))
    crops = np.random.default_rng(0).integers(0, 256, (5, 52, 36, 3), np.uint8)
    for export_format in ("torchscript", "openvino"):
        assert export_checkpoint(path, export_format, crops).parities[0].broken_limits("f32") == []


def test_joints_at_the_highest_expected_oks_are_found_again(pixels, tmp_path):
    head = {"decoding": "expected-oks", "activation": "softmax"}
    path = make_checkpoint(tmp_path / "oks.ckpt", FAMILIES["lite-fpn"], **head)
    for export_format in ("torchscript", "openvino"):
        done = export_checkpoint(path, export_format, pixels)
        for parity in done.parities:
            assert parity.p99_px < 0.05 and parity.points > 20
            session = open_session(done.path, Execution(parity.runtime, precision="f32"))
            assert card_from_metadata(session.metadata, "export").head.decoding == "expected-oks"


def test_half_precision_halves_the_weights(checkpoints, pixels, tmp_path, monkeypatch):
    """Joints of a network that has learnt nothing jump with the rounding, so its maps are compared."""
    monkeypatch.setitem(LIMITS, "f16", {})
    path = checkpoints("lite-fpn")
    whole = export_checkpoint(path, "openvino", pixels, tmp_path / "whole.xml")
    half = export_checkpoint(path, "openvino", pixels, tmp_path / "edge" / "half.xml", precision="f16")
    sizes = [done.path.with_suffix(".bin").stat().st_size for done in (whole, half)]
    assert sizes[1] < 0.55 * sizes[0]
    images = np.random.default_rng(1).normal(size=(2, 3, INPUT[1], INPUT[0])).astype(np.float32)
    expected, found = (open_session(done.path, Execution(precision="f32")).run(images)[0] for done in (whole, half))
    assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["half.bin", "half.xml", "whole.bin", "whole.xml"]


@pytest.mark.parametrize("missing", ["onnxruntime.quantization", "onnxscript"])
def test_a_missing_package_names_the_extra(checkpoints, pixels, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(TrainersError, match=r"needs onnx.*pip install 'cvat-pose-annotator\[train\]'"):
        export_checkpoint(checkpoints("simple-baseline"), "onnx", pixels, tmp_path / "m.onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_onnx_tells_nothing_of_this_machine(checkpoints, pixels, tmp_path):
    done = export_checkpoint(checkpoints("simple-baseline"), "onnx", pixels[:2], tmp_path / "model.onnx")
    content = done.path.read_bytes()
    assert b".py" not in content and str(Path(__file__).parents[2]).encode() not in content
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def failing(monkeypatch):
    """The TorchScript writer, of a network that is not the checkpoint's."""
    write = EXPORT_FORMATS["torchscript"].write

    def write_other(network, card, path, pixels):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        write(network, card, path, pixels)

    monkeypatch.setitem(EXPORT_FORMATS, "torchscript", ExportFormat("model.torchscript.pt", write_other))


@pytest.mark.usefixtures("failing")
def test_a_file_that_finds_other_joints_is_not_let_out(checkpoints, pixels, tmp_path):
    with pytest.raises(
        TrainersError, match=r"of \d+ distances p99_px \d+\.\d+, expected below 0\.5; .*Nothing was written"
    ):
        export_checkpoint(checkpoints("lite-fpn"), "torchscript", pixels, tmp_path / "edge" / "model.pt")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten_unasked(checkpoints, pixels, tmp_path):
    target = tmp_path / "model.pt"
    target.write_text("mine")
    with pytest.raises(TrainersError, match=r"model\.pt: is there already; --overwrite"):
        export_checkpoint(checkpoints("lite-fpn"), "torchscript", pixels, target)
    assert target.read_text() == "mine"
    export_checkpoint(checkpoints("lite-fpn"), "torchscript", pixels, target, overwrite=True)
    assert open_session(target).outputs is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"export_format": "tensorrt"}, "expected one of torchscript, onnx, openvino, pt2"),
        ({"precision": "f16"}, "precision f16: got format torchscript, expected openvino"),
        ({"precision": "int8"}, "precision int8: got format torchscript, expected onnx or openvino"),
        ({"precision": "int4"}, "precision int4: got format torchscript, expected another precision"),
        ({"export_format": "openvino", "output": Path("model.bin")}, r"name it model\.xml"),
        ({"output": Path("notes.txt/model.pt")}, r"notes\.txt is a file, expected a folder"),
        (
            {"pixels": np.zeros((2, 64, 96, 3), np.uint8)},
            r"got uint8 \(2, 64, 96, 3\), expected uint8 \(n, 96, 64, 3\)",
        ),
        ({"pixels": np.zeros((0, 96, 64, 3), np.uint8)}, "n at least 1"),
        ({"path": Path("none.ckpt")}, "no such model file"),
    ],
)
def test_what_cannot_be_exported_is_said(checkpoints, pixels, tmp_path, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").touch()
    arguments = {"path": checkpoints("lite-fpn"), "export_format": "torchscript", "pixels": pixels} | change
    with pytest.raises(TrainersError, match=said):
        export_checkpoint(**arguments)


def test_an_exception_of_a_writer_leaves_nothing(checkpoints, pixels, tmp_path, monkeypatch):
    def write(network, card, path, pixels):
        path.write_text("half a model")
        raise RuntimeError("out of memory")

    monkeypatch.setitem(EXPORT_FORMATS, "torchscript", ExportFormat("model.pt", write))
    with pytest.raises(RuntimeError):
        export_checkpoint(checkpoints("lite-fpn"), "torchscript", pixels, tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


def joints(xy, scores):
    xy = np.float32(xy).reshape(1, -1, 2)
    return InputJoints(xy, np.float32(scores)[None], np.ones(xy.shape[:2], bool))


def test_parity_leaves_out_flat_maps_but_never_all():
    here, there = [[0, 0], [10, 0], [5, 5]], [[3, 4], [10, 1], [5, 5]]
    parity = compare_points(joints(here, [0.01, 0.9, 0.9]), joints(there, [0.04, 0.9, 0.9]), "torch", 1.0)
    assert (parity.points, parity.left_out, parity.max_px) == (2, 1, 1.0)
    one_sure = compare_points(joints(here, [0.01, 0.9, 0.9]), joints(there, [0.06, 0.9, 0.9]), "torch", 1.0)
    assert (one_sure.points, one_sure.p99_px) == (3, 5.0)
    all_flat = compare_points(joints(here, [0.01] * 3), joints(there, [0.01] * 3), "torch", 1.0)
    assert (all_flat.points, all_flat.left_out, all_flat.p50_px) == (3, 0, 1.0)


def test_a_joint_that_only_one_finds_is_infinitely_far():
    lost, kept = joints([[np.nan, np.nan], [1, 1]], [0, 0.9]), joints([[2, 2], [1, 1]], [0.9, 0.9])
    assert compare_points(lost, kept, "torch", 1.0).p99_px == np.inf
    assert compare_points(lost, lost, "torch", 1.0).max_px == 0
    assert compare_points(lost, kept, "torch", 1.0).broken_limits("f32") == ["p99_px inf, expected below 0.5"]


def test_crops_of_a_run(tmp_path, pixels):
    checkpoint = tmp_path / "best.ckpt"
    assert read_run_crops(checkpoint) is None
    np.savez_compressed(tmp_path / "parity.npz", pixels=pixels)
    assert np.array_equal(read_run_crops(checkpoint), pixels)
    (tmp_path / "parity.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(TrainersError, match=r"parity\.npz: damaged.*--data"):
        read_run_crops(checkpoint)


def test_crops_of_labelled_images(checkpoints, tmp_path):
    import cv2

    image = np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 80}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "bbox": [5 * n, 5, 20, 40], "keypoints": [9, 9, 2] * 3,
             "num_keypoints": 3, "area": 800, "iscrowd": 0} for n in (1, 2)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(SKELETON.joints), "skeleton": []}],
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    card = card_from_metadata(open_session(checkpoints("lite-fpn")).metadata, "test")
    crops = cut_labelled_inputs(card, tmp_path / "labels.json")
    assert crops.shape == (2, 96, 64, 3) and crops.dtype == np.uint8
    assert crops.std() > 10 and not np.array_equal(crops[0], crops[1])


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_command_exports_a_run(checkpoints, pixels, tmp_path):
    path = shutil.copy(checkpoints("lite-fpn"), tmp_path / "best.ckpt")
    np.savez_compressed(tmp_path / "parity.npz", pixels=pixels)
    result = run(path, "--format", "torchscript", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert Path(content["output"]) == tmp_path / "model.torchscript.pt"
    assert [parity["runtime"] for parity in content["parity"]] == ["openvino", "torch"]
    assert (
        "torch: distance of 33 points: p50 0.000 px, p90 0.000 px, p99 0.0" in result.stderr
        and "ms an input" in result.stderr
    )
    assert load_pose_model(Path(content["output"]), None, Execution()).card.name == "lite-fpn"


def test_the_command_needs_images_to_compare_on(checkpoints, tmp_path):
    path = shutil.copy(checkpoints("lite-fpn"), tmp_path / "best.ckpt")
    result = run(path, "--format", "onnx")
    assert isinstance(result.exception, AnnotatorError)
    assert "there is no parity.npz beside it" in str(result.exception) and "--data" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say --format"),
        (["--format", "onnx", "--card", "{card}"], "--card goes with --card-only"),
        (["--card-only"], "--card-only needs --card"),
        (["--card-only", "--card", "{card}", "--format", "onnx"], "--format does not go with --card-only"),
        (["--card-only", "--card", "{card}", "--precision", "int8"], "--precision does not go with --card-only"),
        (["--format", "tensorrt"], "'tensorrt' is not one of"),
        (["--format", "onnx", "--input-size", "640"], "--input-size '640': expected WIDTHxHEIGHT"),
        (["--card-only", "--card", "{card}", "--licence", "MIT"], "--licence does not go with --card-only"),
    ],
)
def test_misuse_of_the_command(checkpoints, tmp_path, arguments, said):
    (tmp_path / "card.yaml").write_text("name: x")
    filled = [argument.format(card=tmp_path / "card.yaml") for argument in arguments]
    result = run(checkpoints("lite-fpn"), *filled)
    assert result.exit_code == 2 and said in result.output
