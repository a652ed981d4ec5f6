"""Labels and a config -> a trained model, in a folder from which it can be resumed and run again."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from cvat_export.atomic import atomic_writer
from cvat_export.dataset import Dataset
from trainers.averaging import WarmingAverage
from trainers.detection.task import DetectionTask
from trainers.errors import TrainersError
from trainers.memory import keep_freed_memory
from trainers.pose_task import PoseTask
from trainers.run_files import RunFiles, Trained, begin_run, check_same_labels, read_run
from trainers.task import Notify, Task
from trainers.trackers import make_trackers
from trainers.training_callbacks import History, Progress, Validation, kept_row
from trainers.training_config import DetectionConfig, PoseConfig, RunConfig, TrainingConfig, UltralyticsConfig
from trainers.training_device import TrainingDevice, uses_bf16

_LEAST_BATCH = 2


def train(config: RunConfig, folder: Path, teacher: Dataset | None = None, notify: Notify = lambda _: None) -> Trained:
    """Train anew in `folder`. notify: is told what a person may want to know. Raises TrainersError."""
    if isinstance(config, UltralyticsConfig):
        from trainers.ultralytics_training import train_by_ultralytics

        return train_by_ultralytics(config, folder, notify)
    assert isinstance(config, TrainingConfig)
    task, run = _open_task(config, teacher), RunFiles(folder)
    job = _Job(config, run, task, notify)
    begin_run(run, config, task.card, {"labels_sha256": task.labels_sha256, "samples": task.samples})
    return job.fit()


def resume(folder: Path, teacher: Dataset | None = None, notify: Notify = lambda _: None) -> Trained:
    """Go on with the training in `folder`: it ends with the weights that it would have had without a break."""
    run = RunFiles(folder)
    config, record = read_run(run)
    if isinstance(config, UltralyticsConfig):
        from trainers.ultralytics_training import resume_by_ultralytics

        return resume_by_ultralytics(config, record, folder, notify)
    assert isinstance(config, TrainingConfig)
    task = _open_task(config, teacher)
    check_same_labels(run, record["labels_sha256"], task.labels_sha256)
    return _Job(config, run, task, notify).fit()


def _open_task(config: TrainingConfig, teacher: Dataset | None) -> Task:
    """Read the labels. Raises TrainersError or CvatExportError for all that is wrong in them."""
    if isinstance(config, DetectionConfig):
        return DetectionTask(config)
    assert isinstance(config, PoseConfig)
    return PoseTask(config, teacher)


class _Job:
    """One training: what does not change while it runs."""

    def __init__(self, config: TrainingConfig, run: RunFiles, task: Task, notify: Notify) -> None:
        self.config, self.run, self.task, self._notify = config, run, task, notify
        self._device = TrainingDevice.named(config.device)
        self._weights = None if run.last.exists() else config.weights
        self._network = task.new_network(self._weights, notify)
        for note in task.notes:
            notify(note)

    def fit(self) -> Trained:
        """Run to the end, in smaller batches where memory does not hold the wanted ones."""
        keep_freed_memory()
        cv2.setNumThreads(1)  # samples are drawn by threads of our own
        batch_size = self.config.batch_size
        while (history := self._fit_or_run_out(batch_size)) is None:
            batch_size //= 2
            if batch_size < _LEAST_BATCH:
                raise TrainersError(
                    f"{self.run.folder}: out of memory with batches of {batch_size * 2}; take a smaller input or "
                    "network"
                )
            self._notify(f"out of memory: going on with batches of {batch_size}, as many of them a step as needed")
            self._network = self.task.new_network(self._weights, lambda _: None)  # the try has moved its weights
            torch.cuda.empty_cache()
        names = self.task.figure_names
        kept = kept_row(history, self.config.report, names)
        return Trained(self.run.best, int(kept["epoch"]), {name: kept[name] for name in names}, len(history))

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
        training, validation = self.task.make_batches(self._network, batch_size, lambda: steps.current_epoch, threads)
        together = max(1, config.batch_size // batch_size)
        steps = self.task.make_steps(self._network, config.epochs * -(-len(training) // together))
        self._write_parity()
        with _quiet():
            scoring = Validation(self.run, self.task, config.report)
            callbacks = _callbacks(self.task, config, self.run, scoring)
            trainer = _trainer(config, self.run, self._device, together, callbacks)
            try:
                trainer.fit(
                    steps, training, validation, ckpt_path=str(self.run.last) if self.run.last.exists() else None
                )
            except SystemExit as error:  # Lightning's answer to Ctrl-C
                advice = f"go on by annotator train --resume {self.run.folder}"
                raise TrainersError(f"{self.run.folder}: interrupted; {advice}") from error
        return scoring.history

    def _write_parity(self) -> None:
        """Real inputs, on which exports of the model are compared with it."""
        with atomic_writer(self.run.parity) as stream:
            np.savez_compressed(stream, pixels=self.task.parity_pixels())


def _callbacks(task: Task, config: TrainingConfig, run: RunFiles, scoring: Validation) -> list[Callback]:
    callbacks: list[Callback] = [scoring]
    if config.ema:
        callbacks.append(WarmingAverage(config.ema))
    if config.patience is not None:
        figure = task.figure_names[0]
        callbacks.append(EarlyStopping(figure, patience=config.patience, mode="max", check_on_train_epoch_end=True))
    state = ModelCheckpoint(run.folder, "last", save_top_k=1, every_n_epochs=1, enable_version_counter=False)
    return [*callbacks, Progress(task.figure_names), scoring.times, state]


def _trainer(
    config: TrainingConfig, run: RunFiles, device: TrainingDevice, together: int, callbacks: Sequence[Callback]
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=device.accelerator,
        devices=device.devices,
        precision="bf16-mixed" if uses_bf16(config.precision, device) else "32-true",
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
