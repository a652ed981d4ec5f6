"""Trainings by Ultralytics' package (AGPL-3.0) on our labels: the only place that lets it train.

It reports to nobody, loads nothing from a network, and writes into the run's folder only.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch

from trainers.detection.data import DetectionData, read_detection_data
from trainers.detection.yolo_folder import write_yolo_folder
from trainers.errors import TrainersError
from trainers.run_files import Trained, UltralyticsRunFiles, begin_run, check_same_labels, write_history
from trainers.runtimes.formats import ModelFormat, identify
from trainers.runtimes.ultralytics_file import import_ultralytics, read_ultralytics, silenced_ultralytics
from trainers.task import Notify
from trainers.training_config import UltralyticsConfig
from trainers.training_device import TrainingDevice, uses_bf16
from trainers.ultralytics_networks import read_architecture

LICENCE = (
    "this network is trained by Ultralytics, which is under AGPL-3.0; so are, as its makers see it, the models that it "
    "trains (https://ultralytics.com/license); network: lite-detector is not"
)
_FIGURES = {"ap": "metrics/mAP50-95(B)", "ap50": "metrics/mAP50(B)"}
_FINISHED = -1  # the epoch that Ultralytics writes into a checkpoint without an optimizer
_MOST_WORKERS = 8
_FAILURES = (RuntimeError, ValueError, TypeError, AssertionError, FileNotFoundError, SyntaxError)  # what it raises


def train_by_ultralytics(config: UltralyticsConfig, folder: Path, notify: Notify) -> Trained:
    """Train anew in `folder`. Raises TrainersError."""
    run = UltralyticsRunFiles(folder)
    notify(LICENCE)
    device = TrainingDevice.named(config.device)
    weights = _read_weights(config, notify)
    data = read_detection_data(config)
    begin_run(run, config, None, {"labels_sha256": data.sha256, "samples": data.split.describe()})
    return _Job(config, run, data, device, notify).fit(weights)


def resume_by_ultralytics(
    config: UltralyticsConfig, record: Mapping[str, Any], folder: Path, notify: Notify
) -> Trained:
    """Go on with the training in `folder` after its last whole epoch, in Ultralytics' way. Raises TrainersError."""
    run = UltralyticsRunFiles(folder)
    data = read_detection_data(config)
    check_same_labels(run, record["labels_sha256"], data.sha256)
    job = _Job(config, run, data, TrainingDevice.named(config.device), notify)
    if not run.last.exists():
        return job.fit(_read_weights(config, notify))
    if not job.rows:
        raise TrainersError(f"{run.metrics}: is missing, and with it how the training went; begin it anew")
    _, checkpoint = read_ultralytics(identify(run.last))
    epoch = int(checkpoint["epoch"])  # counted from 0
    if epoch == _FINISHED:
        return _result(run, job.rows)
    if epoch + 1 < config.epochs:
        return job.go_on(epoch + 1)
    _finish(run)  # it was stopped between its last epoch and its end
    return _result(run, job.rows)


class _Job:
    """One training: what does not change while it runs, and its history.

    rows: of metrics.csv, an epoch each.
    """

    def __init__(
        self,
        config: UltralyticsConfig,
        run: UltralyticsRunFiles,
        data: DetectionData,
        device: TrainingDevice,
        notify: Notify,
    ) -> None:
        self.config, self._run, self._data, self._device, self._notify = config, run, data, device, notify
        self.rows = _read_rows(run)
        self._begun = 0.0
        for note in data.notes:
            notify(note)

    def fit(self, weights: Any) -> Trained:
        """From the first epoch. weights: a network to start from, or None."""
        self.rows = []
        return self._train({}, weights)

    def go_on(self, epochs: int) -> Trained:
        """After so many whole epochs."""
        self.rows = [row for row in self.rows if row["epoch"] <= epochs]
        return self._train({"resume": str(self._run.last)}, None)

    def _train(self, extra: Mapping[str, Any], weights: Any) -> Trained:
        shutil.rmtree(self._run.working, ignore_errors=True)  # of a run that was killed
        try:
            write_yolo_folder(self._run.working, self._data.split, self._notify)
            with _alone():
                self._run_trainer(extra, weights)
        except KeyboardInterrupt as error:
            advice = f"go on by annotator train --resume {self._run.folder}"
            raise TrainersError(f"{self._run.folder}: interrupted; {advice}") from error
        except _FAILURES as error:
            raise TrainersError(f"{self._run.folder}: Ultralytics stopped: {error}") from error
        finally:
            shutil.rmtree(self._run.working, ignore_errors=True)
        _finish(self._run)
        return _result(self._run, self.rows)

    def _run_trainer(self, extra: Mapping[str, Any], weights: Any) -> None:
        trainer = _trainer_class()({**self._arguments(), **extra}, self._data.category)
        trainer.last, trainer.best, trainer.wdir = self._run.last, self._run.best, self._run.folder
        trainer.add_callback("on_train_epoch_start", self._begin_epoch)
        trainer.add_callback("on_model_save", self._end_epoch)
        if "resume" not in extra:
            trainer.model = trainer.get_model(cfg=read_architecture(self.config.network), weights=weights)
            if weights is not None:
                self._say_loaded(weights, trainer.model)
        trainer.train()

    def _say_loaded(self, weights: Any, network: Any) -> None:
        """How much of the weights fits. Raises TrainersError where nothing does."""
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        same = sum(shapes.get(name) == value.shape for name, value in weights.state_dict().items())
        if not same:
            raise TrainersError(f"weights: {self.config.weights}: nothing in it fits {self.config.network}")
        self._notify(f"{self.config.weights}: {same} of {len(shapes)} tensors loaded")

    def _arguments(self) -> dict[str, Any]:
        """The config in Ultralytics' words."""
        config, device, changes = self.config, self._device, self.config.augmentation
        is_cpu = device.accelerator == "cpu"
        rate = config.optimizer.learning_rate
        return {
            "task": "detect",
            "model": f"{config.network.removesuffix('.yaml')}.yaml",
            "data": str(self._run.working.absolute()),
            "save_dir": str(self._run.working.absolute()),
            "epochs": config.epochs,
            "batch": config.batch_size,
            "imgsz": config.input.width,
            "patience": config.patience or 0,
            "seed": config.seed,
            "device": "cpu" if is_cpu else str(device.devices[0] if isinstance(device.devices, list) else 0),
            "workers": 0 if is_cpu else min(_MOST_WORKERS, max(1, (os.cpu_count() or 2) - 1)),
            "amp": "bf16" if not is_cpu and uses_bf16("auto", device) else False,  # True would load a model to test it
            "fliplr": changes.flip_probability,
            "scale": changes.scale,
            "translate": changes.shift,
            "mosaic": changes.mosaic_probability,
            "plots": False,
            "pretrained": False,
            **({} if rate is None else {"optimizer": "AdamW", "lr0": rate}),
        }

    def _begin_epoch(self, _: Any) -> None:
        self._begun = time.perf_counter()

    def _end_epoch(self, trainer: Any) -> None:
        """Called when the epoch's checkpoint is written: a row of metrics.csv has one that can be gone on from."""
        losses = trainer.label_loss_items(trainer.tloss, prefix="train")
        row = {
            "epoch": trainer.epoch + 1,
            **{name: float(trainer.metrics[key]) for name, key in _FIGURES.items()},
            "loss": sum(losses.values()),
            "validation_loss": sum(value for key, value in trainer.metrics.items() if key.startswith("val/")),
            "learning_rate": trainer.optimizer.param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - self._begun, 2),
        }
        self.rows.append(row)
        write_history(self._run, self.rows, tuple(_FIGURES))
        figures = ", ".join(f"{name} {row[name]:.4f}" for name in ("loss", "validation_loss", *_FIGURES))
        self._notify(f"epoch {row['epoch']} of {self.config.epochs}: {figures}")


def _trainer_class() -> Any:
    """Ultralytics' trainer of detectors, reading our folder where it would look for a file and a font."""
    with silenced_ultralytics():
        from ultralytics.models.yolo.detect import DetectionTrainer

    class FolderTrainer(DetectionTrainer):
        def __init__(self, overrides: dict[str, Any], category: str) -> None:
            self._category = category
            super().__init__(overrides=overrides)

        def get_dataset(self) -> dict[str, Any]:
            folder = Path(self.args.data)
            parts = {part: str(folder / "images" / part) for part in ("train", "val")}
            return {"path": folder, **parts, "names": {0: self._category}, "nc": 1, "channels": 3}

        def final_eval(self) -> None:
            """Ultralytics' would validate the best model again."""

    return FolderTrainer


def _read_weights(config: UltralyticsConfig, notify: Notify) -> Any:
    """The network to start from, read without running what its pickle says; None where there is none."""
    import_ultralytics()
    if config.weights is None:
        notify(f"{config.network}: no weights are given, so it learns from nothing")
        return None
    path = Path(config.weights)
    if not path.is_file():
        raise TrainersError(
            f"weights: {path}: no such file; nothing is downloaded, so get it from Ultralytics yourself"
        )
    model = identify(path)
    if model.format is not ModelFormat.PICKLE:
        raise TrainersError(f"weights: {path}: got {model.format}, expected an Ultralytics .pt for {config.network}")
    network, _ = read_ultralytics(model)
    return network


def _finish(run: UltralyticsRunFiles) -> None:
    """Leave in the checkpoints what a model is used with, and nothing to go on from."""
    with _alone():
        from ultralytics.utils.torch_utils import strip_optimizer

        for path in (run.best, run.last):
            strip_optimizer(path)


def _result(run: UltralyticsRunFiles, rows: list[dict[str, float]]) -> Trained:
    """Ultralytics keeps the epoch with the best AP, of equals the last."""
    kept = max(rows, key=lambda row: (row["ap"], row["epoch"]))
    return Trained(run.best, int(kept["epoch"]), {name: kept[name] for name in _FIGURES}, int(rows[-1]["epoch"]))


def _read_rows(run: UltralyticsRunFiles) -> list[dict[str, float]]:
    if not run.metrics.is_file():
        return []
    try:
        with run.metrics.open(encoding="utf-8", newline="") as stream:
            rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
        return [{**row, "epoch": int(row["epoch"])} for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TrainersError(f"{run.metrics}: cannot be read: {error}; begin the training anew") from error


@contextmanager
def _alone() -> Iterator[None]:
    """Ultralytics without reports to its makers or to trackers it finds, and what it sets for the process undone."""
    with silenced_ultralytics():
        from ultralytics.utils import callbacks

    report, callbacks.add_integration_callbacks = callbacks.add_integration_callbacks, lambda _: None
    threads = torch.get_num_threads()
    try:
        with silenced_ultralytics(), redirect_stdout(sys.stderr):
            yield
    finally:
        callbacks.add_integration_callbacks = report
        torch.set_num_threads(threads)
