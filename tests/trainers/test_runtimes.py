"""One suite over every format and runtime: the network that made the files is the oracle."""

import sys
from pathlib import Path

import numpy as np
import pytest

from trainers.errors import TrainersError
from trainers.runtimes import Execution, open_session
from trainers.runtimes.batching import check_batch
from trainers.runtimes.formats import ModelFormat, identify
from trainers.runtimes.session import TensorSpec

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))
from network_files import CARD_TEXT, SIDE_PX, write_networks  # noqa: E402

CASES = [
    *((name, runtime) for name in ("onnx-free", "onnx-fixed") for runtime in ("openvino", "onnxruntime")),
    *((name, runtime) for name in ("pt2-free", "pt2-fixed", "torchscript") for runtime in ("torch", "openvino")),
    *((name, "openvino") for name in ("ir-free", "ir-fixed")),
    ("torchscript-baked", "torch"),
    ("torchscript-baked", "openvino"),
]
IMAGES = np.random.default_rng(5).random((5, 3, SIDE_PX, SIDE_PX), dtype=np.float32)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return write_networks(tmp_path_factory.mktemp("networks"))


def truth(networks, images):
    with torch.inference_mode():
        return [output.numpy() for output in networks.network(torch.from_numpy(images))]


@pytest.mark.parametrize(("name", "runtime"), CASES)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_every_runtime_gives_the_same_numbers_for_any_batch(networks, name, runtime, rows):
    session = open_session(networks.paths[name], Execution(runtime=runtime, precision="f32"))
    outputs = session.run(IMAGES[:rows])
    assert session.runtime == runtime
    assert len(outputs) == len(session.outputs) == 2
    for output, expected in zip(outputs, truth(networks, IMAGES[:rows]), strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "runtime"), CASES)
def test_the_same_batch_gives_the_same_bytes(networks, name, runtime):
    first, second = (open_session(networks.paths[name], Execution(runtime=runtime)) for _ in range(2))
    kept = [output.copy() for output in first.run(IMAGES)]
    first.run(IMAGES[::-1])
    for again in (first.run(IMAGES), second.run(IMAGES)):
        assert [output.tobytes() for output in again] == [output.tobytes() for output in kept]


@pytest.mark.parametrize(("name", "runtime"), CASES)
def test_metadata_carry_the_card_in_every_format(networks, name, runtime):
    assert open_session(networks.paths[name], Execution(runtime=runtime)).metadata["model_card.json"] == CARD_TEXT


@pytest.mark.parametrize(("name", "runtime"), CASES)
def test_bf16_is_near_and_says_so(networks, name, runtime):
    execution = Execution(runtime=runtime, precision="bf16")
    if runtime == "onnxruntime":
        with pytest.raises(TrainersError, match="precision it was saved with"):
            open_session(networks.paths[name], execution)
        return
    session = open_session(networks.paths[name], execution)
    assert session.precision == "bf16"
    for output, expected in zip(session.run(IMAGES), truth(networks, IMAGES), strict=True):
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, expected, atol=0.03)


@pytest.mark.parametrize(("name", "runtime"), CASES)
def test_an_input_that_does_not_fit_is_refused(networks, name, runtime):
    session = open_session(networks.paths[name], Execution(runtime=runtime))
    with pytest.raises(TrainersError):
        session.run(IMAGES[:, :2])
    with pytest.raises(TrainersError):
        session.run(IMAGES[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchscript", ModelFormat.TORCHSCRIPT),
        ("torchscript-baked", ModelFormat.TORCHSCRIPT),
        ("pt2-free", ModelFormat.PT2),
        ("onnx-fixed", ModelFormat.ONNX),
        ("ir-free", ModelFormat.OPENVINO_IR),
    ],
)
def test_a_format_is_told_from_content_not_from_the_name(networks, tmp_path, name, expected):
    original = networks.paths[name]
    disguised = tmp_path / "model.dat"
    disguised.write_bytes(original.read_bytes())
    if expected is ModelFormat.OPENVINO_IR:
        (tmp_path / "model.bin").write_bytes(original.with_suffix(".bin").read_bytes())
    assert identify(disguised).format is expected


def test_a_folder_with_one_ir_is_a_model(networks, tmp_path):
    for suffix in (".xml", ".bin"):
        (tmp_path / f"a{suffix}").write_bytes(networks.paths["ir-free"].with_suffix(suffix).read_bytes())
    assert identify(tmp_path).path == tmp_path / "a.xml"
    (tmp_path / "b.xml").write_text("<net/>")
    with pytest.raises(TrainersError, match=r"a\.xml, b\.xml"):
        identify(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "text file that begins with 'hello"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        (b"<html></html>", "root <html>"),
        (b"<net", "no valid XML"),
        (b'<net version="11"></net>', "weights model.bin are missing"),
        (b"PK\x03\x04" + bytes(200), "damaged"),
        (bytes(range(256)) * 4, "unknown content"),
    ],
)
def test_what_is_no_model_is_named(tmp_path, content, said):
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(TrainersError, match=said):
        open_session(path)


@pytest.mark.parametrize("name", ["torchscript", "pt2-free", "onnx-free", "ir-free"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_model_is_an_error_of_ours(networks, tmp_path, name, share):
    path = tmp_path / networks.paths[name].name
    content = networks.paths[name].read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    if name == "ir-free":
        path.with_suffix(".bin").write_bytes(networks.paths[name].with_suffix(".bin").read_bytes())
    with pytest.raises(TrainersError):
        open_session(path)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_runtime_that_cannot_run_a_format_says_which_can(networks, runtime):
    with pytest.raises(TrainersError, match="--runtime openvino"):
        open_session(networks.paths["ir-free"], Execution(runtime=runtime))


@pytest.mark.parametrize(("name", "runtime"), CASES)
def test_a_missing_device_is_named_with_those_that_are_there(networks, name, runtime):
    with pytest.raises(TrainersError, match=r"--device cuda:7.*it has: (cpu|.*CPU)"):
        open_session(networks.paths[name], Execution(runtime=runtime, device="cuda:7"))


def test_auto_falls_back_to_the_next_runtime(networks, monkeypatch):
    from trainers.runtimes import session as module

    def refuse(*_):
        raise TrainersError("no")

    monkeypatch.setitem(module._OPENERS, "openvino", refuse)
    assert open_session(networks.paths["onnx-free"]).runtime == "onnxruntime"
    with pytest.raises(TrainersError, match="no"):
        open_session(networks.paths["ir-free"])


def test_integers_are_not_made_of_floats():
    spec = TensorSpec("images", (1, 2), np.dtype(np.uint8))
    with pytest.raises(TrainersError, match="got float32 values, expected uint8"):
        check_batch(spec, np.ones((1, 2), np.float32))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("movenet_lightning_int8.tflite", [(3, 1, 17, 3)]),
        ("blazepose_detection.tflite", [(3, 2254, 12), (3, 2254, 1)]),
        ("fastestdet.onnx", [(3, 85, 22, 22)]),
    ],
)
def test_models_of_others_run_with_any_batch(shared_data, name, shapes):
    session = open_session(shared_data / "models" / name)
    spec = session.inputs[0]
    images = (np.random.default_rng(0).random((3, *spec.shape[1:])) * 255).astype(spec.dtype)
    outputs = session.run(images)
    assert [output.shape for output in outputs] == shapes
    alone = session.run(images[2:])
    for output, row in zip(outputs, alone, strict=True):
        np.testing.assert_allclose(output[2:], row, atol=1e-4)
