"""Boxes xyxy: the points they hold, and how far two of them are one."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-9  # square pixels, instead of 0 below a fraction


def hold(boxes: Tensor, points: Tensor) -> Tensor:
    """Whether each point (p, 2) lies in each box (..., g, 4), and not on its border: (..., g, p) of bool."""
    corners = boxes[..., :, None, :]
    return ((points > corners[..., :2]) & (points < corners[..., 2:])).all(dim=-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast: (...), 0 to 1."""
    shared, union = _shared_and_union(first, second)
    return shared / union.clamp(min=_LEAST)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU less the share of the smallest box around both that is in neither (Rezatofighi et al., 2019): -1 to 1."""
    shared, union = _shared_and_union(first, second)
    corners = torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:])
    around = _area(torch.cat(corners, dim=-1)).clamp(min=_LEAST)
    return shared / union.clamp(min=_LEAST) - (around - union) / around


def _shared_and_union(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    corners = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = _area(torch.cat(corners, dim=-1))
    return shared, _area(first) + _area(second) - shared


def _area(boxes: Tensor) -> Tensor:
    """0 where right is left of left, or bottom above top."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]
