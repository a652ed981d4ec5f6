"""annotator models: which models can be called by a name, and adding one's own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import execution_options, json_option
from annotator.commands.tables import aligned

if TYPE_CHECKING:
    from annotator.model_collection import ListedModel
    from annotator.model_inspection import Run

_LISTED = 3  # classes that the table names

EPILOG = """\b
Examples:
  annotator models
  annotator models --speed
  annotator models add runs/1/model.onnx --name mice
  annotator models add movenet.tflite --card movenet.yaml
  annotator models remove mice
\b
A name is what --detection and --pose take: annotator preannotate frames -o out --pose mice
Writes, with add, a copy of the model with its card:
  ~/.local/share/cvat-pose-annotator/models/NAME/     or below XDG_DATA_HOME"""


@click.group(epilog=EPILOG, invoke_without_command=True)
@click.option("--speed", is_flag=True, help="Run each on one image, in every runtime that can, and say how fast.")
@execution_options
@json_option
@click.pass_context
def command(context: click.Context, speed: bool, as_json: bool, **execution: Any) -> None:
    """List the models that come with the install and those that you have added; add and remove yours."""
    if context.invoked_subcommand is not None:
        return
    from annotator.model_collection import list_models
    from trainers.runtimes import Execution

    models = list_models(Execution(**execution) if speed else None)
    if as_json:
        click.echo(json.dumps([_row(model) for model in models]))
    else:
        _print_table(models)


@command.command(
    epilog="""\b
Example:
  annotator models add runs/1/model.onnx --name mice"""
)
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--name", help="What to call it. [default: the file's name, up to its first dot]")
@click.option(
    "--card",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Card of a pose model that does not carry one: see docs/model-cards.md.",
)
@execution_options
@json_option
def add(file: Path, name: str | None, card: Path | None, as_json: bool, **execution: Any) -> None:
    """Copy FILE, any model that --detection or --pose takes, so that it can be called by a name."""
    from annotator.model_collection import add_model
    from trainers.runtimes import Execution

    added = add_model(file, name, card, Execution(**execution))
    click.echo(json.dumps(_row(added)) if as_json else added.name)


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Delete the model NAME, which you have added."""
    from annotator.model_collection import remove_model

    remove_model(name)


def _row(model: ListedModel) -> dict[str, Any]:
    content = {key: value for key, value in vars(model).items() if key not in ("facts", "runs")}
    keys = ("runtime", "device", "precision", "milliseconds", "problem")
    runs = [{key: getattr(run, key) for key in keys} for run in model.runs]
    return {**content, **asdict(model.facts), **({"runs": runs} if runs else {})}


def _print_table(models: list[ListedModel]) -> None:
    header, *lines = aligned([("name", "kind", "input", "finds", "size", "licence", ""), *map(_cells, models)])
    click.echo(header)
    for model, line in zip(models, lines, strict=True):
        click.echo(line)
        for run in model.runs:
            click.echo(f"  {_speed(model, run)}")


def _cells(model: ListedModel) -> tuple[str, ...]:
    facts = model.facts
    if facts.kind == "detector":
        more = f" and {len(facts.finds) - _LISTED} more" if len(facts.finds) > _LISTED else ""
        finds = ", ".join(facts.finds[:_LISTED]) + more
    else:
        finds = f"{len(facts.finds)} joints"
    return (
        model.name,
        facts.kind,
        f"{facts.input_size[0]}x{facts.input_size[1]}",
        finds,
        f"{model.size_bytes / 1e6:.1f} MB",
        facts.licence or "not stated",
        "comes with the install" if model.shipped else "added",
    )


def _speed(model: ListedModel, run: Run) -> str:
    if run.milliseconds is None:
        return f"{run.runtime}: cannot run it: {run.problem}"
    what = "people" if model.facts.kind == "pose" else "images"
    return f"{run.runtime} on {run.device} in {run.precision}: {1000 / run.milliseconds:.0f} {what} a second"
