"""Our checkpoints as models: the network is built again and run by torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from trainers.errors import TrainersError
from trainers.runtimes.formats import ModelFile
from trainers.runtimes.metadata import read_metadata
from trainers.runtimes.session import Execution, TensorSpec
from trainers.runtimes.torch_session import TorchSession, require_torch, torch_device

if TYPE_CHECKING:
    from trainers.checkpoint import Checkpoint


def open_checkpoint(model: ModelFile, execution: Execution) -> TorchSession:
    """A session over the checkpoint in a file. Raises TrainersError."""
    require_torch(model)
    try:
        from trainers.checkpoint import read_checkpoint
    except ImportError as error:
        raise TrainersError(
            f"{model.path}: a checkpoint needs {error.name}, which is not installed; pip install "
            "'cvat-pose-annotator[train]', or export it (annotator export) to ONNX or OpenVINO"
        ) from error
    return run_checkpoint(read_checkpoint(model.path), execution, read_metadata(model))


def run_checkpoint(
    checkpoint: Checkpoint, execution: Execution, metadata: Mapping[str, str] | None = None
) -> TorchSession:
    """A session over a checkpoint in memory. Outputs are named as in exports that have names. Raises TrainersError."""
    import torch

    from trainers.checkpoint import restore_network

    device = torch_device(execution.device)
    network = restore_network(checkpoint, execution.trust).to(device)
    network.to(memory_format=torch.channels_last)  # half the time on CPUs
    width, height = checkpoint.card.input.size
    spec = TensorSpec("images", (None, 3, height, width), np.dtype(np.float32))
    outputs = [TensorSpec(name, (None, *shape), np.dtype(np.float32)) for name, shape in network.outputs.items()]
    return TorchSession(network, device, execution.precision, metadata or {}, spec, tuple(outputs))
