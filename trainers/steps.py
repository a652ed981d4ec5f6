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

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, config: TrainingConfig, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.estimates: list[Estimate] = []
        self._seed = config.seed
        self._optimizer = config.optimizer
        self._steps = steps
        for name, values in (("mean", config.input.mean), ("std", config.input.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def on_train_epoch_start(self) -> None:
        """Dropout and the like depend on the seed and the epoch alone, so that an epoch can be begun again."""
        torch.manual_seed(self._seed * 1_000_003 + self.current_epoch)

    def configure_optimizers(self) -> Any:
        return make_optimizer(self.network, self._optimizer, self._steps)

    def normalised(self, pixels: Tensor) -> Tensor:
        """(n, height, width, 3) uint8 RGB -> the network's input (n, 3, height, width), as its card says.

        In memory a pixel's channels stay side by side: half the time on CPUs.
        """
        return (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std

    def log_loss(self, name: str, loss: Tensor, batch_size: int) -> None:
        """Its mean over the epoch's samples."""
        self.log(name, loss, batch_size=batch_size, on_step=False, on_epoch=True)

    def take_estimates(self) -> list[Estimate]:
        """Those of the last validation, which are let go."""
        taken, self.estimates = self.estimates, []
        return taken
