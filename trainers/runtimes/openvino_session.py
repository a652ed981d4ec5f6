"""OpenVINO: IR, ONNX and TFLite files as they are, on CPUs and Intel's GPUs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.runtimes.batching import check_batch, check_single_input, join_rows, split_rows
from trainers.runtimes.formats import ModelFile
from trainers.runtimes.metadata import read_metadata
from trainers.runtimes.session import Execution, TensorSpec

if TYPE_CHECKING:
    import openvino


def open_openvino(model: ModelFile, execution: Execution) -> OpenVinoSession:
    """Read and compile a model. Raises TrainersError where OpenVINO cannot, with what it said."""
    core = import_openvino().Core()
    try:
        graph = core.read_model(model.path)
    except RuntimeError as error:
        raise _cannot_load(model, error) from error
    return compile_graph(graph, model, execution, read_metadata(model))


def compile_graph(
    graph: openvino.Model, model: ModelFile, execution: Execution, metadata: Mapping[str, str]
) -> OpenVinoSession:
    """A session over a graph, however it was read from `model`. Raises TrainersError where OpenVINO refuses."""
    core = import_openvino().Core()
    device = _device(core, execution.device)
    check_single_input(len(graph.inputs), model)
    try:
        fixed = not graph.input(0).partial_shape[0].is_dynamic
        # A fixed batch is run as parallel requests; a free one as one request on all cores.
        config = {"PERFORMANCE_HINT": "THROUGHPUT" if fixed else "LATENCY"}
        if execution.precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = execution.precision
        compiled = core.compile_model(graph, device, config)
    except RuntimeError as error:
        raise _cannot_load(model, error) from error
    session = OpenVinoSession(compiled, device, metadata)
    if execution.precision not in ("auto", session.precision):
        raise TrainersError(
            f"{model.path}: --precision {execution.precision}: OpenVINO runs it in {session.precision} on "
            f"this {device}; use --precision {session.precision} or auto"
        )
    return session


def import_openvino() -> ModuleType:
    """The package, imported without what it otherwise does at import: report that over the network."""
    name = "openvino_telemetry"
    if name not in sys.modules:
        sys.modules[name] = None  # type: ignore[assignment]  # makes its import fail, which openvino provides for
    try:
        import openvino
    finally:
        if sys.modules[name] is None:
            del sys.modules[name]
    return openvino


class OpenVinoSession:
    """A compiled model."""

    runtime = "openvino"

    def __init__(self, compiled: openvino.CompiledModel, device: str, metadata: Mapping[str, str]) -> None:
        self.device = device.lower()
        self.precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.inputs = tuple(_spec(port, f"input{i}") for i, port in enumerate(compiled.inputs))
        self.outputs = tuple(_spec(port, f"output{i}") for i, port in enumerate(compiled.outputs))
        self.metadata = metadata
        self._fixed_batch = self.inputs[0].shape[0]
        count = 1 if self._fixed_batch is None else compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [compiled.create_infer_request() for _ in range(count)]

    def run(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """See `Session.run`."""
        batch = check_batch(self.inputs[0], batch)
        try:
            if self._fixed_batch is None:
                return self._wait(self._start(0, batch))
            return self._run_pieces(batch, self._fixed_batch)
        except RuntimeError as error:
            raise TrainersError(
                f"OpenVINO failed on an input of shape {batch.shape}: {_last_line(error)}; try another --runtime"
            ) from error

    def _run_pieces(self, batch: npt.NDArray[Any], size: int) -> tuple[npt.NDArray[Any], ...]:
        """Pieces of `size` rows, as many at once as there are requests; the last piece is filled up."""
        pieces = split_rows(batch, size)
        results = []
        for start in range(0, len(pieces), len(self._requests)):
            group = pieces[start : start + len(self._requests)]
            started = [self._start(index, piece) for index, piece in enumerate(group)]
            results += [self._wait(request) for request in started]
        return join_rows(results, self.outputs, size, len(batch))

    def _start(self, index: int, piece: npt.NDArray[Any]) -> openvino.InferRequest:
        import openvino

        request = self._requests[index]
        request.set_input_tensor(0, openvino.Tensor(piece, shared_memory=True))
        request.start_async()
        return request

    def _wait(self, request: openvino.InferRequest) -> tuple[npt.NDArray[Any], ...]:
        request.wait()
        return tuple(request.get_output_tensor(i).data.copy() for i in range(len(self.outputs)))


def _cannot_load(model: ModelFile, error: RuntimeError) -> TrainersError:
    """RuntimeError is the only exception that OpenVINO's bindings raise for a bad model."""
    return TrainersError(f"{model.path}: OpenVINO cannot load it: {_last_line(error)}")


def _device(core: openvino.Core, wanted: str) -> str:
    name = "CPU" if wanted == "auto" else wanted.upper()
    if name.partition(".")[0] not in {device.partition(".")[0] for device in core.available_devices}:
        there = ", ".join(device.lower() for device in core.available_devices)
        raise TrainersError(f"--device {wanted}: OpenVINO finds no such device here; it has: {there}")
    return name


def _spec(port: openvino.ConstOutput, fallback: str) -> TensorSpec:
    shape = port.partial_shape
    sizes = () if shape.rank.is_dynamic else tuple(None if d.is_dynamic else d.get_length() for d in shape)
    return TensorSpec(min(port.names, default=fallback), sizes, np.dtype(port.element_type.to_dtype()))


def _last_line(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
