"""annotator select: folders of frames in, a folder of those that are worth a person's time next out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import batch_options, chosen_execution, execution_options, json_option
from annotator.named_models import DEFAULT_DETECTOR, DEFAULT_POSE, NO_MODEL

if TYPE_CHECKING:
    from annotator.acquisition.measuring import Progress
    from annotator.estimators import PoseEstimator
    from annotator.frame_selection import Known, Selected, Selecting
    from annotator.known_frames import FrameKey

EXIT_SKIPPED = 3
STRATEGY_NAMES = ("diverse", "hybrid", "uncertain", "disagreement", "uniform")

EPILOG = """\b
Examples:
  annotator select frames -n 50 --strategy uniform -o evaluation
  annotator select frames -n 40 --held-out evaluation --labelled corrected -o round2
  annotator select clips/* -n 40 --pose best.ckpt --against annotator-pose --strategy disagreement -o round2
\b
Writes:
  round2/
    <video>-<8 digits of its hash>-<pts>.jpg   copies of the selected frames
    manifest.jsonl                             one line a frame: as in FRAMES, with the reason and its figures
    report.html, report_files/                 the frames best first, with reasons and proposals
    errors.jsonl                               frames that could not be read, if any
    run.json                                   what was asked for, with the models' hashes
\b
Strategies:
  diverse       where looks and poses are least like what is labelled, and like each other
  hybrid        a share drawn uniformly; then, of the frames of which the pose model is least
                sure, those that are most diverse
  uncertain     where the pose model is least sure: several peaks a joint, another pose when
                mirrored or shifted, a jump against the neighbouring frames of the video
  disagreement  where two models disagree most (--against), or else detector and pose model
  uniform       any frame as likely as any other; no model is asked
\b
With --like the strategy chooses first, and what it says of its frames holds; then those like hard ones are added.
\b
A frame is known by its source and pts, whatever folder it lies in, so that a frame that is labelled or held out is
never selected. FRAMES of a video at short steps (annotator choose-frames --method every, annotator clip) show jumps;
frames more than half a second apart do not. The same command gives the same bytes."""


@click.command(epilog=EPILOG)
@click.argument("frames", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the frames to.")
@click.option("-n", "--count", type=click.IntRange(1), required=True, help="How many frames.")
@click.option(
    "--strategy", type=click.Choice(STRATEGY_NAMES), default="diverse", show_default=True, help="How, see below."
)
@click.option(
    "--labelled",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Frames that have labels: a frames folder, what pull wrote, or a label file. They are not selected, and what "
    "resembles them counts less.",
)
@click.option(
    "--held-out",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Frames kept for measuring, named as for --labelled. They are neither selected nor looked at.",
)
@click.option(
    "--like",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Frames that somebody found hard: review.jsonl, or named as for --labelled. A quarter of what is selected, at "
    "most, is nearest to these.",
)
@click.option(
    "--uniform-share",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Of what hybrid selects. Their reason begins with uniform; estimates made on them are unbiased.",
)
@click.option("--detection", help=f"Detector, as in preannotate. [default: {DEFAULT_DETECTOR}, where --pose needs one]")
@click.option(
    "--pose",
    default=DEFAULT_POSE,
    show_default=True,
    help="Pose model, as in preannotate; none where there is none yet: diverse then goes by looks alone.",
)
@click.option(
    "--pose-card",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Card of a pose model that does not carry one.",
)
@click.option("--against", help="Pose model to compare with; joints are matched by name.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, another choice.")
@execution_options
@batch_options
@click.option("--overwrite", is_flag=True, help="Remove what an earlier run wrote to the same folder.")
@json_option
def command(frames: tuple[Path, ...], output: Path, as_json: bool, **options: Any) -> int:
    """Select the frames of FRAMES, frames folders with their manifests, that are worth a person's time next."""
    _check_options(frames, output, options)
    from annotator.frame_folder import frames_run
    from annotator.frame_selection import finish_manifest, output_names, select, write_selected
    from annotator.selection_report import write_selection_report

    request = _request(frames, options)
    run = frames_run(output, _plan(request, options), output_names(output))
    with run.locked(options["overwrite"]):
        (output / "errors.jsonl").unlink(missing_ok=True)
        selected = select(request, _bar)
        entries, bad = write_selected(output, selected)
        parts = dict(Counter(entry.reason.split(":")[0] for entry in entries))
        write_selection_report(output, selected, entries, bad, _summary(request, selected, parts))
        finish_manifest(output, entries)
        run.finish()
    for note in selected.notes:
        click.echo(note, err=True)
    if as_json:
        result = {"output": str(output), "frames": len(entries), "candidates": len(selected.pool.candidates)}
        click.echo(json.dumps({**result, "parts": parts, "skipped": len(bad), "notes": selected.notes}))
    else:
        click.echo(str(output))
    click.echo(f"{len(entries)} frames selected; look at {output / 'report.html'}", err=True)
    if bad:
        click.echo(f"{len(bad)} frames were skipped, see {output / 'errors.jsonl'}", err=True)
    return EXIT_SKIPPED if bad else 0


def _check_options(frames: tuple[Path, ...], output: Path, options: dict[str, Any]) -> None:
    if any(folder.resolve() == output.resolve() for folder in (*frames, *options["labelled"], *options["held_out"])):
        raise click.UsageError(f"-o {output} is a folder that is read; choose another one")
    if options["against"] and options["strategy"] in ("uniform", "diverse", "uncertain"):
        raise click.UsageError(
            f"--against is for hybrid and disagreement; {options['strategy']} asks one model at most"
        )
    if options["pose"] == NO_MODEL and options["strategy"] not in ("uniform", "diverse"):
        raise click.UsageError(f"--pose none: {options['strategy']} asks a model; uniform and diverse need none")
    if options["like"] and options["strategy"] == "uniform":
        raise click.UsageError("--like is for strategies that look at frames; uniform does not")
    if options["against"] == options["pose"]:
        raise click.UsageError("--against is the same model as --pose; name another one")


def _request(frames: tuple[Path, ...], options: dict[str, Any]) -> Selecting:
    from annotator.acquisition.strategies import Wish
    from annotator.frame_selection import NEEDS_NO_MODEL, Selecting, read_frames

    needs_model = options["strategy"] not in NEEDS_NO_MODEL
    estimator = _load_estimator(options) if needs_model else None
    return Selecting(
        frames=read_frames(frames),
        labelled=_known(options["labelled"]),
        held_out=_known(options["held_out"]),
        strategy=options["strategy"],
        wish=Wish(options["count"], options["seed"], options["uniform_share"]),
        estimator=estimator,
        against=_load_against(options, estimator) if options["against"] and estimator else None,
        batch_size=options["batch_size"],
        workers=options["workers"],
        like=_hard(options["like"]),
    )


def _hard(paths: tuple[Path, ...]) -> frozenset[FrameKey]:
    """Frames tagged hard where people's tags are given, else all that are named."""
    from annotator.known_frames import file_key
    from annotator.review.tags import HARD, TAG_FILE, TagFile

    given = [path for path in paths if path.name == TAG_FILE]
    tagged = [file_key(name) for path in given for name in TagFile(path).names(HARD)]
    return frozenset((*tagged, *_known(tuple(path for path in paths if path not in given))))


def _known(paths: tuple[Path, ...]) -> Known:
    from annotator.known_frames import read_known_frames

    return {key: place for path in paths for key, place in read_known_frames(path).items()}


def _load_estimator(options: dict[str, Any]) -> PoseEstimator:
    from annotator.estimators import EstimatorOptions, load_estimator

    names = ("detection", "pose", "pose_card", "batch_size")
    chosen = {name: options[name] for name in names}
    skeleton = "coco17" if options["pose"] == NO_MODEL else None  # nobody is posed: any joints do
    return load_estimator(EstimatorOptions(**chosen, skeleton=skeleton, execution=chosen_execution(options)))


def _load_against(options: dict[str, Any], first: PoseEstimator) -> PoseEstimator:
    """With the first one's joints, and its detector unless it finds subjects by itself."""
    from annotator.estimators import EstimatorOptions, load_estimator
    from annotator.pose_model import carries_pose_card

    is_shared = options["detection"] != options["pose"] and carries_pose_card(options["against"])
    return load_estimator(
        EstimatorOptions(
            detection=options["detection"] if is_shared else None,
            pose=options["against"],
            skeleton=first.skeleton,
            batch_size=options["batch_size"],
            execution=chosen_execution(options),
        )
    )


def _plan(request: Selecting, options: dict[str, Any]) -> dict[str, Any]:
    """All that the result depends on, without paths of this machine."""
    from importlib.metadata import version

    from annotator.frame_selection import digest

    models = {
        role: None if model is None else [vars(model.detection), vars(model.pose)]
        for role, model in (("models", request.estimator), ("against", request.against))
    }
    names = ("count", "strategy", "uniform_share", "seed", "batch_size", "runtime", "device", "precision")
    return {
        "command": "select",
        "version": version("cvat-pose-annotator"),
        "frames": {
            "count": len(request.frames),
            "digest": digest(request.frames, (request.labelled, request.held_out)),
        },
        **({"like": sorted(map(str, request.like))} if request.like else {}),
        **models,
        **{name: options[name] for name in names},
    }


def _summary(request: Selecting, selected: Selected, parts: dict[str, int]) -> dict[str, object]:
    pool = selected.pool
    summary: dict[str, object] = {
        "frames selected": sum(parts.values()),
        **({f"of these {name}": count for name, count in parts.items()} if len(parts) > 1 else {}),
        "candidates": len(pool.candidates),
        "labelled": int(pool.labelled.sum()),
        "held out": sum(not frame.keys.isdisjoint(request.held_out) for frame in request.frames),
        "strategy": request.strategy,
        "seed": request.wish.seed,
    }
    for role, model in (("pose model", request.estimator), ("compared with", request.against)):
        if model is not None:
            summary[role] = model.pose.name + (f" ({model.pose.sha256[:8]})" if model.pose.sha256 else "")
    return summary


@contextmanager
def _bar(name: str, total: int) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(desc=name, total=total, unit="frame", disable=None) as bar:
        yield bar.update
