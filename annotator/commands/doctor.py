"""annotator doctor: what works here, or everything about one model file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import execution_options, json_option

if TYPE_CHECKING:
    from annotator.doctor import Package, Trial
    from annotator.model_inspection import ModelReport, Run
    from trainers.model_card import Card
    from trainers.runtimes import TensorSpec

EPILOG = """\b
Example:
  annotator doctor
  annotator doctor annotator-pose
  annotator doctor yolo11n.onnx --runtime onnxruntime"""

_SHOWN_CHARACTERS = 100  # of a metadata value; --json has it whole


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@execution_options
@json_option
def command(model: str | None, as_json: bool, **execution: Any) -> int:
    """Print what is installed and try what works here; with MODEL, a file or a name, say all about it and run it.

    Exits 1 where nothing can run MODEL.
    """
    if model is None:
        return _report_installation(as_json)
    from annotator.model_inspection import inspect_model
    from trainers.runtimes import Execution

    report = inspect_model(model, Execution(**execution))
    if as_json:
        click.echo(json.dumps(asdict(report), default=_plain))
    else:
        click.echo("\n".join(_model_lines(report)))
    return 0 if any(run.milliseconds is not None for run in report.runs) else 1


def _report_installation(as_json: bool) -> int:
    from annotator.doctor import describe_machine, installed_packages, try_runtimes, try_shipped_models

    machine, packages = describe_machine(), installed_packages()
    if as_json:
        trials = [asdict(trial) for trial in try_runtimes()]
        models = [{"name": name, **asdict(trial)} for name, trial in try_shipped_models()]
        packed = [asdict(one) for one in packages]
        content = {"machine": machine, "packages": packed, "runtimes": trials, "models": models}
        click.echo(json.dumps(content))
        return 0
    for key, value in machine.items():
        click.echo(f"{key:<16}{value}")
    for line in _package_lines(packages):
        click.echo(line)
    click.echo("\nruntimes, each tried on a tiny network")
    for trial in try_runtimes():
        click.echo(_trial_line(trial))
    click.echo("\nmodels that come with the install, each tried on one image")
    for name, trial in try_shipped_models():
        click.echo(f"  {name:<24}{_trial_line(trial).lstrip()}")
    return 0


def _package_lines(packages: list[Package]) -> Iterator[str]:
    from annotator.doctor import EXTRAS

    yield "\ninstalled"
    yield from (f"  {one.name:<20}{one.version}" for one in packages if one.version)
    for extra, (brings, _) in EXTRAS.items():
        missing = [one.name for one in packages if one.extra == extra and not one.version]
        if missing:
            yield f"\nmissing: {', '.join(missing)}"
            yield f"  pip install 'cvat-pose-annotator[{extra}]' brings {brings}"
    if broken := [one.name for one in packages if one.extra is None and not one.version]:
        yield f"\nmissing, though every installation needs it: {', '.join(broken)}; pip install cvat-pose-annotator"


def _trial_line(trial: Trial) -> str:
    result = trial.problem if trial.milliseconds is None else f"works ({trial.milliseconds:.2f} ms)"
    return f"  {trial.runtime:<13}{trial.device:<9}{trial.precision:<6}{result}"


def _model_lines(report: ModelReport) -> Iterator[str]:
    yield f"{'file':<10}{report.path}"
    yield f"{'format':<10}{report.format}"
    yield f"{'size':<10}{report.size_bytes:,} bytes"
    yield f"{'sha256':<10}{report.sha256}"
    for key, value in report.metadata.items():
        shown = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…"
        yield f"{'metadata':<10}{key}: {' '.join(shown.split())}"
    if report.card:
        yield f"{'card':<10}{report.card.name}: {_card_words(report.card)}"
        yield f"{'':<10}precision {report.card.precision or 'not stated'}"
        yield f"{'':<10}licence {report.card.licence or 'not stated'}"
    for note in report.notes:
        yield f"{'note':<10}{note}"
    for run in report.runs:
        yield from _run_lines(run)


def _card_words(card: Card) -> str:
    from trainers.model_card import DetectorCard

    if isinstance(card, DetectorCard):
        return f"a detector of {card.category!r}, input {card.input.width}x{card.input.height}"
    return f"{card.head.kind} head, joints {', '.join(card.skeleton.joints)}"


def _run_lines(run: Run) -> Iterator[str]:
    if run.milliseconds is None:
        yield f"{run.runtime}: cannot run it: {run.problem}"
        return
    yield f"{run.runtime} on {run.device} in {run.precision}: one image in {run.milliseconds:.1f} ms"
    yield from (f"  {'input':<8}{_tensor(spec)}" for spec in run.inputs)
    yield from (f"  {'output':<8}{_tensor(spec)}" for spec in run.outputs)


def _tensor(spec: TensorSpec) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in spec.shape)
    return f"{spec.name} ({shape}) {spec.dtype}" if spec.shape else f"{spec.name} {spec.dtype}, shape not stated"


def _plain(value: Any) -> Any:
    """What json does not know: cards, dtypes."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)
