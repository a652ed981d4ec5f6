"""Ultralytics' package (AGPL-3.0, extra [train]) and its own .pt files.

A file is never given to ultralytics, which would unpickle it without restriction: it lends its classes only.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import PIL.Image

from trainers.errors import TrainersError
from trainers.runtimes.formats import ModelFile
from trainers.runtimes.unpickling import PickleFamily, load_pickle

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


def read_ultralytics(model: ModelFile, trust: bool = False) -> tuple[Any, dict[str, Any]]:
    """The network of a .pt file as it was written, on the CPU, and all that the file holds.

    Raises TrainersError for a pickle that wants to run code, where ultralytics is missing, and for a checkpoint without
    a network of its family.
    """
    try:
        ultralytics = import_ultralytics()
    except ImportError as error:
        raise TrainersError(
            f"{model.path}: an Ultralytics .pt needs ultralytics and torch, which are not installed "
            f"({error.name}); pip install 'cvat-pose-annotator[train]', or use its ONNX export"
        ) from error
    checkpoint = load_pickle(model, _FAMILY, trust)
    network = (checkpoint.get("ema") or checkpoint.get("model")) if isinstance(checkpoint, dict) else None
    if not isinstance(network, ultralytics.nn.tasks.BaseModel):
        raise TrainersError(
            f"{model.path}: a checkpoint without a YOLO network (got {type(network).__name__}); expected an "
            f"Ultralytics .pt, or the model exported as ONNX or TorchScript"
        )
    return network.float(), checkpoint


def import_ultralytics() -> Any:
    """The package with its networks."""
    with silenced_ultralytics():
        import torch  # noqa: F401 - first: ultralytics lowers the number of threads that torch starts with
        import ultralytics.nn.tasks
    return ultralytics


@contextmanager
def silenced_ultralytics() -> Iterator[None]:
    """Importing ultralytics writes settings, looks for a network, may install packages and sets thread counts.

    What it changes in other libraries is undone.
    """
    before, opened = dict(os.environ), PIL.Image.open
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
            PIL.Image.open = opened  # ultralytics' own tries to install a package when a file is no image
