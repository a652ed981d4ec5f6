"""Networks that learn heatmaps: one file a family, a dictionary of names, and a way in for a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import torch
from torch import nn

from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.networks.cpm import ConvolutionalPoseMachine
from trainers.networks.hrnet import HRNet
from trainers.networks.lite_detector import LiteDetector
from trainers.networks.lite_fpn import LiteFpn
from trainers.networks.pose_network import PoseNetwork
from trainers.networks.simple_baseline import SimpleBaseline
from trainers.strict_values import nearest
from trainers.ultralytics_networks import ultralytics_networks

__all__ = ["DETECTORS", "NETWORKS", "PoseNetwork", "backbone_name", "build_detector", "build_network", "is_own_network"]

Builder = Callable[..., nn.Module]  # (channels, input_size, backbone=…, **options); what it gives is in `build_network`

NETWORKS: dict[str, Builder] = {
    "simple-baseline": SimpleBaseline,
    "hrnet": HRNet,
    "cpm": ConvolutionalPoseMachine,
    "lite-fpn": LiteFpn,
}
DETECTORS: dict[str, Callable[..., nn.Module]] = {"lite-detector": LiteDetector}  # (input_size, backbone=…, **options)
_GIVEN = ("channels", "input_size", "backbone")


def build_network(
    name: str,
    channels: int,
    input_size: Size,
    backbone: str | None = None,
    options: Mapping[str, Any] = {},
) -> nn.Module:
    """Images (n, 3, h, w) -> maps (n, channels, h / s, w / s), or (n, stages, channels, h / s, w / s).

    name: one of NETWORKS, or `module:function` for a builder of the user's own, which is imported, called and run on
    blank images. backbone: None for the family's own. Raises TrainersError, saying what there is instead.
    """
    builder = _find_own(name) if is_own_network(name) else NETWORKS.get(name)
    if builder is None:
        near = get_close_matches(name, NETWORKS, n=1, cutoff=0)
        raise TrainersError(
            f"network {name!r}: there is none of this name; did you mean {near[0]!r}? There are "
            f"{', '.join(NETWORKS)}, or module:function for one of your own"
        )
    given = _given(name, builder, backbone, options)
    if is_own_network(name):
        return _build_own(name, builder, channels, input_size, given)
    return _call(name, builder, (channels, input_size), given)


def build_detector(
    name: str, input_size: Size, backbone: str | None = None, options: Mapping[str, Any] = {}
) -> nn.Module:
    """The body of a DetectorNetwork, by one of DETECTORS. Raises TrainersError, saying what there is instead."""
    builder = DETECTORS.get(name)
    if builder is None:
        theirs = ultralytics_networks()
        needed = "" if theirs else ", with pip install 'cvat-pose-annotator[train]'"
        raise TrainersError(
            f"network {name!r}: no detector of this name, there are {', '.join(DETECTORS)} and those of Ultralytics, "
            f"such as yolo11n{needed}{nearest(name, [*DETECTORS, *theirs])}"
        )
    return _call(name, builder, (input_size,), _given(name, builder, backbone, options))


def backbone_name(name: str, backbone: str | None) -> str | None:
    """The timm backbone of a network: the one that is said, else the family's own; None where it has none."""
    families = {**NETWORKS, **DETECTORS}
    if backbone is not None or name not in families:
        return backbone
    parameter = inspect.signature(families[name]).parameters.get("backbone")
    return parameter.default if parameter else None


def is_own_network(name: str) -> bool:
    """Whether building a network of this name runs code that is not ours."""
    return ":" in name


def _given(name: str, builder: Builder, backbone: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {**options, **({} if backbone is None else {"backbone": backbone})}
    _check_options(name, builder, given)
    return given


def _call(name: str, builder: Builder, sizes: Sequence[Any], given: Mapping[str, Any]) -> nn.Module:
    try:
        return builder(*sizes, **given)
    except TypeError as error:
        raise TrainersError(f"network {name}: options {given}: a value is of the wrong type: {error}") from error


def _check_options(name: str, builder: Builder, given: Mapping[str, Any]) -> None:
    try:
        parameters = inspect.signature(builder).parameters
    except (TypeError, ValueError):  # a builder that does not tell
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for option in given:
        if option not in parameters:
            own = [known for known in parameters if known not in _GIVEN[:2]]
            raise TrainersError(f"network {name}: unknown option {option!r}; it has {', '.join(own) or 'none'}")


def _find_own(name: str) -> Builder:
    module_name, _, function_name = name.partition(":")
    try:
        found = getattr(import_module(module_name), function_name)
    except (ImportError, ValueError) as error:
        raise TrainersError(
            f"network {name!r}: module {module_name!r} cannot be imported: {error}; expected module:function, the "
            "module installed or in the folder where you call annotator (export PYTHONPATH=.)"
        ) from error
    except AttributeError as error:
        raise TrainersError(f"network {name!r}: module {module_name} has no {function_name!r}") from error
    if not callable(found):
        raise TrainersError(
            f"network {name!r}: got {type(found).__name__}, expected a function (channels, input_size, **options) that "
            "returns a torch.nn.Module"
        )
    builder: Builder = found
    return builder


def _build_own(name: str, builder: Builder, channels: int, input_size: Size, given: Mapping[str, Any]) -> nn.Module:
    network = builder(channels, input_size, **given)
    if not isinstance(network, nn.Module):
        raise TrainersError(f"network {name!r}: returned {type(network).__name__}, expected a torch.nn.Module")
    width, height = input_size
    was_training = network.training
    with torch.no_grad():
        maps = network.eval()(torch.zeros(2, 3, height, width))
    network.train(was_training)
    shape = tuple(maps.shape) if isinstance(maps, torch.Tensor) else type(maps).__name__
    fits = isinstance(maps, torch.Tensor) and maps.dim() in (4, 5) and maps.shape[0] == 2 and maps.shape[-3] == channels
    if not fits or (width * maps.shape[-2] != height * maps.shape[-1]):
        raise TrainersError(
            f"network {name!r}: for images (2, 3, {height}, {width}) got {shape}, expected (2, {channels}, "
            f"{height} / s, {width} / s), or a dimension of stages after the first: channels are joints, and cells are "
            "square"
        )
    return network
