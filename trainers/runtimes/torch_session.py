"""torch: TorchScript and torch.export's archives, on any device that torch knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.runtimes.batching import check_batch, check_single_input, join_rows, split_rows
from trainers.runtimes.formats import ModelFile, ModelFormat
from trainers.runtimes.metadata import read_metadata
from trainers.runtimes.session import Execution, Precision, TensorSpec

if TYPE_CHECKING:
    import torch

    from trainers.runtimes.session import Session

_ANY_IMAGES = TensorSpec("images", (None, None, None, None), np.dtype(np.float32))


def open_torch(model: ModelFile, execution: Execution) -> Session:
    """Raises TrainersError where torch is missing or cannot load the file."""
    require_torch(model)
    device = torch_device(execution.device)
    if model.format is ModelFormat.TORCHSCRIPT:
        module: Any = load_torchscript(model).to(device)
        spec, outputs = _torchscript_specs(module, model)
    else:
        from torch.export.passes import move_to_device_pass

        from trainers.runtimes.pt2_file import load_pt2

        program = load_pt2(model, execution.trust)
        spec, outputs = pt2_specs(program, model)
        module = (program if device == "cpu" else move_to_device_pass(program, device)).module()
    return TorchSession(module, device, execution.precision, read_metadata(model), spec, outputs)


def load_torchscript(model: ModelFile) -> torch.jit.ScriptModule:
    """The network on the CPU, ready to run. Raises TrainersError."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, and is what users have
            return torch.jit.load(str(model.path), map_location="cpu").eval()
    except RuntimeError as error:
        raise TrainersError(f"{model.path}: torch cannot load this TorchScript file: {first_line(error)}") from error


class TorchSession:
    """Any callable from a tensor to tensors.

    A file that says nothing of its batch is tried: where two rows give other results than each row alone, rows are
    run one by one.
    """

    runtime = "torch"

    def __init__(
        self,
        module: Any,
        device: str,
        precision: Precision,
        metadata: Mapping[str, str],
        spec: TensorSpec = _ANY_IMAGES,
        outputs: tuple[TensorSpec, ...] = (),
    ) -> None:
        self.device = device
        self.precision: str = "f32" if precision == "auto" else precision
        if precision == "auto" and spec.dtype == np.float16:
            self.precision = "f16"
        self.inputs: tuple[TensorSpec, ...] = (spec,)
        self.outputs = outputs
        self.metadata = metadata
        self._module = module
        self._batch_sizes: dict[tuple[int, ...], int | None] = {}

    def run(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        """See `Session.run`."""
        batch = check_batch(self.inputs[0], batch)
        try:
            size = self._piece_size(batch)
            if size is None:
                return self._call(batch)
            pieces = [self._call(piece) for piece in split_rows(batch, size)]
        except RuntimeError as error:
            raise TrainersError(f"torch failed on an input of shape {batch.shape}: {first_line(error)}") from error
        return join_rows(pieces, self.outputs, size, len(batch))

    def _piece_size(self, batch: npt.NDArray[Any]) -> int | None:
        """How many rows one call takes; None for any number."""
        if self.inputs[0].shape[0] is not None or len(batch) == 1:
            return self.inputs[0].shape[0]
        shape = batch.shape[1:]
        if shape not in self._batch_sizes:
            self._batch_sizes[shape] = None if self._batches_agree(shape, batch.dtype) else 1
        return self._batch_sizes[shape]

    def _batches_agree(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        pair = np.random.default_rng(0).random((2, *shape)).astype(dtype)  # not the data: the answer must not vary
        pair[1] *= 0.1  # two noises have much the same means
        tolerance = 1e-4 if self.precision == "f32" else 0.02
        alone = [self._call(pair[row : row + 1]) for row in range(2)]
        try:
            together = self._call(pair)
        except RuntimeError:
            return False
        return all(
            len(whole) == 2 and _close(whole, np.concatenate(parts), tolerance)
            for whole, *parts in zip(together, *alone, strict=True)
        )

    def _call(self, batch: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
        import torch

        with torch.inference_mode(), self._autocast():
            found = _tensors(self._module(torch.from_numpy(batch).to(self.device)))
            arrays = tuple((tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy() for tensor in found)
        if len(self.outputs) != len(arrays):  # a TorchScript file does not say how many there are
            self.outputs = tuple(TensorSpec(f"output{i}", (), array.dtype) for i, array in enumerate(arrays))
        return arrays

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        if self.precision == "f32" or self.inputs[0].dtype == np.float16:
            return nullcontext()
        dtype = torch.float16 if self.precision == "f16" else torch.bfloat16
        return torch.autocast(torch.device(self.device).type, dtype)


def require_torch(model: ModelFile) -> None:
    """Raises TrainersError where torch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise TrainersError(
            f"{model.path}: {model.format} needs torch, which is not installed; pip install "
            f"'cvat-pose-annotator[train]', or export the model to ONNX or OpenVINO, which need nothing more"
        ) from error


def torch_devices() -> list[str]:
    """What torch can run on here, in its own names."""
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def torch_device(wanted: str) -> str:
    """The device's name for torch; "auto" is CUDA where there is one. Raises TrainersError where it is missing."""
    there = torch_devices()
    first_cuda = "cuda:0" if "cuda:0" in there else "cpu"
    name = {"gpu": "cuda:0", "cuda": "cuda:0", "auto": first_cuda}.get(wanted, wanted)
    if name not in there:
        raise TrainersError(f"--device {wanted}: torch finds no such device here; it has: {', '.join(there)}")
    return name


def first_line(error: BaseException) -> str:
    """The first line of an error that may carry pages; TorchScript's own reason is the last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith("RuntimeError:")]
    return (reasons or lines or [type(error).__name__])[0]


def _tensors(found: Any) -> list[torch.Tensor]:
    """The tensors of a network's result in order, out of whatever tuples, lists and mappings it returns."""
    import torch

    if isinstance(found, torch.Tensor):
        return [found]
    parts = found.values() if isinstance(found, Mapping) else found if isinstance(found, (list, tuple)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _close(first: npt.NDArray[Any], second: npt.NDArray[Any], tolerance: float) -> bool:
    """Whether two arrays are equal but for rounding: within `tolerance` of the largest value."""
    if first.shape != second.shape:
        return False
    span = float(np.abs(second, dtype=np.float64).max(initial=1e-6))
    return bool(np.abs(first - second.astype(np.float64)).max(initial=0) <= tolerance * span)


def _torchscript_specs(module: torch.jit.ScriptModule, model: ModelFile) -> tuple[TensorSpec, tuple[TensorSpec, ...]]:
    import torch

    arguments = module.forward.schema.arguments[1:]  # type: ignore[attr-defined]
    check_single_input(len([a for a in arguments if not a.has_default_value()]), model)
    parameter = next(iter(module.parameters()), None)
    dtype = np.dtype(np.float16 if parameter is not None and parameter.dtype is torch.float16 else np.float32)
    return TensorSpec(arguments[0].name, (None, None, None, None), dtype), ()


def pt2_specs(program: Any, model: ModelFile) -> tuple[TensorSpec, tuple[TensorSpec, ...]]:
    """The input and the outputs of an exported program. Raises TrainersError for one of several inputs."""
    import torch

    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    check_single_input(len(inputs), model)
    outputs = [name for name in program.graph_signature.user_outputs if isinstance(name, str)]

    def spec(name: str) -> TensorSpec:
        value = values[name]
        sizes = tuple(size if isinstance(size, int) else None for size in value.shape)
        dtype = value.dtype if value.dtype not in (torch.bfloat16,) else torch.float32
        return TensorSpec(name, sizes, np.dtype(str(dtype).removeprefix("torch.")))

    return spec(inputs[0]), tuple(map(spec, outputs))
