"""Short trainings in memory: the project's crops, changes, losses, networks and schedule, without its run folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cvat_export.skeleton import Skeleton
from trainers.augmentation import reach
from trainers.checkpoint import Checkpoint, network_weights, write_checkpoint
from trainers.crop_store import CropStore
from trainers.label_sources import LabelledData, Sample
from trainers.losses import MAP_LOSSES, weighted_mean
from trainers.networks.pose_network import PoseNetwork
from trainers.new_network import make_card, make_network, make_targets, map_size, network_spec, read_joint_weights
from trainers.optimization import make_optimizer
from trainers.samples import SampleView
from trainers.targets import Targets
from trainers.training_config import PoseConfig

_CACHE_BYTES = 4 << 30


def learning_view(samples: Sequence[Sample], skeleton: Skeleton, config: PoseConfig) -> SampleView:
    """Samples with as much around them as a change can show."""
    size = config.input.size
    store = CropStore(samples, size, config.crop, reach(config.augmentation, size), _CACHE_BYTES)
    return SampleView(store, skeleton, size, config.crop)


def learn(view: SampleView, rows: Sequence[int], config: PoseConfig, steps: int) -> Checkpoint:
    """Train on some samples of a view, from the config's weights; the same for the same arguments."""
    network = make_network(config, view.skeleton)
    network.to(memory_format=torch.channels_last)  # half the time on CPUs
    weights = read_joint_weights(config, view.skeleton)
    targets = make_targets(config, map_size(network, config.input.size), weights)
    parts = make_optimizer(network, config.optimizer, steps)
    network.train()
    for step, batch in enumerate(_batches(rows, config, steps)):
        loss = _loss(network, view, targets, batch, config, step)
        parts["optimizer"].zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.optimizer.clip_norm)
        parts["optimizer"].step()
        parts["lr_scheduler"]["scheduler"].step()
    return Checkpoint(make_card(config, view.skeleton), network_spec(config), network_weights(network))


def write_start(path: Path, labels: LabelledData, config: PoseConfig, steps: int) -> None:
    """The checkpoint that all trainings begin from, unless it is there."""
    if not path.exists():
        view = learning_view(labels.samples, labels.skeleton, config)
        write_checkpoint(path, learn(view, range(len(labels.samples)), config, steps))


def _batches(rows: Sequence[int], config: PoseConfig, steps: int) -> Iterator[list[int]]:
    """All rows in a random order, again and again: few rows come several times in a batch, changed differently."""
    random = np.random.default_rng(config.seed)
    waiting: list[int] = []
    for _ in range(steps):
        while len(waiting) < config.batch_size:
            waiting += random.permutation(np.asarray(rows, np.intp)).tolist()
        yield waiting[: config.batch_size]
        del waiting[: config.batch_size]


def _loss(
    network: PoseNetwork, view: SampleView, targets: Targets, rows: Sequence[int], config: PoseConfig, step: int
) -> Tensor:
    shown = [
        view.changed(row, np.random.default_rng((config.seed, step, place)), config.augmentation)
        for place, row in enumerate(rows)
    ]
    batch = targets.encode(shown, rows)
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.input.mean, config.input.std))
    maps, _ = network.stages((batch.pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std)
    return weighted_mean(MAP_LOSSES[config.loss.kind](maps, targets.maps(batch)), batch.weights)
