"""A pose network and how it learns, as Lightning runs it."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from trainers.batches import Batch
from trainers.losses import MAP_LOSSES, visibility_loss, weighted_mean
from trainers.model_card import ModelCard
from trainers.networks.pose_network import PoseNetwork
from trainers.pose_decoding import InputJoints, decode_outputs
from trainers.training_config import TrainingConfig


class PoseTask(pl.LightningModule):
    """One step of learning, one of estimating, and the optimizer. estimates: of the last validation, in its order."""

    def __init__(self, network: PoseNetwork, config: TrainingConfig, card: ModelCard, steps: int) -> None:
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
        settings = self.config.optimizer
        groups = _decay_groups(self.network, settings.weight_decay)
        optimizer: torch.optim.Optimizer
        if settings.kind == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
        else:
            optimizer = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=True)
        shape = SCHEDULES[settings.schedule]
        rising = settings.warm_up * self._steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: shape(step, rising, self._steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

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


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Biases and the scales of normalisation are not decayed."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


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
