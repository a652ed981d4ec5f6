"""Labels and a config -> a trained pose model, in a folder from which it can be resumed and run again."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from cvat_export.atomic import atomic_writer
from cvat_export.dataset import Dataset
from trainers.averaging import WarmingAverage
from trainers.batches import PlainBatches, TrainingBatches
from trainers.errors import TrainersError
from trainers.memory import keep_freed_memory
from trainers.new_network import Notify, make_card, make_network, make_targets
from trainers.pose_task import PoseTask
from trainers.run_files import RunFiles, begin_run, check_same_labels, read_run
from trainers.trackers import make_trackers
from trainers.training_callbacks import History, Progress, Validation, kept_row
from trainers.training_config import TrainingConfig
from trainers.training_data import TrainingData, describe_split, make_views, read_training_data

_PARITY_CROPS = 64
_LEAST_BATCH = 2


@dataclass(frozen=True)
class Trained:
    """What a training gave. best: the model file; epoch, pck, oks: of its validation."""

    best: Path
    epoch: int
    pck: float
    oks: float
    epochs: int


def train(
    config: TrainingConfig, folder: Path, teacher: Dataset | None = None, notify: Notify = lambda _: None
) -> Trained:
    """Train anew in `folder`. notify: is told what a person may want to know. Raises TrainersError."""
    data = read_training_data(config)
    job = _Job(config, RunFiles(folder), data, teacher, notify)
    begin_run(job.run, config, job.card, {"labels_sha256": data.sha256, "samples": describe_split(data)})
    return job.fit()


def resume(folder: Path, teacher: Dataset | None = None, notify: Notify = lambda _: None) -> Trained:
    """Go on with the training in `folder`: it ends with the weights that it would have had without a break."""
    run = RunFiles(folder)
    config, record = read_run(run)
    data = read_training_data(config)
    check_same_labels(run, record["labels_sha256"], data.sha256)
    return _Job(config, run, data, teacher, notify).fit()


class _Job:
    """One training: what does not change while it runs."""

    def __init__(
        self, config: TrainingConfig, run: RunFiles, data: TrainingData, teacher: Dataset | None, notify: Notify
    ) -> None:
        self.config, self.run, self._data, self._notify = config, run, data, notify
        self._device = _Device.named(config.device)
        self._begun = config.model_copy(update={"weights": None}) if run.last.exists() else config
        self._network, self.spec, map_size = make_network(self._begun, data.skeleton, notify)
        self.card = make_card(config, data.skeleton)
        self.targets = make_targets(config, self.card, map_size)
        self.training_view, self.validation_view = make_views(config, data, teacher)
        for note in data.notes:
            notify(note)

    def fit(self) -> Trained:
        """Run to the end, in smaller batches where memory does not hold the wanted ones."""
        keep_freed_memory()
        cv2.setNumThreads(1)  # crops are drawn by threads of our own
        batch_size = self.config.batch_size
        while (history := self._fit_or_run_out(batch_size)) is None:
            batch_size //= 2
            if batch_size < _LEAST_BATCH:
                raise TrainersError(
                    f"{self.run.folder}: out of memory with batches of {batch_size * 2}; take a smaller input or "
                    "network"
                )
            self._notify(f"out of memory: going on with batches of {batch_size}, as many of them a step as needed")
            self._network, _, _ = make_network(self._begun, self._data.skeleton)  # the try has moved its weights
            torch.cuda.empty_cache()
        kept = kept_row(history, self.config.report)
        return Trained(self.run.best, int(kept["epoch"]), kept["pck"], kept["oks"], len(history))

    def _fit_or_run_out(self, batch_size: int) -> History | None:
        try:
            return self._fit(batch_size)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; so is the CPU's, by its words
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                return None
            raise

    def _fit(self, batch_size: int) -> History:
        config = self.config
        threads = 1 if self._device.accelerator == "cpu" else max(1, (os.cpu_count() or 2) - 1)
        training = TrainingBatches(
            self.training_view,
            self.targets,
            config.augmentation,
            np.array([sample.weight for sample in self._data.training]),
            batch_size,
            config.seed,
            lambda: task.current_epoch,
            threads,
        )
        validation = PlainBatches(self.validation_view, self.targets, batch_size, threads)
        together = max(1, config.batch_size // batch_size)
        task = PoseTask(self._network, config, self.card, config.epochs * -(-len(training) // together))
        self._write_parity()
        with _quiet():
            scoring = Validation(self.run, self.validation_view, self.spec, config.report)
            trainer = _trainer(config, self.run, self._device, together, _callbacks(config, self.run, scoring))
            try:
                trainer.fit(
                    task, training, validation, ckpt_path=str(self.run.last) if self.run.last.exists() else None
                )
            except SystemExit as error:  # Lightning's answer to Ctrl-C
                advice = f"go on by annotator train --resume {self.run.folder}"
                raise TrainersError(f"{self.run.folder}: interrupted; {advice}") from error
        return scoring.history

    def _write_parity(self) -> None:
        """Real crops, on which exports of the model are compared with it."""
        view = self.validation_view
        chosen = np.linspace(0, len(view) - 1, min(_PARITY_CROPS, len(view))).astype(int)
        with atomic_writer(self.run.parity) as stream:
            np.savez_compressed(stream, pixels=np.stack([view.plain(int(index)).pixels for index in chosen]))


def _callbacks(config: TrainingConfig, run: RunFiles, scoring: Validation) -> list[Callback]:
    callbacks: list[Callback] = [scoring]
    if config.ema:
        callbacks.append(WarmingAverage(config.ema))
    if config.patience is not None:
        callbacks.append(EarlyStopping("pck", patience=config.patience, mode="max", check_on_train_epoch_end=True))
    state = ModelCheckpoint(run.folder, "last", save_top_k=1, every_n_epochs=1, enable_version_counter=False)
    return [*callbacks, Progress(), scoring.times, state]


def _trainer(
    config: TrainingConfig, run: RunFiles, device: _Device, together: int, callbacks: Sequence[Callback]
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=device.accelerator,
        devices=device.devices,
        precision="bf16-mixed" if _uses_bf16(config.precision, device) else "32-true",
        max_epochs=config.epochs,
        accumulate_grad_batches=together,
        gradient_clip_val=config.optimizer.clip_norm or None,
        callbacks=list(callbacks),
        logger=make_trackers(config, run),
        default_root_dir=run.folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )


@dataclass(frozen=True)
class _Device:
    """Where Lightning runs a training. devices: which of that kind, or how many."""

    accelerator: str
    devices: list[int] | int = 1

    @classmethod
    def named(cls, device: str) -> _Device:
        """auto, cpu, cuda or cuda:1. Raises TrainersError for what torch does not see here."""
        kind, _, index = device.partition(":")
        if kind == "auto":
            return cls("cuda" if torch.cuda.is_available() else "cpu")
        if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
            raise TrainersError(f"device: got {device}, expected auto, cpu, cuda, or one GPU of several as cuda:1")
        if kind == "cuda" and not torch.cuda.is_available():
            raise TrainersError(
                f"device: got {device}, but torch {torch.__version__} sees no CUDA device; write cpu or auto"
            )
        return cls(kind, [int(index)] if index and kind == "cuda" else 1)


def _uses_bf16(precision: str, device: _Device) -> bool:
    """Whether "auto" is bf16: on GPUs that have it and CPUs with AMX. AVX-512's bf16 slows depthwise convolutions."""
    if precision != "auto":
        return precision == "bf16"
    if device.accelerator == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice on workers and hardware says nothing to our users."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
