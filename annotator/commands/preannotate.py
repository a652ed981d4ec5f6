"""annotator preannotate: images in, a dataset of proposals out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import MIN_BOX_SCORE, batch_options, chosen_execution, execution_options, json_option
from annotator.named_models import DEFAULT_DETECTOR, DEFAULT_POSE, LARGER_INPUT

if TYPE_CHECKING:
    from tqdm import tqdm

    from annotator.estimators import PoseEstimator
    from annotator.inputs import Input

EXIT_SKIPPED = 3

EPILOG = """\b
Example:
  annotator preannotate frames -o out
  annotator preannotate frames -o out --detection yolo11n.pt --pose pose.torchscript.pt
\b
Writes:
  out/
    images/                                     the images, upright; people or not
    annotations/person_keypoints_default.json   COCO person_keypoints
    predictions.jsonl                           box and joint scores, models, frame ids
    report.html, report_files/                  look at this first
    errors.jsonl                                inputs that were skipped, if any
    run.json                                    what was asked for, with the models' hashes
    crops/                                      with --crops: each person as a dataset of its own
  out.zip                                       images/ and annotations/, to drag into CVAT
\b
A run that was stopped goes on when the same command is given again, and ends with the same bytes."""


@click.command(epilog=EPILOG)
@click.argument("images", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the dataset to.")
@click.option(
    "--detection",
    help="Detector: a name of annotator models, hog (built in), a model file (Ultralytics .pt, .torchscript, .onnx, "
    "OpenVINO folder; FastestDet; BlazePose's detector), a COCO file whose boxes are used, or full-frame. "
    f"[default: {DEFAULT_DETECTOR}, unless --pose finds people by itself]",
)
@click.option(
    "--pose",
    default=DEFAULT_POSE,
    show_default=True,
    help="Pose model: a name of annotator models, a TorchScript, pt2, ONNX, OpenVINO or TFLite file; none: nothing is "
    "proposed.",
)
@click.option(
    "--pose-card",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Card of a pose model that does not carry one: see docs/model-cards.md.",
)
@click.option(
    "--skeleton",
    help="Joints to label, matched by name: coco17, lsp14, mpii16, … or a YAML file. [default: the pose model's]",
)
@click.option("--category", default="person", show_default=True, help="Name of the label in CVAT.")
@click.option(
    "--classes", help="Classes of the detector to keep, separated by commas. [default: person if it knows it, else all]"
)
@click.option(
    "--min-score", type=click.FloatRange(0, 1), default=MIN_BOX_SCORE, show_default=True, help="Least box score."
)
@click.option("--iou", type=click.FloatRange(0, 1), default=0.7, show_default=True, help="Overlap that makes a double.")
@click.option("--max-people", type=click.IntRange(1), help="The best so many of an image. [default: all]")
@click.option("--min-size", type=click.FloatRange(0), default=0, help="Least shorter side of a box, in pixels.")
@click.option(
    "--min-joint-score",
    type=click.FloatRange(0, 1),
    help="Joints scored lower are proposed as not labelled. [default: what the pose model's card says, else 0.2]",
)
@click.option(
    "--quality",
    type=click.Choice(("fast", "best")),
    default="fast",
    show_default=True,
    help=f"best: the flip test, and {LARGER_INPUT[DEFAULT_DETECTOR]} for {DEFAULT_DETECTOR}; slower, finds more.",
)
@click.option("--flip-test", is_flag=True, help="Average with the mirrored image: slower, a little better.")
@execution_options
@batch_options
@click.option("--crops", is_flag=True, help="Write each person's crop as a dataset too: out/crops, out-crops.zip.")
@click.option("--padding", type=click.IntRange(0), default=40, show_default=True, help="Around a crop, in pixels.")
@click.option(
    "--report-pictures", type=click.IntRange(0), default=500, show_default=True, help="Most pictures in report.html."
)
@click.option("--overwrite", is_flag=True, help="Start anew, removing what an earlier run wrote to the same folder.")
@json_option
def command(images: tuple[str, ...], output: Path, as_json: bool, **options: Any) -> int:
    """Propose boxes and poses for IMAGES: folders, files, patterns, frames folders with a manifest, or videos."""
    from annotator.errors import AnnotatorError
    from annotator.inputs import find_inputs
    from annotator.preannotation import LabelOptions, output_paths, preannotate, summarise
    from annotator.run_folder import RunFolder

    inputs = find_inputs(images)
    if any(item.path.resolve().is_relative_to(output.resolve()) for item in inputs):
        raise AnnotatorError(f"{output}: holds the images that are read; choose another folder to write to")
    estimator = _load_estimator(options)
    for name, session in estimator.sessions:
        click.echo(f"{name}: {session.runtime} on {session.device} in {session.precision}", err=True)
    if options["category"] != "person" and estimator.pose.name == DEFAULT_POSE:
        click.echo(
            f"{DEFAULT_POSE} knows people; each is labelled {options['category']!r}. For other subjects say "
            "--detection and --pose",
            err=True,
        )
    label_options = LabelOptions(
        category=options["category"],
        min_joint_score=options["min_joint_score"],
        crop_padding_px=options["padding"] if options["crops"] else None,
        report_pictures=options["report_pictures"],
    )
    folder = RunFolder(output, _plan(inputs, estimator, options), output_paths(output))
    with folder.locked(options["overwrite"]):
        if folder.finished:
            click.echo(f"{output}: is complete already; --overwrite makes it anew", err=True)
        else:
            with _progress_bar(inputs) as bar:
                preannotate(inputs, estimator, label_options, folder, options["workers"], bar.update)
    outcome = summarise(output)
    if as_json:
        click.echo(json.dumps({"output": str(output), "archive": f"{output}.zip", **vars(outcome)}))
    else:
        click.echo(f"{output}.zip")
    click.echo(
        f"{outcome.images} images, {outcome.subjects} proposals of {options['category']}, {outcome.empty_images} "
        f"images without any; look at {output / 'report.html'}",
        err=True,
    )
    if outcome.skipped:
        click.echo(f"{outcome.skipped} inputs were skipped, see {output / 'errors.jsonl'}", err=True)
    return EXIT_SKIPPED if outcome.skipped else 0


def _load_estimator(options: dict[str, Any]) -> PoseEstimator:
    from annotator.detector import DetectionOptions
    from annotator.estimators import EstimatorOptions, load_estimator

    classes = [name.strip() for name in (options["classes"] or "").split(",")]
    boxes = DetectionOptions(
        classes=tuple(name for name in classes if name),
        min_score=options["min_score"],
        iou=options["iou"],
        max_subjects=options["max_people"],
        min_size_px=options["min_size"],
    )
    names = ("detection", "pose", "pose_card", "skeleton", "flip_test", "quality", "batch_size")
    chosen = {name: options[name] for name in names}
    return load_estimator(EstimatorOptions(**chosen, boxes=boxes, execution=chosen_execution(options)))


_NOT_IN_PLAN = {"workers", "overwrite", "trust", "pose_card", "detection", "pose"}  # or there by content


def _plan(inputs: list[Input], estimator: PoseEstimator, options: dict[str, Any]) -> dict[str, Any]:
    """All that the result depends on, without paths of this machine."""
    from annotator.inputs import digest
    from cvat_export.skeleton import describe_skeleton

    card = options["pose_card"]
    return {
        "images": {"inputs": len(inputs), "digest": digest(inputs)},
        "detection": vars(estimator.detection),
        "pose": vars(estimator.pose),
        **{name: value for name, value in options.items() if name not in _NOT_IN_PLAN},
        "pose_card": hashlib.sha256(card.read_bytes()).hexdigest() if card else None,
        "skeleton": describe_skeleton(estimator.skeleton),
    }


def _progress_bar(inputs: list[Input]) -> tqdm[Any]:
    from tqdm import tqdm

    from annotator.inputs import VideoFile

    total = None if any(isinstance(item, VideoFile) for item in inputs) else len(inputs)
    return tqdm(total=total, unit="image", desc="preannotate", dynamic_ncols=True)
