"""HRNet: high resolution from beginning to end (Sun et al., 2019), on timm's implementation of its body."""

from __future__ import annotations

import timm
import torch
from torch import nn

from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.networks.backbones import check_backbone, check_multiple
from trainers.networks.initialisation import initialise_small


class HRNet(nn.Module):
    """Images (n, 3, h, w) -> maps (n, channels, h / 4, w / 4), w = 32 and 48 of the paper as hrnet_w32 and hrnet_w48.

    Maps are regressed from the finest branch alone (section 3, "Heatmap estimation"): what would only serve the other
    branches at the end of stage 4, and all that classifies, is left out.
    """

    def __init__(self, channels: int, input_size: Size, backbone: str = "hrnet_w32") -> None:
        super().__init__()
        check_multiple(input_size, 32, "hrnet")
        self.backbone = _pose_body(backbone)
        width = self.backbone.stage4[-1].num_in_chs[0]  # type: ignore[index,union-attr]
        self.final_layer = nn.Conv2d(width, channels, 1)
        initialise_small(self.final_layer)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        body = self.backbone
        stem = body.act2(body.bn2(body.conv2(body.act1(body.bn1(body.conv1(images))))))  # type: ignore[operator]
        maps: torch.Tensor = self.final_layer(body.stages(stem)[0])  # type: ignore[operator]
        return maps


def _pose_body(name: str) -> nn.Module:
    """timm's HRNet up to the finest branch. Raises TrainersError for another family's name."""
    if not name.startswith("hrnet_"):
        raise TrainersError(
            f"network hrnet: backbone: got {name!r}, expected one of {', '.join(timm.list_models('hrnet_*'))}"
        )
    check_backbone(name, "hrnet_*")
    body: nn.Module = timm.create_model(name, pretrained=False)
    for part in ("incre_modules", "downsamp_modules", "final_layer", "global_pool", "head_drop", "classifier"):
        delattr(body, part)
    last = body.stage4[-1]  # type: ignore[index]
    last.fuse_layers = last.fuse_layers[:1]  # type: ignore[union-attr]
    return body
