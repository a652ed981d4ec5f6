"""annotator export: a trained model as a file for other machines and runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import MIN_BOX_SCORE, json_option

if TYPE_CHECKING:
    from trainers.export import Exported

EPILOG = """\b
Examples:
  annotator export runs/1/best.ckpt --format onnx
  annotator export runs/1/best.ckpt --format openvino --precision int8 -o edge/cats.xml
  annotator export runs/2/best.ckpt --format openvino --input-size 640x640 --licence CC-BY-4.0
  annotator export --card-only theirs.torchscript --card theirs.card.yaml -o ours.torchscript
\b
Writes one of, with its card inside, for any number of images at a time:
  runs/1/model.torchscript.pt
  runs/1/model.onnx
  runs/1/model.xml, model.bin                    OpenVINO
  runs/1/model.pt2                               torch.export
With --precision f16 or int8 the name says so: model.int8.onnx.
\b
Nothing is written unless the file finds the checkpoint's joints: on real crops, in every runtime that is
installed, the p99 of the distances must be below 0.5 pixels of the network's input. int8 moves most joints by
less than a pixel and some by much, so there the median must be below 2 and the p90 below 10 pixels."""


_FOR_CHECKPOINTS = ("export_format", "input_size", "licence", "min_joint_score", "propose_from", "data")


@click.command(epilog=EPILOG)
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--format",
    "export_format",
    type=click.Choice(("torchscript", "onnx", "openvino", "pt2")),
    help="Format to write a checkpoint in.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write. [default: beside the checkpoint]")
@click.option(
    "--precision",
    type=click.Choice(("f32", "f16", "int8")),
    default="f32",
    show_default=True,
    help="f16: weights of half the size (openvino). int8: a third of the size and faster, joints move a little "
    "(openvino, onnx).",
)
@click.option(
    "--input-size",
    metavar="WIDTHxHEIGHT",
    help="Input of a detector: a larger one finds smaller subjects, more slowly. [default: as it was trained]",
)
@click.option("--licence", help="To be named in the card.")
@click.option(
    "--propose-from",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help=f"A detector's score that becomes {MIN_BOX_SCORE:g}, the usual --min-score; a higher one leaves out more.",
)
@click.option(
    "--min-joint-score",
    type=click.FloatRange(0, 1),
    help="To be named in the card of a pose model: joints scored lower are proposed as not labelled.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Labelled images to compare on, and to calibrate int8 by: best those of the training. [default: the crops "
    "that training left in the run's folder]",
)
@click.option(
    "--card-only", is_flag=True, help="Write --card into MODEL, a TorchScript, pt2 or ONNX file of any maker."
)
@click.option("--card", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Card for --card-only.")
@click.option("--trust", is_flag=True, help="Let a checkpoint import a network of your own, which runs its code.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there already.")
@json_option
def command(model: Path, as_json: bool, card_only: bool, **options: Any) -> None:
    """Export MODEL, a checkpoint of annotator train, or give a foreign model its card (--card-only)."""
    if card_only:
        output = _write_card(model, options)
        click.echo(json.dumps({"output": str(output)}) if as_json else str(output))
        return
    if options["export_format"] is None:
        raise click.UsageError("say --format, or --card-only to write a card into a foreign model")
    if options["card"] is not None:
        raise click.UsageError("--card goes with --card-only: a checkpoint has a card")
    done = _export(model, options)
    if as_json:
        parities = [vars(parity) for parity in done.parities]
        content = {"output": str(done.path), "milliseconds": done.milliseconds, "parity": parities, "notes": done.notes}
        click.echo(json.dumps(content))
    else:
        click.echo(str(done.path))
    _report(done)


def _export(model: Path, options: dict[str, Any]) -> Exported:
    from annotator.errors import AnnotatorError
    from trainers.card_changes import CardChanges
    from trainers.checkpoint import read_checkpoint
    from trainers.export import MOST_CALIBRATED, cut_labelled_inputs, export_checkpoint, read_run_crops
    from trainers.parity import MOST_INPUTS
    from trainers.run_files import RunFiles

    changes = CardChanges(
        _size(options["input_size"]), options["licence"], options["min_joint_score"], options["propose_from"]
    )
    card = changes.apply(read_checkpoint(model).card)
    most = MOST_CALIBRATED if options["precision"] == "int8" else MOST_INPUTS
    labels = options["data"]
    pixels = cut_labelled_inputs(card, labels, most) if labels else read_run_crops(model, card.input.size)
    if pixels is None:
        raise AnnotatorError(
            f"{model}: there is no {RunFiles(model.parent).parity.name} beside it to compare the exported file on, "
            "or to calibrate int8 by; name labelled images with --data, such as those it was trained on"
        )
    return export_checkpoint(
        model,
        options["export_format"],
        pixels,
        options["output"],
        precision=options["precision"],
        trust=options["trust"],
        overwrite=options["overwrite"],
        changes=changes,
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= 8192 and 0 < int(height) <= 8192):
        raise click.UsageError(f"--input-size {text!r}: expected WIDTHxHEIGHT in pixels, such as 640x640")
    return int(width), int(height)


def _write_card(model: Path, options: dict[str, Any]) -> Path:
    given = [
        f"--{name.replace('export_', '').replace('_', '-')}" for name in _FOR_CHECKPOINTS if options[name] is not None
    ]
    given += ["--precision"] if options["precision"] != "f32" else []
    if given:
        raise click.UsageError(f"{given[0]} does not go with --card-only: the model stays as it is")
    if options["card"] is None:
        raise click.UsageError("--card-only needs --card card.yaml")
    output: Path = options["output"] or model
    if output.exists() and not options["overwrite"]:
        raise click.UsageError(f"{output} is there already: write elsewhere with -o, or replace it with --overwrite")
    from trainers.card_writing import write_card_into
    from trainers.model_card import read_card
    from trainers.runtimes import Execution

    write_card_into(model, read_card(options["card"]), output, Execution(trust=options["trust"]))
    return output


def _report(done: Exported) -> None:
    for parity in done.parities:
        left_out = f", {parity.left_out} flat ones left out" if parity.left_out else ""
        click.echo(
            f"{parity.runtime}: distance of {parity.points} points{left_out}: p50 {parity.p50_px:.3f} px, p90 "
            f"{parity.p90_px:.3f} px, p99 {parity.p99_px:.3f} px, largest {parity.max_px:.3f} px, of scores p50 "
            f"{parity.p50_score:.3f}; {parity.milliseconds:.1f} ms an input, "
            f"checkpoint {done.milliseconds:.1f} ms",
            err=True,
        )
    for note in done.notes:
        click.echo(note, err=True)
