"""What surrounds every family's layers: stages to learn from, and joints' visibility."""

from __future__ import annotations

import torch
from torch import nn

Shape = tuple[int | None, ...]


class PoseNetwork(nn.Module):
    """A `body` from `build_network`, with one channel a joint; with `predicts_visibility` with two.

    `stages` is for losses, `forward` is what is exported. Maps are the body's own values, before any activation.
    """

    def __init__(self, body: nn.Module, joints: int, predicts_visibility: bool = False) -> None:
        super().__init__()
        self.body = body
        self.joints = joints
        self.predicts_visibility = predicts_visibility

    @property
    def outputs(self) -> dict[str, Shape]:
        """The name and shape, without the images' number, of what `forward` gives."""
        maps: dict[str, Shape] = {"heatmaps": (self.joints, None, None)}
        return {**maps, "visibility": (self.joints,)} if self.predicts_visibility else maps

    def stages(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Images (n, 3, h, w) -> maps (n, stages, joints, h', w'), visibility logits (n, joints) of the last stage.

        A joint's logit is the mean of its second map, weighted by the softmax of its first one: what is seen there
        where the joint is. No gradient goes that way into the first map.
        """
        found: torch.Tensor = self.body(images)
        maps = found if found.dim() == 5 else found[:, None]
        if not self.predicts_visibility:
            return maps, None
        heatmaps, evidence = maps[:, :, : self.joints], maps[:, -1, self.joints :]
        where = heatmaps[:, -1].detach().flatten(2).softmax(dim=-1)
        return heatmaps, (where * evidence.flatten(2)).sum(dim=-1)

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Images (n, 3, h, w) -> heatmaps (n, joints, h', w') of the last stage [, visibility logits (n, joints)]."""
        maps, visibility = self.stages(images)
        return maps[:, -1] if visibility is None else (maps[:, -1], visibility)
