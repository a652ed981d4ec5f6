"""A detector and how it learns, as Lightning runs it."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from cvat_export.labels import Boxes
from trainers.detection.batches import DetectionBatch
from trainers.detection.losses import detection_loss
from trainers.detection.network import DetectorNetwork
from trainers.nms import suppress
from trainers.optimization import make_optimizer
from trainers.training_config import DetectionConfig

_LEAST_SCORE = 0.01  # below it a box changes no figure
_MOST = 1000  # cells of an image that are looked at, the best
VALIDATION_IOU = 0.6  # above it the worse of two boxes is dropped


class DetectionSteps(pl.LightningModule):
    """One step of learning, one of estimating, and the optimizer.

    estimates: of the last validation, in its order, in pixels of the input.
    """

    def __init__(self, network: DetectorNetwork, config: DetectionConfig, category: str, steps: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.estimates: list[Boxes] = []
        self._category = category
        self._steps = steps
        self._raw = torch.compile(network.raw) if config.compile else network.raw

    def on_train_epoch_start(self) -> None:
        """Dropout and the like depend on the seed and the epoch alone, so that an epoch can be begun again."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: DetectionBatch, _: int) -> Tensor:
        loss = self._loss(*self._raw(batch.images.contiguous(memory_format=torch.channels_last)), batch)
        self.log("loss", loss, batch_size=len(batch.images), on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: DetectionBatch, _: int) -> None:
        logits, boxes = self.network.raw(batch.images.contiguous(memory_format=torch.channels_last))
        loss = self._loss(logits, boxes, batch)
        self.log("validation_loss", loss, batch_size=len(batch.images), on_step=False, on_epoch=True)
        self.estimates += [self._found(*one) for one in zip(boxes.float(), logits.sigmoid().float(), strict=True)]

    def configure_optimizers(self) -> Any:
        return make_optimizer(self.network, self.config.optimizer, self._steps)

    def _loss(self, logits: Tensor, boxes: Tensor, batch: DetectionBatch) -> Tensor:
        score_loss, box_loss = detection_loss(
            logits,
            boxes,
            self.network.centres,
            batch.truth,
            batch.present,
            batch.ignored,
            batch.ignored_present,
            batch.only_inside,
        )
        return score_loss + self.config.loss.box_weight * box_loss

    def _found(self, boxes: Tensor, scores: Tensor) -> Boxes:
        best = scores.topk(min(_MOST, len(scores))).indices
        best = best[scores[best] >= _LEAST_SCORE]
        bbox_xyxy, kept_scores = boxes[best].cpu().numpy(), scores[best].cpu().numpy()
        kept = suppress(bbox_xyxy, kept_scores, np.zeros(len(best)), VALIDATION_IOU)
        return Boxes(bbox_xyxy[kept], kept_scores[kept], (self._category,) * len(kept))
