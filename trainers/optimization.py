"""The optimizer of a training, and how its learning rate rises and falls."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from trainers.training_config import OptimizerConfig


def make_optimizer(network: nn.Module, settings: OptimizerConfig, steps: int) -> dict[str, Any]:
    """The optimizer and its schedule over so many steps, as Lightning wants them."""
    groups = _decay_groups(network, settings.weight_decay)
    optimizer: torch.optim.Optimizer
    if settings.kind == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    else:
        optimizer = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=True)
    shape = SCHEDULES[settings.schedule]
    rising = settings.warm_up * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: shape(step, rising, steps))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def one_cycle(step: int, rising: float, steps: int) -> float:
    """Share of the peak learning rate: from a 25th up a cosine, then down one to nothing (Smith and Topin, 2018)."""
    if step < rising:
        return _between(1 / 25, 1, step / rising)
    return _between(1, 1e-4, (step - rising) / (steps - rising))


def cosine(step: int, rising: float, steps: int) -> float:
    """Share of the peak learning rate: up a line, then down a cosine to a hundredth (Loshchilov and Hutter, 2017)."""
    if step < rising:
        return (step + 1) / (rising + 1)
    return _between(1, 0.01, (step - rising) / (steps - rising))


SCHEDULES = {"one-cycle": one_cycle, "cosine": cosine}


def _between(start: float, end: float, progress: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Biases and the scales of normalisation are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
