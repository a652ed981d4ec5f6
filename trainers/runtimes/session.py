"""What a loaded model is to the rest of the toolkit, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.runtimes.formats import RUNTIMES, ModelFile, ModelFormat, identify

RuntimeName = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "f32", "f16", "bf16"]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. shape: None where a dimension is free (the batch, usually).

    A TorchScript file says nothing of its shapes: its inputs are (None, None, None, None), its outputs ().
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Execution:
    """How a model is to be run, as the command line says it."""

    runtime: RuntimeName = "auto"
    device: str = "auto"
    precision: Precision = "auto"
    trust: bool = False  # whether a pickle may run code that the allowlist does not know


class Session(Protocol):
    """A model, loaded and ready. Safe to call from one thread at a time."""

    runtime: str
    device: str
    precision: str  # what is in fact used, which "auto" leaves to the runtime
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]  # names may be invented where a format has none
    metadata: Mapping[str, str]  # what the file says of itself: TorchScript extra files, ONNX properties, IR rt_info

    def run(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """The model's outputs for one input of shape inputs[0].shape, in the order of `outputs`.

        Any number of rows, at least one, whatever batch the file was exported with. The same batch gives the
        same bytes. Raises TrainersError where the batch does not fit the input.
        """
        ...


Opener = Callable[[ModelFile, Execution], Session]


def open_session(path: Path, execution: Execution = Execution()) -> Session:
    """Load the model file (or OpenVINO folder) at `path`, see `open_first`."""
    model = identify(Path(path))
    return open_first(model, execution, {runtime: _OPENERS[runtime] for runtime in RUNTIMES[model.format]})


def open_first(model: ModelFile, execution: Execution, openers: Mapping[str, Opener]) -> Session:
    """Load a model with the first of `openers`, by runtime, best first, that can.

    Where `execution` leaves the runtime open, the next one is tried if the first cannot load the file. Raises
    TrainersError, saying what would help.
    """
    able = able_runtimes(model, execution, tuple(openers))
    refusals = []
    for runtime in able:
        try:
            return openers[runtime](model, execution)
        except TrainersError as error:
            refusals.append(error)
    if len(refusals) == 1 or all(str(refusal) == str(refusals[0]) for refusal in refusals):
        raise refusals[0]
    raise TrainersError("\n".join(f"{runtime}: {error}" for runtime, error in zip(able, refusals, strict=True)))


def able_runtimes(model: ModelFile, execution: Execution, able: tuple[str, ...]) -> tuple[str, ...]:
    """Of the runtimes that can run a file, best first, those to try: the one asked for, or those with the device.

    CUDA belongs to torch and ONNX Runtime: OpenVINO's GPUs are Intel's. Without CUDA, OpenVINO runs torch's files in
    a quarter to two thirds of torch's time. Raises TrainersError where there are none.
    """
    if execution.runtime != "auto":
        if execution.runtime in able:
            return (execution.runtime,)
        can = f"--runtime {' or '.join(able)}" if able else "none: a pickle holds no graph that a runtime could read"
        raise TrainersError(f"{model.path}: {execution.runtime} cannot run {model.format}; what can: {can}")
    if execution.device == "auto" and "torch" in able and _has_cuda():
        able = ("torch", *(runtime for runtime in able if runtime != "torch"))
    if execution.device.startswith("cuda"):
        able = tuple(runtime for runtime in able if runtime != "openvino")
    if not able:
        raise TrainersError(
            f"{model.path}: nothing runs {model.format} on --device {execution.device}; "
            f"try --device cpu, or export the model to ONNX or TorchScript"
        )
    return able


def _has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def _open_openvino(model: ModelFile, execution: Execution) -> Session:
    if model.format in (ModelFormat.TORCHSCRIPT, ModelFormat.PT2):
        from trainers.runtimes.torch_to_openvino import open_converted

        return open_converted(model, execution)
    from trainers.runtimes.openvino_session import open_openvino

    return open_openvino(model, execution)


def _open_onnxruntime(model: ModelFile, execution: Execution) -> Session:
    from trainers.runtimes.onnx_session import open_onnx

    return open_onnx(model, execution)


def _open_torch(model: ModelFile, execution: Execution) -> Session:
    if model.format is ModelFormat.CHECKPOINT:
        from trainers.runtimes.checkpoint_session import open_checkpoint

        return open_checkpoint(model, execution)
    from trainers.runtimes.torch_session import open_torch

    return open_torch(model, execution)


_OPENERS = {"openvino": _open_openvino, "onnxruntime": _open_onnxruntime, "torch": _open_torch}
