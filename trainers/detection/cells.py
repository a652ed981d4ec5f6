"""Where cells lie in a network's input, and the boxes that their raw values stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.codecs import Size
from trainers.errors import TrainersError

STRIDES = (8, 16, 32)
_FARTHEST = 1024.0  # strides from a cell to a side: with a stride of 32 still half of what 16 bit floats hold


def place_cells(input_size: Size, strides: Sequence[int] = STRIDES) -> tuple[Tensor, Tensor]:
    """Centres (cells, 2) as x, y, and strides (cells,), both in pixels; cell (0, 0) of stride s has (s / 2, s / 2).

    Raises TrainersError for a side that is no multiple of a stride.
    """
    width, height = input_size
    centres, widths = [], []
    for stride in strides:
        if width <= 0 or height <= 0 or width % stride or height % stride:
            raise TrainersError(f"cells: input: got {width} x {height}, expected multiples of the stride {stride}")
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5) * stride)
        widths.append(torch.full((len(centres[-1]),), float(stride)))
    return torch.cat(centres), torch.cat(widths)


def decode_boxes(raw: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Raw values (n, cells, 4) of the distances left, top, right, bottom -> boxes (n, cells, 4).

    A distance is exp(raw) strides, as in FCOS (Tian et al., 2019): a step in raw changes a box of any size by the same
    share, as it changes the IoU. Beyond 1024 strides it is held there.
    """
    distances = raw.clamp(max=math.log(_FARTHEST)).exp() * strides[:, None]
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)
