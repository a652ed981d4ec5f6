"""An ONNX network -> the same in 8-bit integers, their ranges taken from real inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from trainers.errors import TrainersError

if TYPE_CHECKING:
    import onnx

_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def quantise(model: onnx.ModelProto, batches: Iterable[npt.NDArray[Any]]) -> onnx.ModelProto:
    """Weights and activations in 8 bits (QDQ), but for the last layers and what follows them, which stay as they are.

    Weights are scaled by channel and take 7 of their bits: with 8, sums overflow on processors without VNNI, silently.
    Activations are unsigned: signed ones take ONNX Runtime twice the time on x86-64. Raises TrainersError where onnx
    or onnxruntime is missing, or cannot do it.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quant_pre_process, quantize_static
    except ImportError as error:
        raise TrainersError(
            f"precision int8 needs {error.name}; pip install 'cvat-pose-annotator[train]', or export in f32"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        given, fused, written = (Path(folder) / name for name in ("given.onnx", "fused.onnx", "int8.onnx"))
        onnx.save(model, given)
        try:
            quant_pre_process(given, fused, skip_symbolic_shape=True)  # batch normalisation into convolutions
            quantize_static(
                fused,
                written,
                _Reader(model.graph.input[0].name, iter(batches)),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_last_layers(onnx.load(fused).graph),
            )
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise TrainersError(f"ONNX Runtime cannot quantise the network: {error}; export it in f32") from error
        return onnx.load(written)


class _Reader:
    """The inputs as onnxruntime's CalibrationDataReader gives them."""

    def __init__(self, name: str, batches: Iterator[npt.NDArray[Any]]) -> None:
        self._name, self._batches = name, batches

    def get_next(self) -> Mapping[str, npt.NDArray[Any]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def _last_layers(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes between the outputs and the last layers, these included: joints' places, boxes' sides."""
    makers = {output: node for node in graph.node for output in node.output}
    found: dict[str, None] = {}
    waiting = [output.name for output in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found[node.name] = None
        if node.op_type not in _LAYERS:
            waiting += node.input
    return list(found)
