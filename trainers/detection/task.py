"""Training a detector: boxes of one category's subjects, in whole images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
from torch import nn

from trainers.batches import PlainBatches, TrainingBatches
from trainers.checkpoint import ModelNetwork, NetworkSpec
from trainers.detection.batches import BoxTargets, DetectionBatch
from trainers.detection.data import read_detection_data
from trainers.detection.image_views import ImageView, ShownImage
from trainers.detection.network import DetectorNetwork
from trainers.detection.steps import DetectionSteps
from trainers.detection.validation import score_boxes, write_worst_images
from trainers.model_card import DetectorCard
from trainers.new_network import start_network
from trainers.parity import spread_inputs
from trainers.task import Notify, Scored, card_origin
from trainers.training_config import DetectionConfig


class DetectionTask:
    """See `trainers.task.Task`. Raises TrainersError or CvatExportError for all that is wrong in the labels."""

    figure_names = ("ap", "ap50")

    def __init__(self, config: DetectionConfig) -> None:
        self._config = config
        self._data = read_detection_data(config)
        self.card = DetectorCard(category=self._data.category, **card_origin(config))
        self.spec = NetworkSpec(config.network, config.backbone, config.network_options)
        size, border = config.input.size, self.card.border
        self._training = ImageView(self._data.split.training, size, border, config.data.cache_bytes)
        self._validation = ImageView(self._data.split.validation, size, border)
        self.notes = self._data.notes
        self.labels_sha256 = self._data.sha256
        self.samples = self._data.split.describe()

    def new_network(self, weights: str | None, notify: Notify) -> ModelNetwork:
        """See `Task`."""
        return start_network(self._config, self.spec, self.card, weights, notify)

    def make_batches(
        self, network: nn.Module, batch_size: int, epoch: Callable[[], int], threads: int
    ) -> tuple[TrainingBatches[ShownImage, DetectionBatch], PlainBatches[ShownImage, DetectionBatch]]:
        """See `Task`."""
        encode = BoxTargets(self._config.loss.smallest_px).encode
        weights = np.array([image.weight for image in self._data.split.training])
        draw = partial(self._training.changed, settings=self._config.augmentation)
        training = TrainingBatches(draw, encode, weights, batch_size, self._config.seed, epoch, threads)
        return training, PlainBatches(self._validation.plain, encode, len(self._validation), batch_size, threads)

    def make_steps(self, network: nn.Module, steps: int) -> DetectionSteps:
        """See `Task`."""
        assert isinstance(network, DetectorNetwork)
        return DetectionSteps(network, self._config, self._data.category, steps)

    def score(self, steps: pl.LightningModule) -> Scored:
        """See `Task`. ap, ap50: box AP as COCO has it."""
        assert isinstance(steps, DetectionSteps)
        found = steps.take_estimates()
        precision = score_boxes(self._validation, found)
        figures = {"ap": precision["AP"], "ap50": precision["AP50"]}
        return Scored(figures, partial(write_worst_images, view=self._validation, found=found))

    def parity_pixels(self) -> npt.NDArray[np.uint8]:
        """See `Task`."""
        return spread_inputs(self._validation.plain, len(self._validation))
