"""annotator train: a pose model or a detector from corrected labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annotator.commands.options import json_option

if TYPE_CHECKING:
    from cvat_export.dataset import Dataset
    from trainers.training_config import RunConfig

_FIGURES = {"pck": "PCK@0.1", "oks": "mean OKS", "ap": "box AP", "ap50": "box AP50"}

EPILOG = """\b
Examples:
  annotator train config.yaml --preview preview
  annotator train config.yaml --set network=simple-baseline --set backbone=resnet50
  annotator train --resume runs/1
\b
Writes:
  runs/1/
    best.ckpt        the model with the best validation PCK or box AP: evaluate, export or use it as it is
    last.ckpt        the whole state, from which --resume goes on (Ultralytics' networks: best.pt, last.pt)
    config.yaml      every setting, as it was used
    run.json         hashes of the labels, the split, versions; card.json: the model's card
    metrics.csv, curves.png, tensorboard/
    worst/           the validation samples that the model gets most wrong
\b
A config is as short as

\b
  data:
    train: corrected.zip

\b
docs/training.md lists all keys. A run that was stopped ends with the same weights when it is resumed.
With `task: detection` and a network of Ultralytics, such as yolo11n, Ultralytics trains it (AGPL-3.0)."""


@click.command(epilog=EPILOG)
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a key: optimizer.learning_rate=0.01.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the run. [default: runs/1, runs/2, …]")
@click.option("--resume", "resumed", type=click.Path(path_type=Path, file_okay=False), help="Go on with this run.")
@click.option(
    "--preview",
    type=click.Path(path_type=Path, file_okay=False),
    help="Train nothing: write a page of the crops that the network would learn from, with its targets.",
)
@json_option
def command(
    config: Path | None,
    settings: tuple[str, ...],
    output: Path | None,
    resumed: Path | None,
    preview: Path | None,
    as_json: bool,
) -> int:
    """Train a pose model, or with `task: detection` a detector, on the labels that CONFIG names."""
    if (config is None) == (resumed is None):
        raise click.UsageError("say CONFIG, or --resume RUN to go on with one")
    if resumed is not None and (settings or output or preview):
        raise click.UsageError("--resume goes on as the run began: leave --set, -o and --preview out")
    from trainers.training_config import read_config

    if config is not None and preview is not None:
        click.echo(str(_write_preview(preview, _with_named_weights(read_config(config, settings)))))
        return 0
    from trainers.run_files import RunFiles, next_run, read_run
    from trainers.training import resume, train

    if resumed is not None:
        trained = resume(resumed, _read_teacher(read_run(RunFiles(resumed))[0]), _say)
    else:
        assert config is not None
        wanted = _with_named_weights(read_config(config, settings))
        trained = train(wanted, output or next_run(Path("runs")), _read_teacher(wanted), _say)
    result = {"best": str(trained.best), "epoch": trained.epoch, **trained.figures}
    click.echo(json.dumps(result) if as_json else str(trained.best))
    figures = ", ".join(f"{_FIGURES[name]} {value:.3f}" for name, value in trained.figures.items())
    click.echo(f"best: epoch {trained.epoch} of {trained.epochs}, {figures}", err=True)
    return 0


def _with_named_weights(config: RunConfig) -> RunConfig:
    """`weights: annotator-pose` is the checkpoint that comes with the install, unless there is a file of that name."""
    from annotator.named_models import CHECKPOINTS

    if config.weights is None or Path(config.weights).exists() or Path(config.weights).name not in CHECKPOINTS:
        return config
    return config.model_copy(update={"weights": str(CHECKPOINTS[Path(config.weights).name])})


def _write_preview(out: Path, config: RunConfig) -> Path:
    from annotator.training_preview import write_image_preview, write_preview
    from trainers.errors import TrainersError
    from trainers.training_config import DetectionConfig, PoseConfig, UltralyticsConfig

    if isinstance(config, UltralyticsConfig):
        raise TrainersError(
            f"--preview: Ultralytics changes images by itself, so it cannot be shown what {config.network} sees; add "
            "--set network=lite-detector, and the labels are shown as both learn them"
        )
    if isinstance(config, DetectionConfig):
        return write_image_preview(out, config)
    assert isinstance(config, PoseConfig)
    return write_preview(out, config)


def _read_teacher(config: RunConfig) -> Dataset | None:
    """The proposals of `data.teacher`, a folder that annotator preannotate wrote, with their scores."""
    if config.data.teacher is None:
        return None
    from annotator.predictions import with_joint_scores
    from cvat_export.coco import read_coco

    folder = Path(config.data.teacher)
    return with_joint_scores(read_coco(folder), folder)


def _say(text: str) -> None:
    click.echo(text, err=True)
