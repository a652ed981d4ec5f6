"""annotator push: a pre-annotated dataset becomes tasks in CVAT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import json_option, server_options

if TYPE_CHECKING:
    from cvat_export.push_preflight import Preflight, PushOptions
    from cvat_export.push_record import PushRecord
    from cvat_export.pushing import Pushed
    from cvat_export.server import CvatServer

EXIT_SKIPPED = 3

EPILOG = """\b
Example:
  export CVAT_HOST=https://cvat.example.org CVAT_ACCESS_TOKEN=…
  annotator push out --project "Match 12" --task-size 200 --segment-size 50 --dry-run
  annotator push out --project "Match 12" --task-size 200 --segment-size 50
\b
Writes:
  .annotator/<server>/<project>/record.jsonl   what was pushed and CVAT's ids for it: what pull compares with
  OUT/report.html                              each picture gets a link to its frame's job in CVAT
\b
A push that was stopped goes on when it is given again; a second one sends only what is new. What people have done is
never touched."""


@click.command(epilog=EPILOG)
@click.argument("dataset", metavar="OUT", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--project", required=True, help="Name of the project; made where there is none.")
@click.option("--task-size", type=click.IntRange(1), default=200, show_default=True, help="Images in a task.")
@click.option("--segment-size", type=click.IntRange(1), default=50, show_default=True, help="Images in a job.")
@click.option("--assignee", "assignees", multiple=True, help="User who gets jobs; several take turns.")
@click.option(
    "--guide",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Markdown for annotators. [default: one made from the skeleton]",
)
@click.option("--flag-suspects", is_flag=True, help="Mark proposals that are likely wrong with an attribute 'suspect'.")
@click.option(
    "--replace-untouched", is_flag=True, help="Send newer proposals for those nobody has touched, in jobs not begun."
)
@click.option("--dry-run", is_flag=True, help="Look, print the plan, and change nothing.")
@server_options
@json_option
def command(dataset: Path, as_json: bool, **options: Any) -> int:
    """Push the dataset OUT of preannotate to CVAT: a project with its skeleton, tasks, jobs and proposals."""
    from annotator.credentials import find_login
    from annotator.errors import AnnotatorError
    from annotator.predictions import with_joint_scores, with_models
    from cvat_export.coco import read_coco
    from cvat_export.local_dataset import read_local
    from cvat_export.push_preflight import PushOptions, preflight
    from cvat_export.push_record import PushRecord, record_folder
    from cvat_export.pushing import push
    from cvat_export.server import CvatServer

    proposed = with_models(with_joint_scores(read_coco(dataset), dataset), dataset)
    local, problems = read_local(dataset, proposed)
    login = find_login(options["host"], options["profile"], options["organization"])
    server = CvatServer(login)
    record = PushRecord(record_folder(options["state"], login.host, options["project"]))
    asked = PushOptions(
        options["project"],
        options["task_size"],
        options["segment_size"],
        options["assignees"],
        options["guide"].read_text("utf-8") if options["guide"] else None,
        options["flag_suspects"],
        options["replace_untouched"],
    )
    with record.locked():
        found = preflight(server, local, record, asked)
        if problems := (*problems, *found.problems):
            raise AnnotatorError(
                f"nothing was pushed; {len(problems)} problems:\n" + "\n".join(f"  - {problem}" for problem in problems)
            )
        if options["dry_run"]:
            _print_plan(found, asked, as_json)
            return 0
        with _bar(found) as bar:
            done = push(server, local, record, found, asked, bar.update)
        _link_page(dataset, server, record)
    return _report(found, done, asked, as_json)


def _link_page(dataset: Path, server: CvatServer, record: PushRecord) -> None:
    """Give the pictures of OUT's page links to their jobs; a page that was deleted is not missed."""
    from annotator.job_links import pushed_links
    from annotator.report import REPORT_FILE, link_tiles
    from cvat_export.errors import CvatExportError

    page = dataset / REPORT_FILE
    if not page.is_file():
        return
    try:
        link_tiles(page, pushed_links(server, record))
    except CvatExportError as error:  # what was asked for is done; the next push tries again
        click.echo(f"{page}: its pictures got no links to CVAT: {error}", err=True)


def _bar(found: Preflight) -> Any:
    from tqdm import tqdm

    images = [image for rows in found.plan.new_tasks.values() for image in rows]
    total = len(images) + sum(len(image.proposals) for image in images)
    return tqdm(desc="push", total=total, unit="", disable=None)


def _plan_rows(found: Preflight, asked: PushOptions) -> dict[str, Any]:
    plan = found.plan
    return {
        "project": asked.project,
        "project_exists": found.project is not None,
        "user": found.user,
        "server_version": found.version,
        "tasks": [
            {
                "name": name,
                "images": len(images),
                "jobs": -(-len(images) // asked.segment_size),
                "proposals": sum(len(image.proposals) for image in images),
                "bytes": sum(Path(image.pushed.path).stat().st_size for image in images),
            }
            for name, images in plan.new_tasks.items()
        ],
        "unfinished_tasks": list(plan.unfinished),
        "images_with_new_proposals": sum(map(len, plan.append.values())),
        "images_to_replace": sum(map(len, plan.replace.values())),
        "images_unchanged": plan.unchanged,
        "images_held_back": list(plan.held_back),
        "images_in_other_tasks": list(plan.foreign),
        "tasks_deleted_on_server": list(plan.gone),
    }


def _print_plan(found: Preflight, asked: PushOptions, as_json: bool) -> None:
    rows = _plan_rows(found, asked)
    if as_json:
        click.echo(json.dumps(rows))
        return
    state = "exists" if rows["project_exists"] else "will be made"
    click.echo(f"project {asked.project!r} {state}; as {found.user}, CVAT {found.version}")
    for task in rows["tasks"]:
        click.echo(
            f"task {task['name']!r}: {task['images']} images ({task['bytes'] / 1e6:.1f} MB), {task['jobs']} jobs, "
            f"{task['proposals']} proposals"
        )
    for name in rows["unfinished_tasks"]:
        click.echo(f"task {name!r}: its push was interrupted and will be finished")
    for key, words in (
        ("images_with_new_proposals", "images on the server get proposals"),
        ("images_to_replace", "images get newer proposals where nobody has touched them"),
        ("images_unchanged", "images are on the server as they are here"),
    ):
        if rows[key]:
            click.echo(f"{rows[key]} {words}")
    _print_left_out(found)


def _print_left_out(found: Preflight) -> None:
    plan = found.plan
    for note in found.notes:
        click.echo(note, err=True)
    for names, words in (
        (plan.held_back, "images have other proposals on the server: --replace-untouched sends the new ones"),
        (plan.foreign, "images are in tasks of the project that were not pushed from here: left alone"),
        (plan.gone, "tasks were deleted in CVAT: they are not made again"),
    ):
        if names:
            click.echo(f"{len(names)} {words} ({', '.join(names[:3])}{', …' if names[3:] else ''})", err=True)


def _report(found: Preflight, done: Pushed, asked: PushOptions, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"project": asked.project, **vars(done)}))
    else:
        click.echo(asked.project)
    click.echo(f"{done.tasks} tasks, {done.images} images, {done.proposals} proposals pushed", err=True)
    _print_left_out(found)
    for name, why in sorted(done.held_back.items()):
        click.echo(f"{name}: its proposals were not sent: {why}", err=True)
    return EXIT_SKIPPED if done.held_back or found.plan.held_back or found.plan.foreign or found.plan.gone else 0
