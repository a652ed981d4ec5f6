"""A detector and how it learns, as Lightning runs it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cvat_export.labels import Boxes
from trainers.detection.batches import DetectionBatch
from trainers.detection.losses import detection_loss
from trainers.detection.network import DetectorNetwork
from trainers.detection.outputs import MOST_OVERLAP
from trainers.nms import suppress
from trainers.steps import Steps
from trainers.training_config import DetectionConfig

_LEAST_SCORE = 0.01  # below it a box changes no figure
_MOST = 1000  # cells of an image that are looked at, the best


class DetectionSteps(Steps[Boxes]):
    """One step of learning, and one of estimating: boxes in pixels of the input."""

    network: DetectorNetwork

    def __init__(self, network: DetectorNetwork, config: DetectionConfig, category: str, steps: int) -> None:
        super().__init__(network, config, steps)
        self._box_weight = config.loss.box_weight
        self._category = category
        self._raw = torch.compile(network.raw) if config.compile else network.raw

    def training_step(self, batch: DetectionBatch, _: int) -> Tensor:
        loss = self._loss(*self._raw(self.normalised(batch.pixels)), batch)
        self.log_loss("loss", loss, len(batch.pixels))
        return loss

    def validation_step(self, batch: DetectionBatch, _: int) -> None:
        logits, boxes = self.network.raw(self.normalised(batch.pixels))
        self.log_loss("validation_loss", self._loss(logits, boxes, batch), len(batch.pixels))
        self.estimates += [self._found(*one) for one in zip(boxes.float(), logits.sigmoid().float(), strict=True)]

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
        return score_loss + self._box_weight * box_loss

    def _found(self, boxes: Tensor, scores: Tensor) -> Boxes:
        best = scores.topk(min(_MOST, len(scores))).indices
        best = best[scores[best] >= _LEAST_SCORE]
        bbox_xyxy, kept_scores = boxes[best].cpu().numpy(), scores[best].cpu().numpy()
        kept = suppress(bbox_xyxy, kept_scores, np.zeros(len(best)), MOST_OVERLAP)
        return Boxes(bbox_xyxy[kept], kept_scores[kept], (self._category,) * len(kept))
