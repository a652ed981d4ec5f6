"""Files in int8 are smaller, close to the checkpoint, and not let out where they are not."""

import numpy as np
import pytest

from annotator.pose_model import load_pose_model
from trainers.errors import TrainersError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
onnx = pytest.importorskip("onnx")
from trainers.export import export_checkpoint  # noqa: E402
from trainers.export_formats import EXPORT_FORMATS  # noqa: E402
from trainers.model_card import card_from_metadata  # noqa: E402
from trainers.network_input import encode_input  # noqa: E402
from trainers.parity import LIMITS  # noqa: E402
from trainers.pose_decoding import check_card  # noqa: E402
from trainers.runtimes import Execution, open_session  # noqa: E402
from trainers.runtimes.formats import RUNTIMES, identify  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def int8_exports(checkpoints, pixels, tmp_path_factory):
    """Of a network that has learnt nothing, whose joints jump: its maps are compared, not they."""
    folder = tmp_path_factory.mktemp("int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LIMITS, "int8", {})
        return {
            name: export_checkpoint(
                checkpoints("simple-baseline"),
                name,
                pixels,
                folder / EXPORT_FORMATS[name].name_file("int8"),
                precision="int8",
            )
            for name in ("onnx", "openvino")
        }


@pytest.mark.parametrize("export_format", ["onnx", "openvino"])
def test_int8_is_smaller_and_close(int8_exports, checkpoints, pixels, export_format):
    done = int8_exports[export_format]
    assert done.path.name == {"onnx": "model.int8.onnx", "openvino": "model.int8.xml"}[export_format]
    assert done.notes == ()
    assert [parity.runtime for parity in done.parities] == list(RUNTIMES[identify(done.path).format])
    weights = done.path.with_suffix(".bin") if export_format == "openvino" else done.path
    assert weights.stat().st_size < 0.45 * checkpoints("simple-baseline").stat().st_size
    source = open_session(checkpoints("simple-baseline"))
    images = encode_input(card_from_metadata(source.metadata, "source").input, pixels[:3])
    for runtime in RUNTIMES[identify(done.path).format]:
        session = open_session(done.path, Execution(runtime, precision="f32"))
        card = card_from_metadata(session.metadata, "export")
        assert card.precision == "int8"
        check_card(card, session)
        assert [output.name for output in session.outputs] == [output.name for output in source.outputs]
        for found, wanted in zip(session.run(images), source.run(images), strict=True):
            assert 0 < np.abs(found - wanted).mean() < 0.1 * np.abs(wanted).mean()
    assert load_pose_model(done.path, None, Execution()).card.precision == "int8"


def test_the_last_layer_of_int8_stays_in_float_and_others_take_7_bits(int8_exports):
    graph = onnx.load(int8_exports["onnx"].path).graph
    makers = {output: node for node in graph.node for output in node.output}
    layers = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert layers[-1].input[1] not in makers and len(layers) > 10
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for layer in layers[:-1]:
        maker = makers[layer.input[1]]
        assert maker.op_type == "DequantizeLinear"
        assert np.abs(tensors[maker.input[0]].astype(int)).max() <= 64  # of int8's 127: no sum overflows


def test_int8_that_is_broken_is_not_let_out(checkpoints, pixels, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.export_formats.quantise", lambda model, batches: _with_negative_maps(model))
    with pytest.raises(TrainersError, match=r"onnx int8 file finds other points.*p90_px .*expected below 10"):
        export_checkpoint(checkpoints("simple-baseline"), "onnx", pixels, tmp_path / "m.onnx", precision="int8")
    assert list(tmp_path.iterdir()) == []


def _with_negative_maps(model):
    last = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("weight") and tensor.dims[0] == 3)
    last.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(last), last.name))
    return model
