"""What one kind of model brings to a training; all else is the same for all kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
from torch import nn

from trainers.checkpoint import NetworkSpec
from trainers.model_card import Card, InputCard
from trainers.training_config import TrainingConfig

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Scored:
    """An epoch's validation. figures: by name. write_worst: draws the worst of it into a JPEG at this path."""

    figures: Mapping[str, float]
    write_worst: Callable[[Path], None]


class Batches(Protocol):
    """An epoch's batches, each time it is gone through."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Task(Protocol):
    """Data, network, steps and figures of one training. It holds no state of the training itself."""

    @property
    def figure_names(self) -> tuple[str, ...]:
        """Of what `score` gives; the epoch that is kept has the highest first one."""
        ...

    @property
    def card(self) -> Card:
        """What the model will say of itself."""
        ...

    @property
    def spec(self) -> NetworkSpec:
        """How to build the network again."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person may want to know of the data."""
        ...

    @property
    def labels_sha256(self) -> Mapping[str, str]:
        """Of the label files, by path: a run that goes on must find the same."""
        ...

    @property
    def samples(self) -> Mapping[str, Any]:
        """How the data was split, for the run's record."""
        ...

    def new_network(self, weights: str | None, notify: Notify) -> nn.Module:
        """The network before its first step; weights: a file to start from, see the config."""
        ...

    def make_batches(
        self, network: nn.Module, batch_size: int, epoch: Callable[[], int], threads: int
    ) -> tuple[Batches, Batches]:
        """For learning and for validation. epoch: asks for the number of the epoch that begins."""
        ...

    def make_steps(self, network: nn.Module, steps: int) -> pl.LightningModule:
        """One step of learning, one of estimating, and the optimizer over so many steps."""
        ...

    def score(self, steps: pl.LightningModule) -> Scored:
        """What the estimates are worth that `steps` has gathered in a validation; they are let go."""
        ...

    def parity_pixels(self) -> npt.NDArray[np.uint8]:
        """Real validation inputs (n, height, width, 3), on which exports are compared."""
        ...


def card_origin(config: TrainingConfig) -> dict[str, Any]:
    """What every model's card says of its training: name, input, training_data."""
    size = config.input
    return {
        "name": f"{config.network}-{config.backbone}" if config.backbone else config.network,
        "input": InputCard(width=size.width, height=size.height, mean=size.mean, std=size.std),
        "training_data": ", ".join(Path(source.path).name for source in config.data.train),
    }
