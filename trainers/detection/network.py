"""What surrounds a detector's layers: raw maps for losses, boxes and scores for all others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainers.codecs import Size
from trainers.detection.cells import STRIDES, decode_boxes, place_cells


class DetectorNetwork(nn.Module):
    """A `body` such as LiteDetector: images (n, 3, h, w) -> one map (n, 5, h / s, w / s) a stride, in their order.

    `raw` is for losses, `forward` is what is exported. centres (cells, 2) and strides (cells,): of the cells, in pixels
    of the input; they go where the network goes, and are not in its state dict.
    """

    centres: Tensor
    strides: Tensor

    def __init__(self, body: nn.Module, input_size: Size, strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        self.body = body
        centres, widths = place_cells(input_size, strides)
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("strides", widths, persistent=False)

    @property
    def outputs(self) -> dict[str, tuple[int | None, ...]]:
        """The name and shape, without the images' number, of what `forward` gives."""
        return {"boxes": (len(self.centres), 4), "scores": (len(self.centres),)}

    def raw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, 3, h, w) -> logits (n, cells), boxes (n, cells, 4), decoded in 32 bits whatever the layers do."""
        cells = torch.cat([found.flatten(2) for found in self.body(images)], dim=2).float()
        boxes = decode_boxes(cells[:, 1:].transpose(1, 2), self.centres.float(), self.strides.float())
        return cells[:, 0], boxes

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, 3, h, w) -> boxes (n, cells, 4) and scores (n, cells), 0 to 1; nothing is left out."""
        logits, boxes = self.raw(images)
        return boxes, logits.sigmoid()
