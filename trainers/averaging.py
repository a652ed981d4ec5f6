"""Weights averaged over the steps of a training: they are what is validated and kept."""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class WarmingAverage(WeightAveraging):
    """An exponential average whose memory grows with the steps, to `decay`.

    A fixed decay of 0.999 remembers the first, random weights for thousands of steps. Here the decay of step t is
    (1 + t) / (10 + t) while that is less, as in TensorFlow's ExponentialMovingAverage. Counts are no averages: of
    them it has the newest.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
            kept = min(decay, (1 + int(count)) / (10 + int(count)))
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(averaged, current, 1 - kept)
            else:
                torch._foreach_copy_(averaged, current)

        super().__init__(multi_avg_fn=torch.no_grad()(average), use_buffers=True)
