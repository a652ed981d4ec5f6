"""annotator round: the loop, step by step, with a journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from annotator.commands.options import json_option

EPILOG = """\b
Examples:
  annotator round next          choose frames, propose, push to CVAT; then people correct them
  annotator round status
  annotator round next          pull, train, compare, and choose the next frames
  annotator round undo
  annotator round import labels.zip
\b
Writes, in the project's folder:
  rounds/1/pool, evaluation/    frames to choose from, and those kept for measuring
  rounds/1/choose/frames/       the frames of the round, each with its reason
  rounds/1/propose/out/         the proposals, as they are pushed
  corrected/                    what people made of everything so far
  rounds/1/sort/                labels to learn from, labels to measure by, and what is neither, with reasons
  rounds/1/check/, acceptance/  what is odd in the labels; what people did to the proposals
  rounds/1/train/, export/      the training, and the model
  rounds/1/gate/, curve/        whether it is better, and what more labels would bring
  .annotator/journal.sqlite     every step, before and after
\b
A step is: pool, evaluation, choose, propose, push, correct, pull, sort, check, acceptance, train, export, gate, curve.
What is killed goes on with the next call, and ends as it would have."""


@click.group(epilog=EPILOG)
def command() -> None:
    """Go round: choose frames, let people correct proposals, train, keep the better model, choose again."""


@command.command("next")
@click.option("--now", is_flag=True, help="Do not wait for people: go on with the jobs that are finished.")
@json_option
def next_(now: bool, as_json: bool) -> int:
    """Run the next steps, until people are needed or there is nothing more to do."""
    from annotator.journal import Journal
    from annotator.project import open_project
    from annotator.rounds.circle import advance

    project = open_project(Path())
    reached = advance(project, Journal(project.state), _say, patient=not now)
    if as_json:
        click.echo(json.dumps(vars(reached), ensure_ascii=False))
    else:
        click.echo(f"round {reached.round}: {reached.words}")
    return 0


@command.command("status")
@json_option
def status_(as_json: bool) -> int:
    """Show rounds, steps, times and figures, and what is waited for."""
    from annotator.errors import AnnotatorError
    from annotator.journal import JOURNAL_FILE, Journal
    from annotator.project_files import PROJECT_FILE, STATE_FOLDER, find_project
    from annotator.rounds.status import status, status_lines

    path = find_project(Path())
    if path is None:
        raise AnnotatorError(f"{Path().absolute()}: no {PROJECT_FILE} here or above; make one with annotator init")
    if not (path.parent / STATE_FOLDER / JOURNAL_FILE).exists():
        raise AnnotatorError(f"{path.parent / STATE_FOLDER}: has no journal; was the folder copied without it?")
    content = status(Journal(path.parent / STATE_FOLDER))
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False))
        return 0
    from annotator.rounds.words import WORDS

    click.echo("\n".join(status_lines(content, WORDS)))
    return 0


@command.command("undo")
@click.option("--to", help="Take back all steps up to the last one of this name, itself included.")
@json_option
def undo_(to: str | None, as_json: bool) -> int:
    """Take back the last step: its files stay, and the next call of round next does it again."""
    from annotator.journal import Journal
    from annotator.project import open_project
    from annotator.rounds.circle import STEPS, undo

    names = [step.name for step in STEPS]
    if to is not None and to not in names:
        raise click.UsageError(f"--to {to}: expected one of {', '.join(names)}")
    project = open_project(Path())
    taken = undo(project, Journal(project.state), to)
    if as_json:
        click.echo(json.dumps([{"round": row.round, "step": row.name, "folder": row.folder} for row in taken]))
        return 0
    for row in taken:
        click.echo(f"round {row.round}: {row.name} is taken back; its files stay in {row.folder}")
        if row.name == "push":
            click.echo("what was pushed stays in CVAT", err=True)
    return 0


@command.command("import")
@click.argument("labels", type=click.Path(path_type=Path, exists=True))
@json_option
def import_(labels: Path, as_json: bool) -> int:
    """Take in LABELS that other people made: COCO, CVAT or Datumaro files, zips or folders, with their images."""
    from annotator.journal import Journal
    from annotator.project import open_project
    from annotator.rounds.importing import import_labels
    from annotator.rounds.words import WORDS

    project = open_project(Path())
    row = import_labels(project, Journal(project.state), labels)
    click.echo(json.dumps({"folder": row.folder, **row.figures}) if as_json else row.folder)
    click.echo(f"{WORDS['import'](row.figures)}; the next training learns from them", err=True)
    return 0


def _say(text: Any) -> None:
    click.echo(str(text), err=True)
