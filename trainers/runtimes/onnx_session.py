"""ONNX Runtime: ONNX files on CPUs and, with onnxruntime-gpu, on CUDA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.runtimes.batching import check_batch, check_single_input, join_rows, split_rows
from trainers.runtimes.formats import ModelFile
from trainers.runtimes.metadata import read_metadata
from trainers.runtimes.session import Execution, TensorSpec

if TYPE_CHECKING:
    import onnxruntime

_TYPES = {"float": "float32", "float16": "float16", "double": "float64", "bool": "bool"}  # the rest are numpy's names
_PRECISIONS = {"float16": "f16", "float32": "f32"}


def open_onnx(model: ModelFile, execution: Execution) -> OnnxSession:
    """Raises TrainersError where onnxruntime is missing, cannot load the file, or cannot run it as asked."""
    try:
        import onnxruntime
    except ImportError as error:
        raise TrainersError(
            f"{model.path}: --runtime onnxruntime: onnxruntime is not installed; pip install onnxruntime "
            f"(or onnxruntime-gpu), or use --runtime openvino"
        ) from error
    provider, options = _provider(onnxruntime.get_available_providers(), execution.device)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors: they come as exceptions anyway
    try:
        loaded = onnxruntime.InferenceSession(model.path, settings, providers=[(provider, options)])
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).strip().splitlines()[0]
        raise TrainersError(f"{model.path}: ONNX Runtime cannot load it: {reason}") from error
    if loaded.get_providers()[0] != provider:  # it goes on on the CPU without a word
        raise TrainersError(f"{model.path}: --device {execution.device}: ONNX Runtime could not start {provider}")
    check_single_input(len(loaded.get_inputs()), model)
    session = OnnxSession(loaded, execution.device, read_metadata(model))
    if execution.precision not in ("auto", session.precision):
        raise TrainersError(
            f"{model.path}: --precision {execution.precision}: ONNX Runtime runs a file in the precision it was "
            f"saved with ({session.precision}); use auto, or --runtime openvino, which converts"
        )
    return session


class OnnxSession:
    """A loaded graph."""

    runtime = "onnxruntime"

    def __init__(self, loaded: onnxruntime.InferenceSession, device: str, metadata: Mapping[str, str]) -> None:
        self.device = "cpu" if loaded.get_providers()[0] == "CPUExecutionProvider" else device
        self.inputs = tuple(map(_spec, loaded.get_inputs()))
        self.outputs = tuple(map(_spec, loaded.get_outputs()))
        self.precision = _PRECISIONS.get(self.inputs[0].dtype.name, "f32")
        self.metadata = metadata
        self._loaded = loaded

    def run(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """See `Session.run`."""
        batch = check_batch(self.inputs[0], batch)
        size = self.inputs[0].shape[0]
        if size is None:
            return self._call(batch)
        pieces = [self._call(piece) for piece in split_rows(batch, size)]
        return join_rows(pieces, self.outputs, size, len(batch))

    def _call(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        try:
            return tuple(self._loaded.run(None, {self.inputs[0].name: batch}))
        except Exception as error:  # onnxruntime's exceptions share no base class
            reason = str(error).strip().splitlines()[0]
            raise TrainersError(f"ONNX Runtime failed on an input of shape {batch.shape}: {reason}") from error


def _provider(available: list[str], device: str) -> tuple[str, dict[str, str]]:
    kind, _, index = device.partition(":")
    if kind == "cpu" or (kind == "auto" and "CUDAExecutionProvider" not in available):
        return "CPUExecutionProvider", {}
    if kind in ("cuda", "gpu", "auto") and "CUDAExecutionProvider" in available:
        return "CUDAExecutionProvider", {"device_id": index or "0"}
    there = ", ".join(name.removesuffix("ExecutionProvider") for name in available)
    raise TrainersError(
        f"--device {device}: this ONNX Runtime has no such device; it has: {there} (CUDA comes with onnxruntime-gpu)"
    )


def _spec(argument: Any) -> TensorSpec:
    kind = argument.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in argument.shape)
    return TensorSpec(argument.name, shape, np.dtype(_TYPES.get(kind, kind)))
