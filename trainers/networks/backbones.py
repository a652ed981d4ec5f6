"""timm's networks as what pose networks stand on: feature maps of chosen strides, without a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import timm
import torch
from torch import nn

from trainers.codecs import Size
from trainers.errors import TrainersError


class FeatureMaps(nn.Module):
    """A timm backbone as (n, 3, h, w) -> maps (n, channels[i], about h / strides[i], about w / strides[i]).

    Weights are random: a file of them is read by `trainers.initial_weights`, nothing is downloaded. Raises
    TrainersError for a name that timm does not know, and for a backbone that lacks one of `strides` or does not take
    inputs of this size.
    """

    def __init__(self, name: str, strides: Sequence[int], input_size: Size) -> None:
        super().__init__()
        check_backbone(name)
        there = _strides(name)
        if missing := [stride for stride in strides if stride not in there]:
            raise TrainersError(
                f"backbone {name!r}: has no feature maps of stride {missing[0]}; it has {_listed(there)}, needed are "
                f"{_listed(strides)}; take a convolutional pyramid such as resnet50 or mobilenetv4_conv_small"
            )
        self.model, maps = _create(name, [there.index(stride) for stride in strides], input_size)
        self._channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        self.strides = tuple(strides)
        self.channels = tuple(found.shape[-1 if self._channels_last else 1] for found in maps)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The maps, finest first."""
        maps: list[torch.Tensor] = self.model(images)
        return [found.permute(0, 3, 1, 2) for found in maps] if self._channels_last else maps


def check_backbone(name: str, pattern: str = "") -> None:
    """Raises TrainersError unless timm has this backbone by itself: names of hubs and folders are none."""
    if ":" not in name and timm.is_model(name):
        return
    near = get_close_matches(name, timm.list_models(pattern), n=5, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
    raise TrainersError(f"backbone {name!r}: timm {timm.__version__} has none of this name; {hint}")


def check_multiple(input_size: Size, multiple: int, network: str) -> None:
    """Raises TrainersError unless width and height are multiples: maps would cover more than the input otherwise."""
    for side, pixels in zip(("width", "height"), input_size, strict=True):
        if pixels <= 0 or pixels % multiple:
            near = max(multiple, round(pixels / multiple) * multiple)
            raise TrainersError(
                f"network {network}: input {side}: got {pixels}, expected a multiple of {multiple}, such as {near}"
            )


def _strides(name: str) -> list[int]:
    """Of all feature maps that timm takes from a backbone; none where it takes none. No weights are allocated."""
    try:
        with torch.device("meta"):
            model: Any = timm.create_model(name, features_only=True)
        return [int(stride) for stride in model.feature_info.reduction()]
    except (RuntimeError, AttributeError, NotImplementedError, TypeError, ValueError, AssertionError) as error:
        raise TrainersError(
            f"backbone {name!r}: timm takes no feature maps from it: {error}; take a convolutional pyramid such as "
            "resnet50 or mobilenetv4_conv_small"
        ) from error


def _create(name: str, indices: list[int], input_size: Size) -> tuple[nn.Module, list[torch.Tensor]]:
    """The backbone, and its maps of one blank input. Those that want to know their input's size are told it."""
    width, height = input_size
    refusals = []
    for told in ({}, {"img_size": (height, width)}):
        try:
            options: dict[str, Any] = {"features_only": True, "out_indices": indices, **told}
            model = _without_unused_stages(timm.create_model(name, pretrained=False, **options))
            with torch.no_grad():
                maps = model.eval()(torch.zeros(1, 3, height, width))
            return model.train(), maps
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            refusals.append(error)
    reason = str(refusals[0]).strip().splitlines()[0]
    raise TrainersError(
        f"backbone {name!r}: does not take inputs of {width} x {height} (width x height): {reason}; take another size, "
        "or a convolutional backbone, which takes any"
    ) from refusals[0]


def _without_unused_stages(model: Any) -> nn.Module:
    """timm's mobile networks keep, and run, the stages behind the last map that is asked for."""
    if asked := getattr(model, "_stage_out_idx", None):
        model.blocks = model.blocks[: max(asked)]
    wanted: nn.Module = model
    return wanted


def _listed(strides: Sequence[int]) -> str:
    return ", ".join(map(str, strides)) or "none"
