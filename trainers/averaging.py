"""Weights averaged over the steps of a training: they are what is validated and kept."""

from __future__ import annotations

from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class WarmingAverage(WeightAveraging):
    """An exponential average whose memory grows with the steps, to `decay`.

    A fixed decay of 0.999 remembers the first, random weights for thousands of steps. Here the decay of step t is
    (1 + t) / (10 + t) while that is less, as in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            kept = min(decay, (1 + int(count)) / (10 + int(count)))
            return kept * averaged + (1 - kept) * current

        super().__init__(avg_fn=average, use_buffers=True)
