"""Checkpoint: a trained network as a file from which it can be built again, with its card.

The file is torch's zip of the weights alone, which torch.load reads with weights_only. Card and description stand
beside them as JSON, under extra/ as in TorchScript, so that both can be read without torch.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cvat_export.atomic import atomic_writer
from trainers.detection.network import DetectorNetwork
from trainers.errors import TrainersError
from trainers.model_card import Card, DetectorCard, card_from_metadata, dump_card
from trainers.networks import PoseNetwork, build_detector, build_network, is_own_network
from trainers.runtimes.formats import CHECKPOINT_KEY, ModelFile, ModelFormat, identify
from trainers.runtimes.metadata import CARD_KEY, read_metadata

ModelNetwork = PoseNetwork | DetectorNetwork  # what a card and a spec describe

_VERSION = 1
_MOST_NAMED = 5  # of weights that do not fit
_HINTS = {  # for files that are no checkpoint, by suffix
    ".ckpt": "; of a run take best.ckpt: last.ckpt is the trainer's own state",
    ".pt": " of a network of ours; an Ultralytics .pt is exported by its own yolo export",
}


@dataclass(frozen=True)
class NetworkSpec:
    """What `build_network` needs beside the card's input size and number of joints."""

    name: str
    backbone: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    predicts_visibility: bool = False


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """weights: of the network, by name. origin: plain values that say where it comes from (epoch, metric, …)."""

    card: Card
    network: NetworkSpec
    weights: dict[str, Tensor]
    origin: dict[str, Any] = field(default_factory=dict)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file atomically; the same checkpoint gives the same bytes. Raises TrainersError for odd `origin`."""
    description = {"version": _VERSION, "network": asdict(checkpoint.network), "origin": checkpoint.origin}
    try:
        text = json.dumps(description, indent=2)
    except (TypeError, ValueError) as error:
        raise TrainersError(f"{path}: origin and options must be plain values: {error}") from error
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    with zipfile.ZipFile(buffer, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        for name, content in ((CARD_KEY, dump_card(checkpoint.card)), (CHECKPOINT_KEY, text)):
            archive.writestr(zipfile.ZipInfo(f"{root}/extra/{name}"), content)  # ZipInfo: a fixed time
    with atomic_writer(path) as stream:
        stream.write(buffer.getbuffer())


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, its weights on the CPU.

    Only tensors are unpickled. Raises TrainersError where the file is damaged, something else, or of another version.
    """
    path = Path(path)
    model = identify(path)
    if model.format is not ModelFormat.CHECKPOINT:
        hint = _HINTS.get(path.suffix, "")
        raise TrainersError(f"{path}: got {model.format}, expected a checkpoint that `annotator train` wrote{hint}")
    metadata = read_metadata(model)
    card = card_from_metadata(metadata, str(path))
    if card is None:
        raise TrainersError(f"{path}: damaged: a checkpoint without its {CARD_KEY}")
    spec, origin = _description(metadata, model)
    return Checkpoint(card, spec, _weights(model), origin)


def network_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's weights as they are now."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def restore_network(checkpoint: Checkpoint, trust: bool = False) -> ModelNetwork:
    """The network with its weights, in eval mode.

    trust: whether a network of somebody's own (`module:function`) may be imported, which runs its code. Raises
    TrainersError where it may not, where it cannot be built, and where the weights do not fit it.
    """
    spec, card = checkpoint.network, checkpoint.card
    if is_own_network(spec.name) and not trust:
        raise TrainersError(
            f"checkpoint {card.name!r}: its network {spec.name!r} is code outside the toolkit, which would be imported "
            "and run; if you know who made the file and have that module, use --trust"
        )
    with torch.random.fork_rng(devices=[]):  # the weights drawn here are thrown away
        network = build_model(spec, card)
    if misfits := _misfits(network.state_dict(), checkpoint.weights):
        more = f"; and {len(misfits) - _MOST_NAMED} more" if len(misfits) > _MOST_NAMED else ""
        raise TrainersError(
            f"checkpoint {card.name!r}: the weights do not fit network {spec.name} with backbone "
            f"{spec.backbone or 'its own'}: {'; '.join(misfits[:_MOST_NAMED])}{more}; was it trained with another "
            "version of the network or of timm?"
        )
    network.load_state_dict(checkpoint.weights)
    return network.eval()


def build_model(spec: NetworkSpec, card: Card) -> ModelNetwork:
    """The network with random weights. Raises TrainersError, saying what there is instead."""
    if isinstance(card, DetectorCard):
        return DetectorNetwork(build_detector(spec.name, card.input.size, spec.backbone, spec.options), card.input.size)
    joints = len(card.skeleton.joints)
    channels = 2 * joints if spec.predicts_visibility else joints
    body = build_network(spec.name, channels, card.input.size, spec.backbone, spec.options)
    return PoseNetwork(body, joints, spec.predicts_visibility)


def _description(metadata: Mapping[str, str], model: ModelFile) -> tuple[NetworkSpec, dict[str, Any]]:
    try:
        content = json.loads(metadata[CHECKPOINT_KEY])
        version = content["version"]
        if version == _VERSION:
            return NetworkSpec(**content["network"]), dict(content["origin"])
    except (ValueError, TypeError, KeyError) as error:
        raise TrainersError(f"{model.path}: damaged: its {CHECKPOINT_KEY} cannot be read: {error}") from error
    raise TrainersError(
        f"{model.path}: a checkpoint of format {version}, this version of the toolkit reads format {_VERSION}; "
        "use the version that wrote it, or a newer one"
    )


def _weights(model: ModelFile) -> dict[str, Tensor]:
    try:
        weights = torch.load(model.path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch's reader stumbles over
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainersError(f"{model.path}: damaged: torch cannot read its weights: {reason[:200]}") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise TrainersError(f"{model.path}: damaged: got {type(weights).__name__}, expected tensors by name")
    return weights


def _misfits(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    missing = [f"{name} is missing" for name in expected if name not in weights]
    unexpected = [f"{name} has no place" for name in weights if name not in expected]
    shapes = [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    return shapes + missing + unexpected
