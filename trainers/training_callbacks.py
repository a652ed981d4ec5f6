"""What a training does beside its steps: validate, keep the best, keep the curves, show how far it is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from trainers.checkpoint import Checkpoint, network_weights, write_checkpoint
from trainers.errors import TrainersError
from trainers.run_files import RunFiles, write_history
from trainers.steps import Steps
from trainers.task import Task
from trainers.training_config import ReportConfig

History = list[dict[str, float]]


class Validation(Callback):
    """Scores each epoch's estimates, writes the best model and the curves. history: a row an epoch.

    It must stand before the callback that averages weights: until that one's turn the network holds the average.
    """

    def __init__(self, run: RunFiles, task: Task, report: ReportConfig) -> None:
        self._run = run
        self._task = task
        self._report = report
        self.history: History = []
        self.times = StepTimes()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scored = self._task.score(pl_module)
        epoch = trainer.current_epoch + 1
        for name, value in scored.figures.items():
            pl_module.log(name, value)
        self.history.append({"epoch": epoch, **scored.figures})
        if kept_row(self.history, self._report, self._task.figure_names)["epoch"] == epoch:
            figures = {name: round(value, 4) for name, value in scored.figures.items()}
            origin = {"run": self._run.folder.name, "epoch": epoch, **figures}
            assert isinstance(pl_module, Steps)
            card = self._task.card.model_copy(update={"metrics": figures})
            weights = network_weights(pl_module.network)
            write_checkpoint(self._run.best, Checkpoint(card, self._task.spec, weights, origin))
        every = self._report.pictures_every
        if every and (epoch % every == 0 or epoch == trainer.max_epochs):
            scored.write_worst(self._run.worst(epoch))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Complete the epoch's row: the losses are known only now."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not math.isfinite(metrics["loss"]):
            raise TrainersError(
                f"{self._run.folder}: the loss of epoch {trainer.current_epoch + 1} is {metrics['loss']}: the training "
                "has diverged; begin another with a lower optimizer.learning_rate"
            )
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.history[-1] |= {
            "loss": metrics["loss"],
            "validation_loss": metrics["validation_loss"],
            "learning_rate": rate,
            "seconds": round(self.times.seconds, 2),
            "data_wait": round(self.times.data_wait, 4),
        }
        write_history(self._run, self.history, self._task.figure_names)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [dict(row) for row in state_dict["history"]]


def kept_row(history: History, report: ReportConfig, names: Sequence[str]) -> dict[str, float]:
    """The epoch whose model is kept: by the first figure, of equals by the next, of equals the first."""
    return history[-1] if report.keep == "last" else max(history, key=lambda row: tuple(row[name] for name in names))


class Progress(Callback):
    """One bar over all steps, with the newest figures; on stderr, and silent where that is no terminal."""

    def __init__(self, figure_names: Sequence[str]) -> None:
        self._names = ("loss", "validation_loss", *figure_names)
        self._bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = int(trainer.estimated_stepping_batches) * trainer.accumulate_grad_batches
        done = trainer.current_epoch * int(trainer.num_training_batches)
        self._bar = tqdm(total=total, initial=done, desc="train", unit="step", disable=None)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if self._bar is not None:
            self._bar.set_postfix(self._figures(trainer), refresh=False)
            self._bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Where there is no bar, a line an epoch."""
        if self._bar is not None and self._bar.disable:
            figures = ", ".join(f"{name} {value}" for name, value in self._figures(trainer).items())
            tqdm.write(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {figures}", file=sys.stderr)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._bar is not None:
            self._bar.close()

    def _figures(self, trainer: pl.Trainer) -> dict[str, str]:
        known = trainer.callback_metrics
        return {name: f"{float(known[name]):.4f}" for name in self._names if name in known}


class StepTimes(Callback):
    """How long an epoch's steps took, and how much of it was spent waiting for batches.

    It must stand last: what other callbacks do after a step is no waiting.
    """

    def __init__(self) -> None:
        self._start = self._last = self._waited = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = self._last = time.perf_counter()
        self._waited = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._waited += time.perf_counter() - self._last

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._last = time.perf_counter()

    @property
    def seconds(self) -> float:
        """From the epoch's begin to its last step's end."""
        return self._last - self._start

    @property
    def data_wait(self) -> float:
        """Share of those seconds, 0 to 1."""
        return self._waited / self.seconds if self.seconds > 0 else 0.0
