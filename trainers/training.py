"""Labels and a config -> a trained pose model, in a folder from which it can be resumed and run again."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from cvat_export.atomic import atomic_writer
from cvat_export.dataset import Dataset
from cvat_export.skeleton import Skeleton, read_skeleton
from trainers.augmentation import reach
from trainers.averaging import WarmingAverage
from trainers.batches import PlainBatches, Targets, TrainingBatches
from trainers.checkpoint import NetworkSpec
from trainers.codecs import Size
from trainers.crop_store import CropStore
from trainers.errors import TrainersError
from trainers.initial_weights import load_initial_weights
from trainers.label_sources import LabelledData, LabelSource, Sample, read_labels
from trainers.memory import keep_freed_memory
from trainers.model_card import HeatmapHead, InputCard, ModelCard
from trainers.networks import backbone_name, build_network
from trainers.networks.pose_network import PoseNetwork
from trainers.pose_task import PoseTask
from trainers.run_files import RunFiles, begin_run, check_same_labels, read_run
from trainers.samples import SampleView, TeacherJoints
from trainers.splits import split_by_group
from trainers.teaching import match_teacher
from trainers.trackers import make_trackers
from trainers.training_callbacks import History, Progress, Validation, kept_row
from trainers.training_config import DataConfig, SourceConfig, TrainingConfig

_PARITY_CROPS = 64
_LEAST_BATCH = 2
Notify = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Samples for learning and for validation, of one skeleton. groups: of the validation samples."""

    skeleton: Skeleton
    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    notes: tuple[str, ...]
    sha256: dict[str, str]


@dataclass(frozen=True)
class Trained:
    """What a training gave. best: the model file; epoch, pck, oks: of its validation."""

    best: Path
    epoch: int
    pck: float
    oks: float
    epochs: int


def read_training_data(config: TrainingConfig) -> TrainingData:
    """The labels that a config names, split. Raises TrainersError or CvatExportError for all that is wrong in them."""
    data = config.data
    skeleton = read_skeleton(data.skeleton) if data.skeleton else None
    found = _read(data.train, skeleton, data)
    if not data.validation:
        groups = [sample.group for sample in found.samples]
        kept = split_by_group(groups, data.split.validation, config.seed, data.split.folds, data.split.fold)
        training = tuple(sample for sample, is_kept in zip(found.samples, kept, strict=True) if not is_kept)
        validation = tuple(sample for sample, is_kept in zip(found.samples, kept, strict=True) if is_kept)
        return TrainingData(found.skeleton, training, validation, found.notes, dict(found.sha256))
    others = _read(data.validation, found.skeleton, data)
    _check_apart(found.samples, others.samples)
    return TrainingData(
        found.skeleton,
        found.samples,
        others.samples,
        (*found.notes, *others.notes),
        {**found.sha256, **others.sha256},
    )


def train(
    config: TrainingConfig, folder: Path, teacher: Dataset | None = None, notify: Notify = lambda _: None
) -> Trained:
    """Train anew in `folder`. notify: is told what a person may want to know. Raises TrainersError."""
    data = read_training_data(config)
    job = _Job(config, RunFiles(folder), data, teacher, notify)
    begin_run(job.run, config, {"labels_sha256": data.sha256, "samples": _split_record(data)})
    return job.fit()


def resume(folder: Path, teacher: Dataset | None = None, notify: Notify = lambda _: None) -> Trained:
    """Go on with the training in `folder`: it ends with the weights that it would have had without a break."""
    run = RunFiles(folder)
    config, record = read_run(run)
    data = read_training_data(config)
    check_same_labels(run, record["labels_sha256"], data.sha256)
    return _Job(config, run, data, teacher, notify).fit()


class _Job:
    """One training: its parts, made of its config."""

    def __init__(
        self, config: TrainingConfig, run: RunFiles, data: TrainingData, teacher: Dataset | None, notify: Notify
    ) -> None:
        self.config, self.run, self._data, self._notify = config, run, data, notify
        self._accelerator = _accelerator(config.device)
        joint_weights = _joint_weights(config, data.skeleton)
        begun = config.model_copy(update={"weights": None}) if run.last.exists() else config
        self.network, self.spec, map_size = make_network(begun, data.skeleton, notify)
        self.card = make_card(config, data.skeleton)
        self.targets = Targets(
            self.card.input, map_size, config.target.sigma, config.target.occluded == "negative", joint_weights
        )
        self.training_view, self.validation_view = make_views(config, data, teacher)
        for note in data.notes:
            notify(note)

    def fit(self) -> Trained:
        """Run to the end, in smaller batches where memory does not hold the wanted ones."""
        keep_freed_memory()
        cv2.setNumThreads(1)  # crops are drawn by threads of our own
        batch_size = self.config.batch_size
        while True:
            try:
                history = self._fit(batch_size)
                break
            except RuntimeError as error:  # torch.OutOfMemoryError is one; so is the CPU's, by its words
                if not _is_out_of_memory(error) or batch_size // 2 < _LEAST_BATCH:
                    raise
                batch_size //= 2
                self._notify(f"out of memory: going on with batches of {batch_size}, as many of them a step as needed")
                torch.cuda.empty_cache()
        best = kept_row(history, self.config.report)
        return Trained(self.run.best, int(best["epoch"]), best["pck"], best["oks"], len(history))

    def _fit(self, batch_size: int) -> History:
        config = self.config
        accelerator = self._accelerator
        threads = 1 if accelerator == "cpu" else max(1, (os.cpu_count() or 2) - 1)
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
        together = max(1, config.batch_size // batch_size)
        task = PoseTask(self.network, config, self.card, config.epochs * -(-len(training) // together))
        validation = Validation(self.run, self.validation_view, self.spec, config.report)
        batches = PlainBatches(self.validation_view, self.targets, batch_size, threads)
        self._write_parity()
        with _quiet():
            trainer = _trainer(config, self.run, accelerator, together, _callbacks(config, self.run, validation))
            try:
                trainer.fit(task, training, batches, ckpt_path=str(self.run.last) if self.run.last.exists() else None)
            except SystemExit as error:  # Lightning's answer to Ctrl-C
                advice = f"go on by annotator train --resume {self.run.folder}"
                raise TrainersError(f"{self.run.folder}: interrupted; {advice}") from error
        return validation.history

    def _write_parity(self) -> None:
        """Real crops, on which exports of the model are compared with it."""
        view = self.validation_view
        chosen = np.linspace(0, len(view) - 1, min(_PARITY_CROPS, len(view))).astype(int)
        with atomic_writer(self.run.parity) as stream:
            np.savez_compressed(stream, pixels=np.stack([view.plain(int(index)).pixels for index in chosen]))


def make_views(
    config: TrainingConfig, data: TrainingData, teacher: Dataset | None = None
) -> tuple[SampleView, SampleView]:
    """Samples to learn from and samples to validate on, as the config cuts them out."""
    size, budget = config.input.size, int(config.data.cache_gb * 2**30)
    store = CropStore(data.training, size, config.crop, reach(config.augmentation, size), budget)
    joints: TeacherJoints | None = match_teacher(data.training, data.skeleton, teacher) if teacher else None
    exact = CropStore(data.validation, size, config.crop, budget_bytes=budget // 4)
    return (
        SampleView(store, data.skeleton, size, config.crop, joints),
        SampleView(exact, data.skeleton, size, config.crop),
    )


def make_card(config: TrainingConfig, skeleton: Skeleton) -> ModelCard:
    """What a model trained by this config says of itself."""
    name = f"{config.network}-{config.backbone}" if config.backbone else config.network
    head = HeatmapHead(
        kind="heatmap",
        alignment="half-pixel",
        sigma=config.target.sigma,
        activation="softmax" if config.loss.kind == "cross-entropy" else "none",
        occluded_is_negative=config.target.occluded == "negative",
        visibility_output="visibility" if config.target.occluded == "head" else None,
    )
    return ModelCard(
        name=name,
        skeleton=skeleton,
        input=InputCard(
            width=config.input.width, height=config.input.height, mean=config.input.mean, std=config.input.std
        ),
        crop=config.crop,
        head=head,
        training_data=", ".join(Path(source.path).name for source in config.data.train),
    )


def make_network(
    config: TrainingConfig, skeleton: Skeleton, notify: Notify = lambda _: None
) -> tuple[PoseNetwork, NetworkSpec, Size]:
    """The network with its first weights, how to build it again, and the (width, height) of its maps."""
    spec = NetworkSpec(config.network, config.backbone, config.network_options, config.target.occluded == "head")
    torch.manual_seed(config.seed)
    joints = len(skeleton.joints)
    channels = 2 * joints if spec.predicts_visibility else joints
    body = build_network(spec.name, channels, config.input.size, spec.backbone, spec.options)
    network = PoseNetwork(body, joints, spec.predicts_visibility)
    if config.weights is not None:
        name = backbone_name(spec.name, spec.backbone)
        notify(str(load_initial_weights(network, config.weights, skeleton, name)))
    with torch.no_grad():
        maps, _ = network.eval().stages(torch.zeros(1, 3, config.input.height, config.input.width))
    return network.train(), spec, (maps.shape[-1], maps.shape[-2])


def _callbacks(config: TrainingConfig, run: RunFiles, validation: Validation) -> list[Callback]:
    callbacks: list[Callback] = [validation]
    if config.ema:
        callbacks.append(WarmingAverage(config.ema))
    if config.patience is not None:
        callbacks.append(EarlyStopping("pck", patience=config.patience, mode="max", check_on_train_epoch_end=True))
    callbacks.append(Progress())
    state = ModelCheckpoint(run.folder, "last", save_top_k=1, every_n_epochs=1, enable_version_counter=False)
    return [*callbacks, state]


def _trainer(
    config: TrainingConfig, run: RunFiles, accelerator: str, together: int, callbacks: Sequence[Callback]
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        precision="bf16-mixed" if _uses_bf16(config.precision, accelerator) else "32-true",
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


def _read(sources: Sequence[SourceConfig], skeleton: Skeleton | None, data: DataConfig) -> LabelledData:
    return read_labels(list(map(_source, sources)), skeleton, data.category, data.leave_out_faulty)


def _source(source: SourceConfig) -> LabelSource:
    images = Path(source.images) if source.images else None
    return LabelSource(Path(source.path), images, source.weight, source.group)


def _check_apart(training: Sequence[Sample], validation: Sequence[Sample]) -> None:
    """Raises TrainersError where an image stands on both sides."""
    both = {sample.image for sample in training} & {sample.image for sample in validation}
    if both:
        first = min(map(str, both))
        raise TrainersError(
            f"{first}: is in both training and validation, as are {len(both)} images in all; a model is not validated "
            "on what it has learnt: leave validation out, and groups are split, or take them out of one file"
        )


def _split_record(data: TrainingData) -> dict[str, Any]:
    return {
        "training": len(data.training),
        "validation": len(data.validation),
        "validation_images": sorted({sample.file_name for sample in data.validation}),
    }


def _joint_weights(config: TrainingConfig, skeleton: Skeleton) -> np.ndarray[Any, np.dtype[np.float32]]:
    weights = np.ones(len(skeleton.joints), np.float32)
    for name, weight in config.loss.joint_weights.items():
        joint = skeleton.find(name)
        if joint is None:
            raise TrainersError(
                f"loss.joint_weights: got {name!r}, which is no joint of skeleton {skeleton.name!r}, expected some of "
                f"{', '.join(skeleton.joints)}"
            )
        if not 0 <= weight < float("inf"):
            raise TrainersError(f"loss.joint_weights: {name}: got {weight}, expected 0 or more")
        weights[joint] = weight
    return weights


def _accelerator(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise TrainersError(
            f"device: got {device}, but torch {torch.__version__} sees no CUDA device; write cpu or auto"
        )
    return device.partition(":")[0]


def _uses_bf16(precision: str, accelerator: str) -> bool:
    """Whether "auto" is bf16: on GPUs that have it and CPUs with AMX. AVX-512's bf16 slows depthwise convolutions."""
    if precision != "auto":
        return precision == "bf16"
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


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
