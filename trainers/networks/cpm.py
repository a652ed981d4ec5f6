"""Convolutional Pose Machines: stages that look at the image and at the maps of the stage before (Wei et al., 2016)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.networks.backbones import check_multiple
from trainers.networks.initialisation import initialise_relu, initialise_small

_FEATURES = 32  # channels of a stage's image features
_GROUPS = 32  # of group normalisation (Wu & He, 2018); every normalised layer has a multiple of 32 channels
NORMALISATIONS: dict[str, Callable[[int], nn.Module] | None] = {
    "none": None,
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(_GROUPS, channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
}


class ConvolutionalPoseMachine(nn.Module):
    """Images (n, 3, h, w) -> maps of all stages (n, stages, channels, h / 8, w / 8), each to be supervised.

    Kernels and widths are those of the paper's figure 2. Top-down crops have their subject in the middle, so there is
    no centre map; nor a background channel. The paper's networks have no normalisation: what `normalisation` and
    `dropout` (of whole channels, before a stage's last layer) add is ours.

    shared_features: figure 2 draws image features x' for each stage t >= 2. Computed by layers of its own in every
    stage they make 42 M parameters for 16 joints; with the layers shared, as section 3.3 trains them, 31 M and less
    than half the arithmetic.
    """

    def __init__(
        self,
        channels: int,
        input_size: Size,
        stages: int = 6,
        normalisation: str = "none",
        dropout: float = 0.0,
        shared_features: bool = False,
    ) -> None:
        super().__init__()
        check_multiple(input_size, 8, "cpm")
        _check_options(stages, normalisation, dropout)
        self.first = nn.Sequential(
            _image_features(normalisation),
            _convolution(_FEATURES, 512, 9, normalisation),
            _convolution(512, 512, 1, normalisation),
            nn.Dropout2d(dropout),
            nn.Conv2d(512, channels, 1),
        )
        own = 1 if shared_features else stages - 1
        self.features = nn.ModuleList(_image_features(normalisation) for _ in range(min(own, stages - 1)))
        self.later = nn.ModuleList(_later_stage(channels, normalisation, dropout) for _ in range(stages - 1))
        initialise_relu(self)
        for stage in (self.first, *self.later):
            initialise_small(stage[-1], std=0.01)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        maps = [self.first(images)]
        features = [features(images) for features in self.features]
        for number, stage in enumerate(self.later):
            seen = features[min(number, len(features) - 1)]
            maps.append(stage(torch.cat([seen, maps[-1]], dim=1)))
        return torch.stack(maps, dim=1)

    def channel_axes(self) -> dict[str, int]:
        """The tensors that count channels, as the last entries along an axis: what gives maps, and what reads them."""
        stages = {"first": self.first, **{f"later.{number}": stage for number, stage in enumerate(self.later)}}
        given = {f"{name}.{len(stage) - 1}.{kind}": 0 for name, stage in stages.items() for kind in ("weight", "bias")}  # type: ignore[arg-type]
        return given | {f"later.{number}.0.0.weight": 1 for number in range(len(self.later))}


def _image_features(normalisation: str) -> nn.Sequential:
    """(n, 3, h, w) -> (n, 32, h / 8, w / 8)"""
    layers: list[nn.Module] = []
    for before in (3, 128, 128):
        layers += [_convolution(before, 128, 9, normalisation), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, _convolution(128, _FEATURES, 5, normalisation))


def _later_stage(channels: int, normalisation: str, dropout: float) -> nn.Sequential:
    """Image features and the maps of the stage before, (n, 32 + channels, h, w) -> (n, channels, h, w)"""
    return nn.Sequential(
        _convolution(_FEATURES + channels, 128, 11, normalisation),
        _convolution(128, 128, 11, normalisation),
        _convolution(128, 128, 11, normalisation),
        _convolution(128, 128, 1, normalisation),
        nn.Dropout2d(dropout),
        nn.Conv2d(128, channels, 1),
    )


def _convolution(before: int, after: int, kernel: int, normalisation: str) -> nn.Sequential:
    layer = NORMALISATIONS[normalisation]
    convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=layer is None)
    return nn.Sequential(convolution, *([layer(after)] if layer else []), nn.ReLU(inplace=True))


def _check_options(stages: int, normalisation: str, dropout: float) -> None:
    if stages < 1:
        raise TrainersError(f"network cpm: stages: got {stages}, expected 1 or more; the paper has 6")
    if normalisation not in NORMALISATIONS:
        raise TrainersError(f"network cpm: normalisation: got {normalisation!r}, expected {', '.join(NORMALISATIONS)}")
    if not 0 <= dropout < 1:
        raise TrainersError(f"network cpm: dropout: got {dropout}, expected 0 or more and below 1")
