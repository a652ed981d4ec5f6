"""annotator evaluate: how good poses are, by labels that people made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import (
    MIN_BOX_SCORE,
    batch_options,
    chosen_execution,
    execution_options,
    group_option,
    json_option,
)

if TYPE_CHECKING:
    from annotator.evaluated_poses import ModelRequest, Poses
    from annotator.evaluation_tables import Findings
    from trainers.label_sources import LabelledData
    from trainers.metrics.calibration import FittedCalibration
    from trainers.metrics.evaluation import EvaluationOptions

EXIT_SKIPPED = 3
_LEAST_SCORE = 0.05  # of boxes in which poses are looked for

EPILOG = """\b
Examples:
  annotator evaluate best.ckpt --data val.json -o report
  annotator evaluate best.ckpt --data val.json --against old.onnx
  annotator evaluate best.ckpt --data val.json --detection yolo11n.pt
  annotator evaluate --truth val.json --predicted out/annotations/person_keypoints_default.json --json
  annotator evaluate best.ckpt --data val.json --calibrate
  annotator evaluate --truth first.json --estimate-sigmas second.json
  annotator evaluate --detection best.ckpt --data val.json --against hog
\b
Writes, with -o:
  report/
    metrics.json                  every figure with its 95 % interval
    joints.csv                    a row a joint: PCK, errors in px, kinds of error
    samples.csv                   a row a subject: file, group, OKS, PCK, worst joint, kinds of error
    report.html, report_files/    curves, tables, and the worst subjects: truth white, estimate pink
\b
A model is given the truth's boxes unless --detection finds people. OKS AP is that of pycocotools. Joints that a file
calls not labelled (visibility 0) are missed in PCK; OKS goes by coordinates alone, as pycocotools does.

Without a MODEL the boxes of --detection are measured: box AP, recall and false boxes at --min-score. Every subject in
the images must have a box then, --against is another detector, and -o writes metrics.json alone."""


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@click.option(
    "--data",
    "--truth",
    "data",
    required=True,
    type=click.Path(path_type=Path),
    help="Labels to measure by: COCO, CVAT or Datumaro, a zip or a folder.",
)
@click.option(
    "--predicted",
    type=click.Path(path_type=Path),
    help="Instead of a model: poses in any of these formats, or COCO results.",
)
@click.option(
    "--against",
    help="Compare with these poses, or with this model; with another detector where boxes are measured.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the images. [default: beside the labels]",
)
@click.option(
    "--detection",
    help="What finds people: as for preannotate. [default: the truth's boxes] Without a MODEL, what is measured.",
)
@click.option("--one-stage", is_flag=True, help="MODEL finds people by itself, as Ultralytics pose models do.")
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    help="Least box score of --detection and --one-stage. "
    f"[default: {_LEAST_SCORE:g}; without a MODEL {MIN_BOX_SCORE:g}]",
)
@click.option(
    "--pose-card",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Card of a MODEL that does not carry one.",
)
@click.option(
    "--against-card",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Card of the model of --against.",
)
@click.option("--skeleton", help="Joints to measure, with sigmas: a name or a YAML file. [default: the truth's]")
@click.option("--category", help="Which of the truth's labels, where several have joints.")
@group_option
@click.option(
    "--threshold",
    type=click.FloatRange(0, min_open=True),
    default=0.1,
    show_default=True,
    help="Of PCK, as a share of --reference.",
)
@click.option(
    "--reference",
    default="box",
    show_default=True,
    help="Of PCK: box (its longer side), torso, head, or two joints as left_ear,right_ear.",
)
@click.option(
    "--auc-to",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    show_default=True,
    help="Highest threshold of the area under PCK.",
)
@click.option("--all-coordinates", is_flag=True, help="In PCK, count joints of visibility 0 by their coordinates.")
@click.option(
    "--estimate-sigmas",
    type=click.Path(path_type=Path),
    help="The same images labelled by somebody else: measure the OKS sigmas.",
)
@click.option("--calibrate", is_flag=True, help="Fit the joints' scores and store it in MODEL's card.")
@click.option(
    "--resamples", type=click.IntRange(0), default=1000, show_default=True, help="Of the bootstrap; 0 for no intervals."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--flip-test", is_flag=True, help="Average with the mirrored image.")
@execution_options
@batch_options
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder to write the report to.")
@click.option(
    "--report-pictures", type=click.IntRange(0), default=60, show_default=True, help="Most pictures in report.html."
)
@json_option
def command(model: str | None, output: Path | None, as_json: bool, **options: Any) -> int:
    """Measure the poses of MODEL, or of --predicted, by labels that people made."""
    _check_words(model, options)
    if model is None and options["detection"]:
        return _measure_boxes(output, as_json, options)
    from annotator.calibration import check_calibratable
    from annotator.evaluation import compare, read_truth
    from annotator.evaluation_tables import Findings
    from trainers.label_sources import LabelSource

    if options["calibrate"] and model is not None:
        check_calibratable(model)
    data = read_truth(
        LabelSource(options["data"], options["images"], group=options["group"]),
        options["skeleton"],
        options["category"],
    )
    if options["estimate_sigmas"]:
        data = _estimate_sigmas(data, options["estimate_sigmas"], as_json and not (model or options["predicted"]))
        if not (model or options["predicted"]):
            return 0
    poses = [_poses(model or options["predicted"], options["pose_card"], data, options)]
    if options["against"]:
        other = _poses(options["against"], options["against_card"], data, options)
        poses.append(other if other.name != poses[0].name else replace(other, name=f"{other.name} (other)"))
    compared = compare(data, poses, _evaluation_options(options))
    findings = Findings(compared[0], compared[1] if len(compared) > 1 else None)
    if options["calibrate"]:
        assert model is not None
        findings = _calibrated(findings, model, options["pose_card"])
    _show(findings, output, as_json, options["report_pictures"])
    return EXIT_SKIPPED if any(one.left_out for one in poses) else 0


def _check_words(model: str | None, options: dict[str, Any]) -> None:
    if model is not None and options["predicted"] is not None:
        raise click.UsageError("say MODEL or --predicted, not both; --against compares two")
    measured = (options["predicted"], options["estimate_sigmas"], options["detection"])
    if model is None and measured == (None, None, None):
        raise click.UsageError("say what to measure: MODEL, --predicted FILE, or --detection for boxes alone")
    if options["predicted"] is not None and options["detection"]:
        raise click.UsageError("--detection finds subjects for a MODEL; --predicted has found them")
    if model is None and (options["calibrate"] or options["one_stage"]):
        raise click.UsageError("--calibrate and --one-stage are for a MODEL")
    if options["detection"] and options["one_stage"]:
        raise click.UsageError("say --detection or --one-stage, not both")


def _measure_boxes(output: Path | None, as_json: bool, options: dict[str, Any]) -> int:
    """Without a MODEL."""
    from tqdm import tqdm

    from annotator.box_evaluation import BoxOptions, boxes_as_json, boxes_as_text, evaluate_boxes
    from annotator.evaluation import is_about_splitting
    from trainers.detection.boxed_images import read_boxed_images
    from trainers.label_sources import LabelSource

    source = LabelSource(options["data"], options["images"], group=options["group"])
    data = read_boxed_images([(source, True)], options["category"], leave_out_faulty=True)
    given = {} if options["min_score"] is None else {"min_score": options["min_score"]}
    names = ("resamples", "seed", "batch_size")
    settings = BoxOptions(**given, **{name: options[name] for name in names})
    execution = chosen_execution(options)
    detectors = [options["detection"], *([options["against"]] if options["against"] else [])]
    found = []
    for detector in detectors:
        with tqdm(total=len(data.images), unit="image", desc=Path(detector).name, disable=None) as bar:
            found.append(evaluate_boxes(detector, data, settings, execution, bar.update))
    one, other = found[0], found[1] if len(found) > 1 else None
    content = json.dumps(boxes_as_json(one, other), ensure_ascii=False)
    click.echo(content if as_json else boxes_as_text(one, other, settings.min_score))
    _echo_notes(tuple(note for note in data.notes if not is_about_splitting(note)))
    if output is not None:
        _write_metrics(output, content)
    return 0


def _write_metrics(output: Path, content: str) -> None:
    from cvat_export.atomic import write_text

    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "metrics.json", content + "\n")


def _evaluation_options(options: dict[str, Any]) -> EvaluationOptions:
    from trainers.metrics.evaluation import EvaluationOptions

    names = ("threshold", "reference", "auc_to", "all_coordinates", "resamples", "seed")
    return EvaluationOptions(**{name: options[name] for name in names})


def _poses(spec: str | Path, card: Path | None, data: LabelledData, options: dict[str, Any]) -> Poses:
    from tqdm import tqdm

    from annotator.evaluated_poses import estimate_poses, is_predictions, read_poses

    path = Path(spec)
    if is_predictions(path):
        return read_poses(path, data)
    with tqdm(total=len(data.files), unit="image", desc=path.name, disable=None) as bar:
        return estimate_poses(_model_request(spec, card, options), data, bar.update)


def _model_request(model: str | Path, card: Path | None, options: dict[str, Any]) -> ModelRequest:
    from annotator.detector import DetectionOptions
    from annotator.evaluated_poses import ModelRequest

    return ModelRequest(
        pose=model,
        card=card,
        detection=options["detection"],
        one_stage=options["one_stage"],
        flip_test=options["flip_test"],
        batch_size=options["batch_size"],
        workers=options["workers"],
        execution=chosen_execution(options),
        boxes=DetectionOptions(min_score=_LEAST_SCORE if options["min_score"] is None else options["min_score"]),
        calibrated=not options["calibrate"],
    )


def _estimate_sigmas(data: LabelledData, second: Path, as_json: bool) -> LabelledData:
    from annotator.evaluated_poses import read_poses
    from annotator.evaluation import sigmas_from_second

    found = sigmas_from_second(data, read_poses(second, data))
    skeleton = found.skeleton
    if as_json:
        rows = zip(skeleton.joints, skeleton.sigmas, found.counts, strict=True)
        click.echo(json.dumps({"sigmas": {j: {"sigma": s, "subjects": n} for j, s, n in rows}, "notes": found.notes}))
    else:
        width = max(map(len, skeleton.joints))
        click.echo("sigmas:  # for a skeleton file; subjects labelled twice")
        for joint, sigma, count in zip(skeleton.joints, skeleton.sigmas, found.counts, strict=True):
            click.echo(f"  {joint + ':':{width + 1}} {sigma:.4f}  # {count}")
    _echo_notes(found.notes)
    return replace(data, skeleton=skeleton)


def _calibrated(findings: Findings, model: str, card: Path | None) -> Findings:
    from annotator.calibration import store_calibration
    from trainers.metrics.calibration import fit_calibration
    from trainers.model_card import Calibration

    joints = findings.compared.evaluation.joint_scores
    fitted: FittedCalibration = fit_calibration(joints.scores, joints.right)
    stored = store_calibration(model, card, Calibration(temperature=fitted.temperature, bias=fitted.bias))
    return replace(findings, fitted=fitted, stored=str(stored))


def _show(findings: Findings, output: Path | None, as_json: bool, pictures: int) -> None:
    from annotator.evaluation_tables import as_json as to_json
    from annotator.evaluation_tables import as_text, write_rows

    content = json.dumps(to_json(findings), ensure_ascii=False)
    click.echo(content if as_json else as_text(findings))
    against = findings.against.notes if findings.against else ()
    _echo_notes(tuple(dict.fromkeys((*findings.compared.notes, *against))))
    if findings.stored:
        click.echo(f"calibration written to {findings.stored}", err=True)
    if output is not None:
        from annotator.evaluation_report import write_evaluation_report

        _write_metrics(output, content)
        write_rows(output, findings)
        write_evaluation_report(output, findings, pictures)
        click.echo(f"look at {output / 'report.html'}", err=True)


def _echo_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)
