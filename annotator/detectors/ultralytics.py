"""Ultralytics' own .pt files: the only place that imports ultralytics (AGPL-3.0, extra [train]).

The file is never given to ultralytics, which would unpickle it without restriction: it lends its classes only.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import PIL.Image

from annotator.errors import AnnotatorError
from trainers.errors import TrainersError
from trainers.runtimes import Execution, Session
from trainers.runtimes.formats import ModelFile
from trainers.runtimes.session import Opener, open_first
from trainers.runtimes.torch_session import TorchSession, torch_device
from trainers.runtimes.torch_to_openvino import open_traced
from trainers.runtimes.unpickling import PickleFamily, load_pickle

_TASKS = {"DetectionModel": "detect", "PoseModel": "pose", "SegmentationModel": "segment"}
_FAMILY = PickleFamily(
    name="Ultralytics YOLO",
    modules=("torch.nn.modules.", "ultralytics.nn.modules.", "ultralytics.nn.tasks."),
    renamed={
        "ultralytics.nn.tasks.YOLOv10DetectionModel": "ultralytics.nn.tasks.DetectionModel",
        "ultralytics.nn.modules.block.Silence": "torch.nn.modules.linear.Identity",
    },
    inert=(  # how the network was trained: arguments, paths, losses, figures
        "builtins.getattr",
        "pathlib.",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "torchvision.transforms.functional.InterpolationMode",
        "ultralytics.utils.IterableSimpleNamespace",
        "ultralytics.utils.loss.",
        "ultralytics.utils.tal.",
        "ultralytics.yolo.utils.",
    ),
)


def open_ultralytics(model: ModelFile, execution: Execution) -> Session:
    """A session over a .pt file, whose metadata are those that Ultralytics' exports carry.

    Raises TrainersError for a pickle that wants to run code, AnnotatorError where ultralytics is missing or the
    checkpoint holds no network of its family.
    """
    return open_first(model, execution, OPENERS)


def _open_in_openvino(model: ModelFile, execution: Execution) -> Session:
    network, metadata = _load(model, execution.trust)
    head = network.model[-1]
    if getattr(head, "end2end", False):
        raise TrainersError(f"{model.path}: OpenVINO does not convert end-to-end heads; use --runtime torch")
    head.export = head.dynamic = True  # one output, and a grid that follows the input's size
    head.format = "openvino"
    return open_traced(network, model, execution, metadata)


def _open_in_torch(model: ModelFile, execution: Execution) -> Session:
    network, metadata = _load(model, execution.trust)
    device = torch_device(execution.device)
    network.to(device)
    return TorchSession(lambda images: network(images)[0], device, execution.precision, metadata)


OPENERS: dict[str, Opener] = {"openvino": _open_in_openvino, "torch": _open_in_torch}  # what "auto" takes first


def _load(model: ModelFile, trust: bool) -> tuple[Any, dict[str, str]]:
    """The network on the CPU, ready to run, and its metadata."""
    try:
        ultralytics = import_ultralytics()
    except ImportError as error:
        raise AnnotatorError(
            f"{model.path}: an Ultralytics .pt needs ultralytics and torch, which are not installed "
            f"({error.name}); pip install 'cvat-pose-annotator[train]', or use its ONNX export"
        ) from error
    checkpoint = load_pickle(model, _FAMILY, trust)
    network = (checkpoint.get("ema") or checkpoint.get("model")) if isinstance(checkpoint, dict) else None
    if not isinstance(network, ultralytics.nn.tasks.BaseModel):
        raise AnnotatorError(
            f"{model.path}: a checkpoint without a YOLO network (got {type(network).__name__}); expected an "
            f"Ultralytics .pt, or the model exported as ONNX or TorchScript"
        )
    network = network.float().eval().fuse(verbose=False)
    return network, _metadata(network, checkpoint.get("train_args"))


def import_ultralytics() -> Any:
    """The package with its networks. What it changes in other libraries while it is imported is undone."""
    opened = PIL.Image.open
    with _silenced():
        import torch  # noqa: F401 - first: ultralytics lowers the number of threads that torch starts with
        import ultralytics.nn.tasks
    PIL.Image.open = opened  # ultralytics' own tries to install a package when a file is no image
    return ultralytics


def _metadata(network: Any, arguments: Any) -> dict[str, str]:
    """What an export would carry as `config.txt`."""
    head = network.model[-1]
    said = {
        "task": _TASKS.get(type(network).__name__, type(network).__name__),
        "names": network.names,
        "stride": int(max(network.stride)),
        "channels": network.yaml.get("channels", 3),
        "kpt_shape": list(getattr(head, "kpt_shape", ())),
        "imgsz": arguments.get("imgsz") if isinstance(arguments, Mapping) else None,
        "args": {"dynamic": True},
    }
    return {"config.txt": json.dumps(said)}


@contextmanager
def _silenced() -> Iterator[None]:
    """Importing ultralytics writes settings, looks for a network, may install packages and sets thread counts."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "YOLO_OFFLINE": "true",
            "YOLO_AUTOINSTALL": "false",
            "YOLO_VERBOSE": "false",
            "YOLO_CONFIG_DIR": folder,
        }
        try:
            yield
        finally:
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ |= before
