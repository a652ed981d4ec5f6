"""What a loaded model is to the rest of the toolkit, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.runtimes.formats import RUNTIMES, ModelFile, identify

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


def open_session(path: Path, execution: Execution = Execution()) -> Session:
    """Load the model file (or OpenVINO folder) at `path`. Raises TrainersError, saying what would help."""
    model = identify(Path(path))
    runtime = choose_runtime(model, execution)
    if runtime == "openvino":
        from trainers.runtimes.openvino_session import open_openvino

        return open_openvino(model, execution)
    if runtime == "onnxruntime":
        from trainers.runtimes.onnx_session import open_onnx

        return open_onnx(model, execution)
    from trainers.runtimes.torch_session import open_torch

    return open_torch(model, execution)


def choose_runtime(model: ModelFile, execution: Execution) -> str:
    """The runtime that `execution` means for this kind of file; "auto" is the first of `RUNTIMES` that fits.

    CUDA belongs to torch and ONNX Runtime: OpenVINO's GPUs are Intel's.
    """
    able = RUNTIMES[model.format]
    if execution.runtime != "auto":
        if execution.runtime in able:
            return execution.runtime
        can = (
            f"--runtime {' or '.join(able)}" if able else "none: a pickle holds no graph, only a known family's weights"
        )
        raise TrainersError(f"{model.path}: {execution.runtime} cannot run {model.format}; what can: {can}")
    if execution.device.startswith("cuda"):
        able = tuple(runtime for runtime in able if runtime != "openvino")
    if not able:
        raise TrainersError(
            f"{model.path}: nothing runs {model.format} on --device {execution.device}; "
            f"try --device cpu, or export the model to ONNX or TorchScript"
        )
    return able[0]


def check_batch(spec: TensorSpec, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`batch`, contiguous and of the input's type; raises TrainersError where it does not fit `spec`.

    The number of rows is free. Floats may be widened or narrowed, but never become integers.
    """
    fits = batch.ndim == len(spec.shape) and all(
        expected in (None, got) for expected, got in zip(spec.shape[1:], batch.shape[1:], strict=True)
    )
    if not fits or not batch.size:
        raise TrainersError(f"input {spec.name!r}: got an array of shape {batch.shape}, expected {_shown(spec.shape)}")
    if not np.can_cast(batch.dtype, spec.dtype, "same_kind"):
        raise TrainersError(f"input {spec.name!r}: got {batch.dtype} values, expected {spec.dtype}")
    return np.ascontiguousarray(batch, dtype=spec.dtype)


def _shown(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("n" if size is None or axis == 0 else str(size) for axis, size in enumerate(shape)) + ")"


def check_single_input(count: int, model: ModelFile) -> None:
    """Raises TrainersError unless a model takes one array, as every network over images here does."""
    if count != 1:
        raise TrainersError(f"{model.path}: the model has {count} inputs, expected one: a batch of images")


def join_pieces(
    pieces: Sequence[tuple[npt.NDArray[Any], ...]], names: Sequence[str], size: int, count: int
) -> tuple[npt.NDArray[Any], ...]:
    """The outputs of several runs of `size` rows as those of one run of `count` rows; the last was filled up."""
    if count == size:
        return pieces[0]
    for name, array in zip(names, pieces[0], strict=True):
        if array.shape[:1] != (size,):
            raise TrainersError(
                f"output {name!r} has shape {array.shape} for a batch of {size}: images cannot be told "
                f"apart; export the model without suppression (nms=False)"
            )
    return tuple(np.concatenate(arrays)[:count] for arrays in zip(*pieces, strict=True))
