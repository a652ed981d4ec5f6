"""Training a top-down pose model: joints of labelled subjects, in crops around their boxes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
from torch import nn

from cvat_export.dataset import Dataset
from trainers.batches import PlainBatches, TrainingBatches
from trainers.checkpoint import ModelNetwork
from trainers.model_card import ModelCard
from trainers.networks.pose_network import PoseNetwork
from trainers.new_network import make_card, make_targets, map_size, network_spec, read_joint_weights, start_network
from trainers.parity import spread_inputs
from trainers.pose_steps import PoseSteps, joined
from trainers.samples import Shown
from trainers.targets import Batch, Targets
from trainers.task import Notify, Scored
from trainers.training_config import PoseConfig
from trainers.training_data import make_views, read_training_data
from trainers.validation import score_estimates
from trainers.worst_samples import write_worst


class PoseTask:
    """See `trainers.task.Task`. Raises TrainersError or CvatExportError for all that is wrong in the labels."""

    figure_names = ("pck", "oks")

    def __init__(self, config: PoseConfig, teacher: Dataset | None = None) -> None:
        self._config = config
        self._data = read_training_data(config)
        self._training, self._validation = make_views(config, self._data, teacher)
        self.card: ModelCard = make_card(config, self._data.skeleton)
        self.spec = network_spec(config)
        self._joint_weights = read_joint_weights(config, self._data.skeleton)
        self.notes = self._data.notes
        self.labels_sha256 = self._data.sha256
        self.samples = self._data.split.describe()

    def new_network(self, weights: str | None, notify: Notify) -> ModelNetwork:
        """See `Task`."""
        return start_network(self._config, self.spec, self.card, weights, notify)

    def make_batches(
        self, network: nn.Module, batch_size: int, epoch: Callable[[], int], threads: int
    ) -> tuple[TrainingBatches[Shown, Batch], PlainBatches[Shown, Batch]]:
        """See `Task`."""
        targets = self._targets(network)
        weights = np.array([sample.weight for sample in self._data.split.training])
        draw = partial(self._training.changed, settings=self._config.augmentation)
        training = TrainingBatches(draw, targets.encode, weights, batch_size, self._config.seed, epoch, threads)
        count = len(self._validation)
        return training, PlainBatches(self._validation.plain, targets.encode, count, batch_size, threads)

    def make_steps(self, network: nn.Module, steps: int) -> PoseSteps:
        """See `Task`."""
        assert isinstance(network, PoseNetwork)
        return PoseSteps(network, self._config, self.card, self._targets(network), steps)

    def _targets(self, network: nn.Module) -> Targets:
        assert isinstance(network, PoseNetwork)
        return make_targets(self._config, map_size(network, self._config.input.size), self._joint_weights)

    def score(self, steps: pl.LightningModule) -> Scored:
        """See `Task`. pck: PCK@0.1 of the box's longer side; oks: the mean over subjects."""
        assert isinstance(steps, PoseSteps)
        scores = score_estimates(self._validation, joined(steps.take_estimates()))
        figures = {"pck": scores.pck, "oks": scores.oks}
        return Scored(figures, partial(write_worst, view=self._validation, scores=scores))

    def parity_pixels(self) -> npt.NDArray[np.uint8]:
        """See `Task`."""
        return spread_inputs(self._validation.plain, len(self._validation))
