"""Which cells shall find which truth, and with which score: task-aligned assignment (Feng et al., 2021, TOOD)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.detection.boxes import hold, iou

_LEAST = 1e-9  # of a score or an IoU, so that its logarithm is finite


@dataclass(frozen=True, eq=False)
class Assignment:
    """truth (n, cells): the place of a cell's truth box in its image, -1 for none. scores (n, cells): what to learn."""

    truth: Tensor
    scores: Tensor


@torch.no_grad()
def assign(
    scores: Tensor,
    boxes: Tensor,
    centres: Tensor,
    truth: Tensor,
    present: Tensor,
    top: int = 10,
    alpha: float = 1.0,
    beta: float = 6.0,
) -> Assignment:
    """Scores (n, cells), boxes (n, cells, 4), centres (cells, 2); truth (n, g, 4), present (n, g): which of it counts.

    Each truth box claims the `top` cells with the highest alignment score ** alpha * IoU ** beta of those whose centre
    lies in it; of a box that holds no centre it is the cell nearest to its own. A cell claimed by several takes the one
    with the highest IoU. A truth's scores are the alignments of its cells, scaled so that the highest is their highest
    IoU; they are 0 where no box of its cells overlaps it. alpha and beta are the paper's; its `top` is 13.
    """
    if truth.shape[1] == 0:
        return Assignment(torch.full(scores.shape, -1, device=scores.device), torch.zeros_like(scores))
    overlaps = iou(truth[:, :, None], boxes[:, None])
    alignment = alpha * scores.clamp(min=_LEAST).log()[:, None] + beta * overlaps.clamp(min=_LEAST).log()
    claims = _highest(alignment, _candidates(centres, truth) & present[..., None], top)
    owners = overlaps.masked_fill(~claims, -1).argmax(dim=1)
    claimed = claims.any(dim=1)
    places = torch.arange(truth.shape[1], device=truth.device)[:, None]
    held = claims & (owners[:, None] == places)
    return Assignment(owners.where(claimed, -1), _normalised(alignment, overlaps, held).amax(dim=1))


def _candidates(centres: Tensor, truth: Tensor) -> Tensor:
    """(n, g, cells): the cells in each box, or the one nearest to its middle."""
    inside = hold(truth, centres)
    middles = (truth[..., :2] + truth[..., 2:]) / 2
    nearest = (middles[:, :, None] - centres).square().sum(dim=-1).argmin(dim=-1, keepdim=True)
    alone = torch.zeros_like(inside).scatter(-1, nearest, True)
    return torch.where(inside.any(dim=-1, keepdim=True), inside, alone)


def _highest(alignment: Tensor, candidates: Tensor, top: int) -> Tensor:
    """(n, g, cells): each truth's `top` candidates, or all where there are fewer."""
    ranked = alignment.masked_fill(~candidates, -torch.inf)
    found = ranked.topk(min(top, ranked.shape[-1]), dim=-1).indices
    return torch.zeros_like(candidates).scatter(-1, found, True) & candidates


def _normalised(alignment: Tensor, overlaps: Tensor, held: Tensor) -> Tensor:
    """(n, g, cells): 0 where not held. Logarithms are subtracted, for IoU ** 6 of a small IoU is no 32 bit float."""
    best = alignment.masked_fill(~held, -torch.inf).amax(dim=-1, keepdim=True)
    highest = overlaps.masked_fill(~held, 0).amax(dim=-1, keepdim=True)
    return ((alignment - best).exp() * highest).masked_fill(~held, 0)
