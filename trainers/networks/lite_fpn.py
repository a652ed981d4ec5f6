"""Lite FPN: a mobile backbone and a narrow feature pyramid (after Lin et al., 2017), for CPUs."""

from __future__ import annotations

import torch
from torch import nn

from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.networks.backbones import FeatureMaps, check_multiple
from trainers.networks.initialisation import initialise_relu, initialise_small
from trainers.networks.pyramid import make_laterals, make_smoothers, separable, top_down

_STRIDES = (4, 8, 16, 32)


class LiteFpn(nn.Module):
    """Images (n, 3, h, w) -> maps (n, channels, h / 4, w / 4).

    Each level is brought to `width` channels, added to the coarser one above it, and smoothed by a depthwise separable
    convolution; the finest gives the maps. levels: 4, or 3 for no look at stride 32. A side that is no multiple of 32
    is fine: coarse maps then reach over the border, and what is beyond it is cut off, so that cells keep their places.
    """

    def __init__(
        self,
        channels: int,
        input_size: Size,
        backbone: str = "mobilenetv4_conv_small",
        width: int = 64,
        levels: int = 4,
    ) -> None:
        super().__init__()
        check_multiple(input_size, 4, "lite-fpn")
        if width < 1 or levels not in (3, 4):
            raise TrainersError(f"network lite-fpn: got width {width}, levels {levels}, expected 1 or more, and 3 or 4")
        self.backbone = FeatureMaps(backbone, _STRIDES[:levels], input_size)
        self.laterals = make_laterals(self.backbone.channels, width)
        self.smoothers = make_smoothers(width, levels)
        self.last = separable(width)
        self.final_layer = nn.Conv2d(width, channels, 1)
        for part in (self.laterals, self.smoothers, self.last):
            initialise_relu(part)
        initialise_small(self.final_layer)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        finest = top_down(self.backbone(images), self.laterals, self.smoothers)[0]
        maps: torch.Tensor = self.final_layer(self.last(finest))
        return maps
