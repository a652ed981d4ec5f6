"""python -m demo: draw the footage, run the main job on it with the models of the install."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click

from demo.program import run_annotator

FRAMES = 24


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The demo: footage drawn by the project, and the main job on it."""


@main.command()
@click.argument("video", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--truth", type=click.Path(path_type=Path, dir_okay=False), help="Write what is true of it, as COCO.")
@click.option("--scenes", type=click.IntRange(1), help="As many random scenes of 5 s instead of the demo's film.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random scenes.")
def footage(video: Path, truth: Path | None, scenes: int | None, seed: int) -> None:
    """Draw the footage into VIDEO (.mp4)."""
    from demo.footage import draw_footage
    from demo.loop_film import random_scenes

    draw_footage(video, truth, random_scenes(scenes, seed) if scenes else None)
    click.echo(video)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def models(folder: Path) -> None:
    """Build in FOLDER a detector and a pose model that find the drawn figures' markers exactly."""
    from demo.marker_models import write_models

    for path in write_models(folder):
        click.echo(path)


@main.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=".demo", show_default=True)
@click.option("--video", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A video of yours.")
@click.option("--detection", help="Detector for --video.  [default: as annotator preannotate]")
@click.option("--pose", help="Pose model for --video.  [default: as annotator preannotate]")
@click.option("--pose-card", help="Card of that pose model.")
def run(output: Path, video: Path | None, detection: str | None, pose: str | None, pose_card: str | None) -> None:
    """Choose frames of a video and pre-annotate them: the footage drawn here, or a --video of yours."""
    output.mkdir(parents=True, exist_ok=True)
    if video is None and (detection or pose or pose_card):
        raise click.UsageError("--detection, --pose and --pose-card are for a --video of yours")
    if video is None:
        _run_drawn(output)
    else:
        _run_yours(output, video, {"--detection": detection, "--pose": pose, "--pose-card": pose_card})


@main.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=".demo-loop", show_default=True
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--cats",
    "data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Also on photographs of cats: the folder that holds cats/.",
)
def loop(output: Path, rounds: int, data: Path | None) -> None:
    """Go round on footage drawn here, with somebody simulated who knows the truth, against a stand-in of CVAT."""
    from demo.loop import cat_loop, film_loop, timed

    if output.exists() and any(output.iterdir()):
        raise click.UsageError(f"{output}: is not empty; remove it, or say another folder with -o")
    output.mkdir(parents=True, exist_ok=True)
    timed(film_loop(output), output, rounds)
    if data is not None:
        timed(cat_loop(output, data), output, rounds)


def _run_drawn(output: Path) -> None:
    from cvat_export.coco import read_coco
    from demo.comparison import compare
    from demo.footage import draw_footage

    video, truth = output / "walkers.mp4", output / "walkers_truth.json"
    draw_footage(video, truth)
    _choose_frames(video, output)
    _preannotate(output, [])
    click.echo(f"Against the truth: {compare(read_coco(truth), read_coco(output / 'out'))}")


def _run_yours(output: Path, video: Path, models: dict[str, str | None]) -> None:
    _choose_frames(video, output)
    _preannotate(output, [word for option, value in models.items() if value for word in (option, value)])


def _choose_frames(video: Path, output: Path) -> None:
    frames = output / "frames"
    _annotator("choose-frames", str(video), "-o", str(frames), "-n", str(FRAMES), "--report", "--overwrite")
    click.echo(f"Chosen frames: {frames / 'report.html'}")


def _preannotate(output: Path, models: list[str]) -> None:
    out = output / "out"
    _annotator("preannotate", str(output / "frames"), "-o", str(out), *models, "--overwrite")
    click.echo(f"Look at {out / 'report.html'} first; {out}.zip is ready for CVAT.")


def _annotator(*arguments: str) -> None:
    """Saying so, and how long it took."""
    click.secho("$ " + shlex.join(["annotator", *arguments]), bold=True)
    started = time.monotonic()
    run_annotator(*arguments)
    click.echo(f"  ({time.monotonic() - started:.1f} s)")


if __name__ == "__main__":
    main()
