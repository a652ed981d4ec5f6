"""What is installed here, and which runtimes, devices and precisions in fact work: each is tried, not looked up."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from annotator.named_models import SHIPPED
from trainers.errors import TrainersError
from trainers.runtimes import Execution, open_session
from trainers.runtimes.session import Precision, RuntimeName

CORE = ("numpy", "opencv-python", "av", "openvino", "cvat-sdk", "pycocotools", "pydantic", "click")
EXTRAS = {  # extra -> what it brings, and the packages that bring it
    "train": (
        "TorchScript, pt2 and Ultralytics .pt models, ONNX Runtime, training, export",
        ("torch", "torchvision", "ultralytics", "onnxruntime", "onnx", "timm", "lightning", "optuna"),
    ),
    "review": ("looking through datasets in FiftyOne", ("fiftyone",)),
}
PRECISIONS: tuple[Precision, ...] = ("f32", "f16", "bf16")
INPUT_SHAPE = (2, 3, 64, 64)

# One 2x2 convolution over any number of RGB images of any size, as the onnx package writes it (opset 13).
TINY_ONNX = b64decode(
    "CAg6vAEKIAoGaW1hZ2VzCgZ3ZWlnaHQSCGZlYXR1cmVzIgRDb252EgR0aW55KkQIAQgDCAIIAhABQgZ3ZWlnaHRKMAAAAD4AAAA+AAAAPgAA"
    "AD4AAAA+AAAAPgAAAD4AAAA+AAAAPgAAAD4AAAA+AAAAPlojCgZpbWFnZXMSGQoXCAESEwoDEgFuCgIIAwoDEgFoCgMSAXdiJwoIZmVhdHVy"
    "ZXMSGwoZCAESFQoDEgFuCgIIAQoEEgJvaAoEEgJvd0IECgAQDQ=="
)


@dataclass(frozen=True)
class Package:
    """version: None where it is not installed. extra: None for what every installation has."""

    name: str
    version: str | None
    extra: str | None


@dataclass(frozen=True)
class Trial:
    """A network run once. milliseconds: None where it failed; problem says why."""

    runtime: str
    device: str
    precision: str
    milliseconds: float | None
    problem: str = ""


def installed_packages() -> list[Package]:
    """Versions as the installer recorded them; nothing is imported."""
    wanted = [(name, None) for name in CORE] + [(n, extra) for extra, (_, names) in EXTRAS.items() for n in names]
    return [Package(name, _version(name), extra) for name, extra in wanted]


def describe_machine() -> dict[str, str]:
    """Python and the processor."""
    return {"python": sys.version.split()[0], "system": platform.platform(), "processor": processor_name()}


def try_runtimes() -> Iterator[Trial]:
    """Each installed runtime on each of its devices in each precision; takes about a second each."""
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder) / "tiny.onnx"
        onnx.write_bytes(TINY_ONNX)
        for device in _openvino_devices():
            yield from _try("openvino", onnx, device)
        if _version("onnxruntime") or _version("onnxruntime-gpu"):
            for device in _onnxruntime_devices():
                yield from _try("onnxruntime", onnx, device)
        if _version("torch"):
            script = _write_torchscript(Path(folder) / "tiny.torchscript")
            for device in _torch_devices():
                yield from _try("torch", script, device)


def try_shipped_models() -> Iterator[tuple[str, Trial]]:
    """Each model that comes with the install, by its name, run on one image."""
    from annotator.model_inspection import inspect_model

    for name in SHIPPED:
        try:
            runs = inspect_model(name, Execution()).runs
        except (TrainersError, OSError) as error:
            yield name, Trial("none", "", "", None, str(error))
            continue
        for run in runs:
            yield name, Trial(run.runtime, run.device, run.precision, run.milliseconds, run.problem)


def _try(runtime: RuntimeName, path: Path, device: str) -> Iterator[Trial]:
    batch = np.random.default_rng(0).random(INPUT_SHAPE, dtype=np.float32)
    for precision in PRECISIONS:
        try:
            session = open_session(path, Execution(runtime, device, precision))
            session.run(batch)
            start = time.perf_counter()
            session.run(batch)
        except TrainersError as error:
            yield Trial(runtime, device, precision, None, str(error).removeprefix(f"{path}: "))
        else:
            yield Trial(runtime, device, session.precision, round((time.perf_counter() - start) * 1000, 3))


def _openvino_devices() -> list[str]:
    from trainers.runtimes.openvino_session import import_openvino

    return [name.lower() for name in import_openvino().Core().available_devices]


def _onnxruntime_devices() -> list[str]:
    import onnxruntime

    return ["cpu", *(["cuda"] if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else [])]


def _torch_devices() -> list[str]:
    from trainers.runtimes.torch_session import torch_devices

    return torch_devices()


def _write_torchscript(path: Path) -> Path:
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(torch.nn.Conv2d(3, 8, 3).eval(), torch.zeros(INPUT_SHAPE)).save(str(path))
    return path


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor_name() -> str:
    """What the system calls its processor."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
