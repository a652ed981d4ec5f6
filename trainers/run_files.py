"""The folder of one training: what is needed to run it again, to go on with it, and to see how it went."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from cvat_export.atomic import write_bytes, write_text
from trainers.errors import TrainersError
from trainers.model_card import Card, dump_card
from trainers.training_config import RunConfig, dump_config, read_config

_PACKAGES = ("cvat-pose-annotator", "torch", "timm", "lightning", "ultralytics", "numpy", "opencv-python")


@dataclass(frozen=True)
class RunFiles:
    """Paths in a run's folder.

    best: the model with the best validation figure, for use. last: the whole state, to go on from.
    """

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def record(self) -> Path:
        return self.folder / "run.json"

    @property
    def card(self) -> Path:
        return self.folder / "card.json"

    @property
    def best(self) -> Path:
        return self.folder / "best.ckpt"

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def parity(self) -> Path:
        """Real validation crops, under the key "pixels", on which exports are compared with the model."""
        return self.folder / "parity.npz"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def curves(self) -> Path:
        return self.folder / "curves.png"

    def worst(self, epoch: int) -> Path:
        """Pictures of the worst validation samples after that epoch, counted from 1."""
        return self.folder / "worst" / f"epoch_{epoch:04d}.jpg"


class UltralyticsRunFiles(RunFiles):
    """Of a training by Ultralytics: checkpoints of its own kind."""

    @property
    def best(self) -> Path:
        return self.folder / "best.pt"

    @property
    def last(self) -> Path:
        return self.folder / "last.pt"

    @property
    def working(self) -> Path:
        """What Ultralytics reads and writes while it trains; gone afterwards."""
        return self.folder / "ultralytics"


@dataclass(frozen=True)
class Trained:
    """What a training gave. best: the model file; epoch, figures: of its validation."""

    best: Path
    epoch: int
    figures: Mapping[str, float]
    epochs: int


def next_run(parent: Path) -> Path:
    """The first folder of parent/1, parent/2, … that follows all that are there."""
    taken = [int(path.name) for path in parent.glob("*") if path.name.isdecimal()] if parent.is_dir() else []
    return parent / str(max(taken, default=0) + 1)


def begin_run(run: RunFiles, config: RunConfig, card: Card | None, record: Mapping[str, Any]) -> None:
    """Write what decides the run. Raises TrainersError where the folder holds another one.

    card: None for a model that carries none.
    """
    if run.config.exists():
        raise TrainersError(
            f"{run.folder}: holds a training already; go on with it by --resume {run.folder}, or choose another folder"
        )
    run.folder.mkdir(parents=True, exist_ok=True)
    versions = {package: _version(package) for package in _PACKAGES}
    whole = {**record, "versions": versions, "python": platform.python_version(), "machine": platform.machine()}
    write_text(run.record, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    if card is not None:
        write_text(run.card, dump_card(card))
    write_text(run.config, dump_config(config))  # last: a folder with a config is a run


def read_run(run: RunFiles) -> tuple[RunConfig, dict[str, Any]]:
    """The config and record of a run that was begun. Raises TrainersError where there is none."""
    if not run.config.is_file():
        raise TrainersError(f"{run.folder}: no training to go on with: it has no config.yaml")
    try:
        record = json.loads(run.record.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TrainersError(f"{run.record}: cannot be read: {error}; begin the training anew") from error
    return read_config(run.config), record


def check_same_labels(run: RunFiles, recorded: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raises TrainersError where labels are not what they were when the run began."""
    for path, digest in recorded.items():
        if found.get(path) != digest:
            raise TrainersError(
                f"{path}: its labels have changed since {run.folder} began, and a training that goes on with others "
                "would be neither; begin a new one"
            )


def write_history(run: RunFiles, history: Sequence[Mapping[str, float]], figures: Sequence[str]) -> None:
    """metrics.csv, a row an epoch, and curves.png, in which `figures` are the accuracy."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(history[-1]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(run.metrics, stream.getvalue())
    write_bytes(run.curves, _curves(history, figures))


def _curves(history: Sequence[Mapping[str, float]], figures: Sequence[str]) -> bytes:
    """A PNG: losses on the left, accuracy on the right."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    losses, accuracy = figure.subplots(1, 2)
    for axes, names in ((losses, ("loss", "validation_loss")), (accuracy, figures)):
        for name in names:
            axes.plot(epochs, [row[name] for row in history], label=name)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    accuracy.set_ylim(0, 1)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return stream.getvalue()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
