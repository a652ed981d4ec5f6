"""A pose network and how it learns, as Lightning runs it."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from trainers.losses import MAP_LOSSES, visibility_loss, weighted_mean
from trainers.model_card import ModelCard
from trainers.networks.pose_network import PoseNetwork
from trainers.optimization import make_optimizer
from trainers.pose_decoding import InputJoints, decode_outputs
from trainers.targets import Batch
from trainers.training_config import PoseConfig


class PoseSteps(pl.LightningModule):
    """One step of learning, one of estimating, and the optimizer. estimates: of the last validation, in its order."""

    def __init__(self, network: PoseNetwork, config: PoseConfig, card: ModelCard, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.card = card
        self.estimates: list[InputJoints] = []
        self._steps = steps
        self._stages = torch.compile(network.stages) if config.compile else network.stages

    def on_train_epoch_start(self) -> None:
        """Dropout and the like depend on the seed and the epoch alone, so that an epoch can be begun again."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        maps, logits = self._stages(batch.images.contiguous(memory_format=torch.channels_last))
        loss = self._loss(maps.float(), None if logits is None else logits.float(), batch)
        self.log("loss", loss, batch_size=len(batch.images), on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        maps, logits = self.network.stages(batch.images.contiguous(memory_format=torch.channels_last))
        logits = None if logits is None else logits.float()
        loss = self._loss(maps.float(), logits, batch)
        self.log("validation_loss", loss, batch_size=len(batch.images), on_step=False, on_epoch=True)
        outputs = {"heatmaps": maps[:, -1].float().cpu().numpy()}
        if logits is not None:
            outputs["visibility"] = logits.cpu().numpy()
        self.estimates.append(decode_outputs(self.card, outputs))

    def configure_optimizers(self) -> Any:
        return make_optimizer(self.network, self.config.optimizer, self._steps)

    def _loss(self, maps: Tensor, logits: Tensor | None, batch: Batch) -> Tensor:
        settings, map_loss = self.config.loss, MAP_LOSSES[self.config.loss.kind]
        loss = weighted_mean(map_loss(maps, batch.targets), batch.weights, settings.hardest)
        if batch.teacher_targets.numel():
            taught = weighted_mean(map_loss(maps, batch.teacher_targets), batch.teacher_weights, settings.hardest)
            loss = (1 - settings.teacher_weight) * loss + settings.teacher_weight * taught
        if logits is not None:
            loss = loss + settings.visibility_weight * visibility_loss(logits, batch.visible, batch.weights)
        return loss


def joined(estimates: list[InputJoints]) -> InputJoints:
    """The rows of all batches, one after the other."""
    return InputJoints(
        np.concatenate([part.xy for part in estimates]),
        np.concatenate([part.scores for part in estimates]),
        np.concatenate([part.seen for part in estimates]),
    )
