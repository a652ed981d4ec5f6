"""Lite detector: a mobile backbone, a narrow pyramid walked down and up, one small head for all levels; for CPUs."""

from __future__ import annotations

import math

import torch
from torch import nn

from trainers.codecs import Size
from trainers.detection.cells import STRIDES
from trainers.errors import TrainersError
from trainers.networks.backbones import FeatureMaps, check_multiple
from trainers.networks.initialisation import initialise_relu, initialise_small
from trainers.networks.pyramid import make_laterals, make_smoothers, separable, top_down

_VALUES = 5  # of a cell: a logit and four distances
_PRIOR = 0.01  # score of every cell before training (Lin et al., 2017, RetinaNet, section 3.3)
_HALF_SIDE = 2.0  # strides, from a cell to a box's sides before training: RetinaNet's smallest anchors are 4 wide


class LiteDetector(nn.Module):
    """Images (n, 3, h, w) -> raw maps (n, 5, h / s, w / s) of the strides s = 8, 16, 32, finest first.

    The channels are a logit and the raw values of the distances left, top, right, bottom; `DetectorNetwork` decodes
    them. Behind the top-down pyramid comes a bottom-up path (Liu et al., 2018, PANet). The backbone's tensors bear the
    names that they have in LiteFpn, so that a trained pose network's backbone can start a detector.
    """

    def __init__(self, input_size: Size, backbone: str = "mobilenetv4_conv_small", width: int = 64) -> None:
        super().__init__()
        check_multiple(input_size, STRIDES[-1], "lite-detector")
        if width < 1:
            raise TrainersError(f"network lite-detector: width: got {width}, expected 1 or more")
        levels = len(STRIDES)
        self.backbone = FeatureMaps(backbone, STRIDES, input_size)
        self.laterals = make_laterals(self.backbone.channels, width)
        self.smoothers = make_smoothers(width, levels)
        self.reducers = nn.ModuleList(separable(width, stride=2) for _ in range(levels - 1))
        self.risers = nn.ModuleList(separable(width) for _ in range(levels - 1))
        self.head = _Head(width, levels)
        for part in (self.laterals, self.smoothers, self.reducers, self.risers):
            initialise_relu(part)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """See the class."""
        finest, *coarser = top_down(self.backbone(images), self.laterals, self.smoothers)
        levels = [finest]
        for found, reducer, riser in zip(coarser, self.reducers, self.risers, strict=True):
            levels.append(riser(torch.relu(found + reducer(levels[-1]))))
        return [self.head(found, level) for level, found in enumerate(levels)]


class _Head(nn.Module):
    """(n, width, h, w) of a level -> (n, 5, h, w). Levels share the convolutions, not their statistics.

    scales: of the distances' raw values, one a level (Tian et al., 2019, FCOS).
    """

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        for _ in range(2):
            self.convolutions.append(nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False))
            self.convolutions.append(nn.Conv2d(width, width, 1, bias=False))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(width) for _ in self.convolutions) for _ in range(levels)
        )
        self.final_layer = nn.Conv2d(width, _VALUES, 1)
        self.scales = nn.Parameter(torch.ones(levels))
        initialise_relu(self.convolutions)
        initialise_small(self.final_layer, std=0.01)
        with torch.no_grad():
            begin = [-math.log((1 - _PRIOR) / _PRIOR)] + 4 * [math.log(_HALF_SIDE)]
            self.final_layer.bias.copy_(torch.tensor(begin))  # type: ignore[union-attr]

    def forward(self, found: torch.Tensor, level: int) -> torch.Tensor:
        """See the class."""
        depthwise, across, depthwise_again, across_again = self.convolutions
        norms: nn.ModuleList = self.norms[level]  # type: ignore[assignment]
        found = torch.relu(norms[1](across(norms[0](depthwise(found)))))
        found = torch.relu(norms[3](across_again(norms[2](depthwise_again(found)))))
        raw = self.final_layer(found)
        return torch.cat([raw[:, :1], raw[:, 1:] * self.scales[level]], dim=1)
