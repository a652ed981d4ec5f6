"""Weights to begin with, from a user's file: what fits by name and shape is taken, what does not is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from cvat_export.skeleton import Skeleton
from trainers.checkpoint import Checkpoint, read_checkpoint
from trainers.detection.network import DetectorNetwork
from trainers.errors import TrainersError
from trainers.model_card import DetectorCard
from trainers.networks import PoseNetwork
from trainers.runtimes.formats import ModelFormat, identify

_NO_JOINTS = "none: a detector has none"
FROM_TIMM = "timm"  # instead of a file
_MOST_NAMED = 6
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
_PREFIXES = ("module", "model", "network", "net", "body", "backbone", "head", "keypoint_head", "_orig_mod")
_COUNTERS = "num_batches_tracked"  # of batch normalisation: no weights, and many files leave them out


@dataclass(frozen=True)
class WeightReport:
    """Names of the network's tensors, but `unexpected`: of the file's. As text it is a few lines for a person.

    mismatched: each with both shapes. joints_from: where the maps of the joints came from, or why they did not.
    """

    source: str
    loaded: tuple[str, ...]
    mismatched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    joints_from: str

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.mismatched) + len(self.missing)
        lines = [f"{self.source}: {len(self.loaded)} of {total} tensors loaded; joints: {self.joints_from}"]
        for what, names in (
            ("of another shape, not loaded", self.mismatched),
            ("not in the file, left as they were", self.missing),
            ("in the file only, not used", self.unexpected),
        ):
            if names:
                lines.append(f"  {len(names)} {what}: {_shortened(names)}")
        return "\n".join(lines)


def load_initial_weights(
    network: PoseNetwork | DetectorNetwork, path: Path | str, skeleton: Skeleton | None, backbone: str | None = None
) -> WeightReport:
    """Fill the network with what a file has for it: our checkpoint, or a state dict of it or of its backbone alone.

    path: FROM_TIMM for the weights that timm downloads for `backbone`. skeleton: of the network's joints, None for
    a detector. From a checkpoint joints are taken by name, as are the channels by which later stages read them; joints
    that it has not keep the weights they have. Other files do not name their joints: maps of the same number are taken
    in their order, which the report says. Raises TrainersError where nothing fits.
    """
    own = network.state_dict()
    if path == FROM_TIMM:
        found, joints_from = _download(backbone), "as they were: timm has backbones"
    elif (path := Path(path)).is_file() and _is_checkpoint(path):
        checkpoint = read_checkpoint(path)
        found = dict(checkpoint.weights)
        joints_from = _take_joints(network, found, skeleton, checkpoint)
    else:
        found, joints_from = _read_state_dict(path), ""
    pairs, unexpected = _paired(own, found)
    fitting = {name: tensor for name, tensor in pairs.items() if tensor.shape == own[name].shape}
    if all(name.endswith(_COUNTERS) for name in fitting):
        raise TrainersError(
            f"{path}: nothing in it fits the network: its tensors are {_shortened(list(found))}, the network's "
            f"{_shortened(list(own))}; is it of another backbone or family?"
        )
    network.load_state_dict({**own, **fitting})
    return WeightReport(
        source=str(path),
        loaded=tuple(fitting),
        mismatched=tuple(
            f"{name} {tuple(tensor.shape)} for {tuple(own[name].shape)}"
            for name, tensor in pairs.items()
            if name not in fitting
        ),
        missing=tuple(name for name in own if name not in pairs and not name.endswith(_COUNTERS)),
        unexpected=tuple(name for name in unexpected if not name.endswith(_COUNTERS)),
        joints_from=joints_from or _joints_by_place(network, fitting),
    )


def _download(backbone: str | None) -> dict[str, Tensor]:
    """The tensors of a timm backbone by name."""
    if backbone is None:
        raise TrainersError(f"weights: {FROM_TIMM}: this network stands on no backbone of timm's; name a file instead")
    try:
        found: dict[str, Tensor] = timm.create_model(backbone, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:  # the network, the hub, or a name for which there are none
        raise TrainersError(
            f"weights: {FROM_TIMM}: those of {backbone!r} cannot be had: {str(error).splitlines()[0]}; download them "
            "on a machine that can, copy the file here, and name it under weights"
        ) from error
    return found


def _is_checkpoint(path: Path) -> bool:
    try:
        return identify(path).format is ModelFormat.CHECKPOINT
    except TrainersError:  # state dicts have many forms
        return False


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, out of the wrappers that training scripts put around them."""
    if not path.is_file():
        raise TrainersError(f"{path}: no such file of weights")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    while isinstance(content, Mapping):
        inside = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inside is None:
            break
        content = inside
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise TrainersError(
            f"{path}: holds no state dict: expected tensors by name, on top or under {', '.join(_WRAPPERS)}; save one "
            "with torch.save(model.state_dict(), path)"
        )
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch's reader stumbles over
        reason = str(error).partition("WeightsUnpickler error:")[2] or str(error) or type(error).__name__
        raise TrainersError(
            f"{path}: cannot be read as weights: {reason.strip().splitlines()[0][:200]}; expected what "
            "torch.save(model.state_dict(), path) writes, or .safetensors"
        ) from error


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise TrainersError(f"{path}: safetensors is not installed; pip install safetensors") from error
    try:
        return load_file(path)
    except Exception as error:  # SafetensorError derives from Exception alone
        raise TrainersError(f"{path}: cannot be read as safetensors: {error}") from error


def _paired(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The file's tensor for each of the network's names, and the names of the file that were not used.

    Names are compared without the prefixes that wrappers give; a name that fits as it is goes first.
    """
    pairs = {name: found[name] for name in own if name in found}
    by_core: dict[str, list[str]] = {}
    for name in found:
        by_core.setdefault(_core(name), []).append(name)
    used = set(pairs)
    for name in own:
        candidates = [other for other in by_core.get(_core(name), []) if other not in used]
        if name not in pairs and candidates:
            best = next((other for other in candidates if found[other].shape == own[name].shape), candidates[0])
            pairs[name] = found[best]
            used.add(best)
    return {name: pairs[name] for name in own if name in pairs}, [name for name in found if name not in used]


def _core(name: str) -> str:
    """A tensor's name without prefixes, and with timm's `stages_0` (of a backbone for feature maps) as `stages.0`."""
    words = re.sub(r"_(\d+)(?=\.)", r".\1", name).split(".")
    while len(words) > 2 and words[0] in _PREFIXES:
        words = words[1:]
    return ".".join(words)


def _take_joints(
    network: PoseNetwork | DetectorNetwork, found: dict[str, Tensor], skeleton: Skeleton | None, checkpoint: Checkpoint
) -> str:
    """See `_remap_joints`; where either is a detector there are none."""
    if isinstance(network, DetectorNetwork) or isinstance(checkpoint.card, DetectorCard):
        return _NO_JOINTS
    assert skeleton is not None
    groups = 2 if checkpoint.network.predicts_visibility else 1
    return _remap_joints(network, found, skeleton, checkpoint.card.skeleton, groups)


def _remap_joints(
    network: PoseNetwork, found: dict[str, Tensor], skeleton: Skeleton, source: Skeleton, groups: int
) -> str:
    """Put what belongs to joints in `found` in the order of `skeleton`; says where they came from.

    groups: of channels in the file, one a joint each: maps, and evidence of visibility.
    """
    sources = skeleton.sources_in(source)
    known = [joint for joint in sources if joint is not None]
    if not known:
        for name in _channel_axes(network):
            found.pop(name, None)
        return f"none: no joint of {source.name} ({', '.join(source.joints)}) has a name of {skeleton.name}"
    own_groups = 2 if network.predicts_visibility else 1
    channels = [
        None if joint is None or group >= groups else group * len(source.joints) + joint
        for group in range(own_groups)
        for joint in sources
    ]
    own = network.state_dict()
    for name, axis in _channel_axes(network).items():
        if name in found:
            found[name] = _remapped(own[name], found[name], channels, groups * len(source.joints), axis)
    new = [joint for joint, place in zip(skeleton.joints, sources, strict=True) if place is None]
    beginning = f"; {len(new)} begin anew: {_shortened(new)}" if new else ""
    visibility = "; their visibility begins anew" if own_groups > groups else ""
    return f"{len(known)} of {len(skeleton.joints)} by name from {source.name}{beginning}{visibility}"


def _remapped(own: Tensor, found: Tensor, channels: Sequence[int | None], count: int, axis: int) -> Tensor:
    """`own` with the channels of `found` that `channels` names; along `axis` they are the last ones.

    count: of channels in `found`. What stands before the channels is taken as it is. A tensor that differs in other
    respects is left to be reported.
    """
    before = own.shape[axis] - len(channels)
    others = [[size for place, size in enumerate(one.shape) if place != axis] for one in (own, found)]
    if found.shape[axis] - count != before or others[0] != others[1]:
        return found
    moves = [(place, place) for place in range(before)]
    moves += [(before + place, before + channel) for place, channel in enumerate(channels) if channel is not None]
    into, from_ = torch.tensor(moves).T
    return own.clone().index_copy(axis, into, found.to(own.dtype).index_select(axis, from_))


def _channel_axes(network: PoseNetwork) -> dict[str, int]:
    """The tensors that count the body's channels along an axis, as its last entries there.

    A body may say so by `channel_axes()`; of others the last layer's weight and bias are taken.
    """
    tell: Callable[[], dict[str, int]] | None = getattr(network.body, "channel_axes", None)
    if tell is not None:
        return {f"body.{name}": axis for name, axis in tell().items()}
    count = network.joints * (2 if network.predicts_visibility else 1)
    last = [name for name, tensor in network.state_dict().items() if tensor.dim() in (1, 4) and len(tensor) == count]
    layer = last[-1].rpartition(".")[0] if last else ""
    return {name: 0 for name in last if name.rpartition(".")[0] == layer}


def _joints_by_place(network: PoseNetwork | DetectorNetwork, fitting: Mapping[str, Tensor]) -> str:
    if isinstance(network, DetectorNetwork):
        return _NO_JOINTS
    if _channel_axes(network).keys() <= fitting.keys():
        return f"by place, for the file does not name them: its {network.joints} maps in its own order"
    return "none: the last layer begins anew"


def _shortened(names: Sequence[str]) -> str:
    more = f", … and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more if names else "none"
