"""annotator acceptance: what people did to the proposals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import group_option, json_option
from annotator.commands.tables import aligned
from annotator.correction_cost import Costs

if TYPE_CHECKING:
    from annotator.acceptance import Acceptance

_ACTIONS = tuple(field.name for field in fields(Costs))

EPILOG = f"""\b
Example:
  annotator acceptance corrected
  annotator acceptance round-1 round-2 round-3 -o acceptance
  annotator acceptance corrected --by annotator --seconds drag=2.5
\b
Prints a line a joint, video, annotator (the job's assignee) or model, and advice: joints and proposals that people left
alone, moved, changed the occlusion of, swapped, added and deleted, and what that saved against drawing from nothing.
\b
Writes, with -o:
  acceptance/
    acceptance.json   every count, share and 95 % interval, by joint, video, annotator, model and round
    report.html       the same with plots, the suspects that were right, and the trend over rounds
\b
Only finished jobs count, as `annotator pull --jobs` took them; what it reports of others is counted apart. Seconds and
clicks are estimates: --seconds sets those of {", ".join(_ACTIONS)}."""


class SecondsType(click.ParamType):
    """ACTION=SECONDS."""

    name = "ACTION=SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        action, _, text = value.partition("=")
        if action not in _ACTIONS:
            self.fail(f"{value!r}: got the action {action!r}, expected one of {', '.join(_ACTIONS)}", param, ctx)
        seconds = click.FLOAT.convert(text, param, ctx)
        if not 0 <= seconds < float("inf"):
            self.fail(f"{value!r}: expected seconds from 0 on, such as {action}=2.5", param, ctx)
        return action, seconds


@click.command(epilog=EPILOG)
@click.argument("corrected", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for page and figures.")
@click.option(
    "--by",
    type=click.Choice(("joint", "video", "annotator", "model")),
    default="joint",
    show_default=True,
    help="What a printed line is of; -o and --json have all.",
)
@click.option("--seconds", type=SecondsType(), multiple=True, help="How long an action takes your people.")
@group_option
@json_option
def command(corrected: tuple[Path, ...], output: Path | None, by: str, as_json: bool, **options: Any) -> int:
    """Count what people did to the proposals in CORRECTED, folders that `annotator pull` wrote.

    Several folders are rounds in their order: a frame that is in two with the same proposals counts in the first.
    """
    from annotator import acceptance_tables
    from annotator.acceptance_advice import advise

    if len(set(corrected)) < len(corrected):
        raise click.UsageError("a folder is given twice; each is a round of its own")
    if output is not None:
        _check_output(output)
    costs = Costs(**dict(options["seconds"]))
    measured = _measure(corrected, options["group"], costs)
    advice = advise(measured)
    if output is not None:
        from annotator.acceptance_files import write_acceptance

        write_acceptance(output, measured, costs, advice)
    if as_json:
        result = acceptance_tables.as_json(measured, costs, advice)
        click.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))
        return 0
    click.echo(acceptance_tables.headline(measured))
    click.echo("\n".join(aligned(acceptance_tables.tally_table(by, {**measured.parts[by], "all": measured.total}))))
    _print_rest(measured, advice, output)
    return 0


def _print_rest(measured: Acceptance, advice: Sequence[str], output: Path | None) -> None:
    for sentence in advice:
        click.echo(f"  {sentence}")
    if output is not None:
        click.echo(str(output))
    if measured.unfinished_frames:
        click.echo(
            f"{measured.unfinished_frames} frames with {measured.unfinished_subjects} skeletons are in jobs that are "
            "not finished: not counted",
            err=True,
        )
    if measured.repeated_frames:
        click.echo(f"{measured.repeated_frames} frames are in several folders: counted in the first", err=True)


def _measure(folders: Sequence[Path], group: str, costs: Costs) -> Acceptance:
    from annotator.acceptance import measure_acceptance
    from annotator.acceptance_files import read_round
    from annotator.errors import AnnotatorError

    names = [folder.name for folder in folders]
    names = [str(folder) if names.count(folder.name) > 1 else folder.name for folder in folders]
    try:
        rounds = [read_round(folder, name, group) for folder, name in zip(folders, names, strict=True)]
        return measure_acceptance(rounds, costs)
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotatorError(
            f"{', '.join(map(str, folders))}: changes.jsonl holds a line that this version does not know: {error!r}; "
            "pull again"
        ) from error


def _check_output(output: Path) -> None:
    """Only a folder of an earlier count is written into again."""
    from annotator.acceptance_files import RESULT_FILE
    from annotator.errors import AnnotatorError

    if output.exists() and any(output.iterdir()) and not (output / RESULT_FILE).exists():
        raise AnnotatorError(f"{output}: is not empty and holds no earlier acceptance; choose another folder")
