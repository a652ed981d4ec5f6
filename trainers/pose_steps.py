"""A pose network and how it learns, as Lightning runs it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainers.losses import MAP_LOSSES, visibility_loss, weighted_mean
from trainers.model_card import ModelCard
from trainers.networks.pose_network import PoseNetwork
from trainers.pose_decoding import InputJoints, decode_outputs
from trainers.steps import Steps
from trainers.targets import Batch, Targets
from trainers.training_config import PoseConfig


class PoseSteps(Steps[InputJoints]):
    """One step of learning, and one of estimating."""

    network: PoseNetwork

    def __init__(self, network: PoseNetwork, config: PoseConfig, card: ModelCard, targets: Targets, steps: int) -> None:
        super().__init__(network, config, steps)
        self._settings = config.loss
        self._card = card
        self._targets = targets
        self._stages = torch.compile(network.stages) if config.compile else network.stages

    def training_step(self, batch: Batch, _: int) -> Tensor:
        maps, logits = self._stages(self.normalised(batch.pixels))
        loss = self._loss(maps.float(), None if logits is None else logits.float(), batch)
        self.log_loss("loss", loss, len(batch.pixels))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        maps, logits = self.network.stages(self.normalised(batch.pixels))
        logits = None if logits is None else logits.float()
        self.log_loss("validation_loss", self._loss(maps.float(), logits, batch), len(batch.pixels))
        outputs = {"heatmaps": maps[:, -1].float().cpu().numpy()}
        if logits is not None:
            outputs["visibility"] = logits.cpu().numpy()
        self.estimates.append(decode_outputs(self._card, outputs))

    def _loss(self, maps: Tensor, logits: Tensor | None, batch: Batch) -> Tensor:
        settings, map_loss = self._settings, MAP_LOSSES[self._settings.kind]
        loss = weighted_mean(map_loss(maps, self._targets.maps(batch)), batch.weights, settings.hardest)
        teacher_maps = self._targets.teacher_maps(batch)
        if teacher_maps is not None:
            taught = weighted_mean(map_loss(maps, teacher_maps), batch.teacher_weights, settings.hardest)
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
