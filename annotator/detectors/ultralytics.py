"""Ultralytics' own .pt files as detectors and one-stage pose models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainers.errors import TrainersError
from trainers.runtimes import Execution, Session
from trainers.runtimes.formats import ModelFile
from trainers.runtimes.session import Opener, open_first
from trainers.runtimes.torch_session import TorchSession, torch_device
from trainers.runtimes.torch_to_openvino import open_traced
from trainers.runtimes.ultralytics_file import read_ultralytics

_TASKS = {"DetectionModel": "detect", "PoseModel": "pose", "SegmentationModel": "segment"}


def open_ultralytics(model: ModelFile, execution: Execution) -> Session:
    """A session over a .pt file, whose metadata are those that Ultralytics' exports carry.

    Raises TrainersError for a pickle that wants to run code, where ultralytics is missing, and where the checkpoint
    holds no network of its family.
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
    network, checkpoint = read_ultralytics(model, trust)
    network = network.eval().fuse(verbose=False)
    return network, _metadata(network, checkpoint.get("train_args"))


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
