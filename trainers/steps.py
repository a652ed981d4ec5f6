"""What the steps of every kind of model share, as Lightning runs them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from trainers.optimization import make_optimizer
from trainers.training_config import TrainingConfig

Estimate = TypeVar("Estimate")


class Steps(pl.LightningModule, Generic[Estimate]):
    """A network in training. steps: how many there will be. estimates: of the last validation, in its order."""

    def __init__(self, network: nn.Module, config: TrainingConfig, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.estimates: list[Estimate] = []
        self._seed = config.seed
        self._optimizer = config.optimizer
        self._steps = steps

    def on_train_epoch_start(self) -> None:
        """Dropout and the like depend on the seed and the epoch alone, so that an epoch can be begun again."""
        torch.manual_seed(self._seed * 1_000_003 + self.current_epoch)

    def configure_optimizers(self) -> Any:
        return make_optimizer(self.network, self._optimizer, self._steps)

    def log_loss(self, name: str, loss: Tensor, batch_size: int) -> None:
        """Its mean over the epoch's samples."""
        self.log(name, loss, batch_size=batch_size, on_step=False, on_epoch=True)

    def take_estimates(self) -> list[Estimate]:
        """Those of the last validation, which are let go."""
        taken, self.estimates = self.estimates, []
        return taken


def as_channels_last(images: Tensor) -> Tensor:
    """How the networks hold their layers: half the time on CPUs."""
    return images.contiguous(memory_format=torch.channels_last)
