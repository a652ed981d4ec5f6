"""What training makes small. Maps (n, stages, joints, h, w) against targets (n, joints, h, w); weights (n, joints)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

MapLoss = Callable[[Tensor, Tensor], Tensor]  # maps, targets -> (n, stages, joints)


def squared_error(maps: Tensor, targets: Tensor) -> Tensor:
    """Half the mean squared difference of each map: JointsMSELoss (Xiao et al., 2018), before weights."""
    return 0.5 * (maps - targets[:, None]).square().mean(dim=(-2, -1))


def spatial_cross_entropy(maps: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of a softmax over the cells of each map with the target, which is made to sum to 1.

    It learns from the first step where the squared error stays blank: the target's few bright cells are no minority of
    a sum over all cells. At best it is the target's own entropy, which is taken off, so that 0 is perfect.
    """
    shares = targets.flatten(-2)
    shares = shares / shares.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    logs = torch.log_softmax(maps.flatten(-2), dim=-1)
    entropy = -torch.xlogy(shares, shares).sum(dim=-1)
    return -(shares[:, None] * logs).sum(dim=-1) - entropy[:, None]


MAP_LOSSES: dict[str, MapLoss] = {"mse": squared_error, "cross-entropy": spatial_cross_entropy}


def weighted_mean(losses: Tensor, weights: Tensor, hardest: int | None = None) -> Tensor:
    """One number of losses (n, stages, joints): the mean over labelled joints, summed over the stages.

    hardest: of each subject and stage only so many joints, those with the largest loss, count.
    """
    weighted = losses * weights[:, None]
    counted = weights[:, None].expand_as(weighted)
    if hardest is not None and hardest < losses.shape[-1]:
        weighted, chosen = weighted.topk(hardest, dim=-1)
        counted = counted.gather(-1, chosen)
    return (weighted.sum(dim=(0, 2)) / counted.sum(dim=(0, 2)).clamp(min=1e-6)).sum()


def visibility_loss(logits: Tensor, visible: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of logits (n, joints) over labelled joints."""
    losses = functional.binary_cross_entropy_with_logits(logits, visible, reduction="none")
    labelled = (weights > 0).to(losses.dtype)
    return (losses * labelled).sum() / labelled.sum().clamp(min=1)
