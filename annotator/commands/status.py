"""annotator status: how far people are with what was pushed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import json_option, server_options
from annotator.commands.tables import aligned

if TYPE_CHECKING:
    from cvat_export.following import JobStatus

WATCH_SECONDS = 30
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"  # without a rate: people are no machines

EPILOG = """\b
Example:
  annotator status
  annotator status --project "Match 12" --watch
\b
Prints a line a job: task, job, stage, state, assignee, frames, skeletons, how many of them were edited, added and
deleted so far, and when it was last changed. Exits 0 whatever the state."""


@click.command(epilog=EPILOG)
@click.option("--project", "projects", multiple=True, help="Only this project. [default: all pushed from here]")
@click.option("--watch", is_flag=True, help="Go on looking, with a progress bar, until every job is completed.")
@server_options
@json_option
def command(projects: tuple[str, ...], watch: bool, as_json: bool, **options: Any) -> int:
    """Show the jobs of what was pushed to CVAT, and what people have done so far."""
    if watch and as_json:
        raise click.UsageError("--watch shows a bar, --json prints once: say one of them")
    from annotator.credentials import find_login
    from annotator.errors import AnnotatorError
    from cvat_export.following import job_statuses
    from cvat_export.push_record import PushRecord, record_folder, recorded_projects
    from cvat_export.server import CvatServer

    login = find_login(options["host"], options["profile"], options["organization"])
    folders = [record_folder(options["state"], login.host, name) for name in projects]
    records = [PushRecord(folder) for folder in folders or recorded_projects(options["state"], login.host)]
    if not any(record.project_id is not None for record in records):
        raise AnnotatorError(
            f"{options['state']}: has no record of a push to {', '.join(projects) or login.host}; push first, or say "
            "--state FOLDER"
        )
    server = CvatServer(login)
    if watch:
        _watch(lambda: [row for record in records for row in job_statuses(server, record)])
        return 0
    rows = [row for record in records for row in job_statuses(server, record)]
    if as_json:
        click.echo(json.dumps([vars(row) for row in rows]))
    else:
        _print_table(rows)
    return 0


def _print_table(rows: Iterable[JobStatus]) -> None:
    header = ("task", "job", "stage", "state", "assignee", "frames", "skeletons", "edited", "added", "deleted", "since")
    table = [header] + [
        (
            r.task,
            str(r.job),
            r.stage,
            r.state,
            r.assignee or "-",
            str(r.frames),
            str(r.skeletons),
            str(r.edited),
            str(r.added),
            str(r.deleted),
            r.updated[:19].replace("T", " "),
        )
        for r in rows
    ]
    click.echo("\n".join(aligned(table)))


def _watch(look: Any) -> None:
    from tqdm import tqdm

    rows: Sequence[JobStatus] = look()
    with tqdm(desc="frames completed", total=sum(row.frames for row in rows), unit="frame", bar_format=_BAR) as bar:
        while True:
            bar.total = sum(row.frames for row in rows)
            bar.n = sum(row.frames for row in rows if row.state == "completed")
            bar.set_postfix(edited=sum(row.edited for row in rows), added=sum(row.added for row in rows))
            bar.refresh()
            if bar.n == bar.total:
                return
            time.sleep(WATCH_SECONDS)
            rows = look()
