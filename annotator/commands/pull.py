"""annotator pull: what people made of the proposals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import is_default, json_option, server_options

if TYPE_CHECKING:
    from annotator.pulled_folder import Pulled

EXIT_SKIPPED = 3

EPILOG = """\b
Example:
  annotator pull --project "Match 12" -o corrected --jobs accepted
  annotator pull --task 17 -o others
  annotator pull --from-zip task_17.zip --finished yes --proposals out -o corrected
\b
Writes:
  corrected/
    images/                                      of finished frames
    annotations/person_keypoints_default.json    what people confirmed, edited and added in finished jobs
    changes.jsonl                                a line a skeleton: its fate, and each joint that was changed
    report.html                                  proposal and correction side by side, most changed first
    errors.jsonl                                 what was in CVAT and is no skeleton, by name
  corrected.zip                                  images and annotations
\b
Given again it reads only the tasks in which something has changed."""


@click.command(epilog=EPILOG)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--project", help="The project, as it was pushed from here.")
@click.option("--task", "task_ids", type=int, multiple=True, help="A task by its id, also one that others made.")
@click.option(
    "--jobs",
    type=click.Choice(("accepted", "completed", "all")),
    default="accepted",
    show_default=True,
    help="Whose work is finished: jobs at stage acceptance and completed; completed at any stage; all: as completed, "
    "and the others are reported as not finished.",
)
@click.option(
    "--from-zip",
    type=click.Path(path_type=Path, exists=True),
    help="Read an export that somebody downloaded: COCO Keypoints 1.0, CVAT for images 1.1 or Datumaro.",
)
@click.option("--finished", type=click.Choice(("yes", "no")), help="With --from-zip: whether people were done with it.")
@click.option(
    "--proposals",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="With --from-zip: the dataset folder that was corrected, to compare with.",
)
@server_options
@json_option
def command(output: Path, as_json: bool, **options: Any) -> int:
    """Pull what people corrected in CVAT as a dataset, and what they changed."""
    from_zip = options["from_zip"]
    if from_zip is not None and is_default("project"):
        options["project"] = None  # the project whose folder this is: a file has none
    if from_zip is None and not (options["project"] or options["task_ids"]):
        raise click.UsageError("say --project NAME, --task ID, or --from-zip FILE")
    if (from_zip is None) != (options["finished"] is None):
        raise click.UsageError("--from-zip and --finished belong together: a file does not say what is finished")
    if from_zip is not None and (options["project"] or options["task_ids"]):
        raise click.UsageError("--from-zip reads a file, --project and --task ask the server: say one of them")
    if from_zip is None and options["proposals"]:
        raise click.UsageError("--proposals goes with --from-zip: what was pushed from here is known from its record")
    if from_zip is not None:
        from annotator.pulled_folder import pull_file_into

        pulled = pull_file_into(output, from_zip, options["proposals"], options["finished"] == "yes")
    else:
        pulled = _pull(output, options)
    click.echo(json.dumps({"output": str(output), **vars(pulled)}) if as_json else str(output))
    fates = ", ".join(f"{count} {fate}" for fate, count in pulled.fates.items()) or "nothing"
    click.echo(f"{pulled.images} images from finished jobs: {fates}", err=True)
    if pulled.not_finished:
        click.echo(f"{pulled.not_finished} images are in jobs that are not finished: not in the dataset", err=True)
    if pulled.notes:
        click.echo(f"{pulled.notes} things were not taken, see {output / 'errors.jsonl'}", err=True)
    return EXIT_SKIPPED if pulled.notes else 0


def _pull(output: Path, options: dict[str, Any]) -> Pulled:
    from tqdm import tqdm

    from annotator.credentials import find_login
    from annotator.errors import AnnotatorError
    from annotator.pulled_folder import pull_into
    from cvat_export.pulling import Finished
    from cvat_export.push_record import PushRecord, record_folder
    from cvat_export.server import CvatServer

    login = find_login(options["host"], options["profile"], options["organization"])
    project, ids = options["project"], list(dict.fromkeys(options["task_ids"]))
    record = PushRecord(record_folder(options["state"], login.host, project)) if project else None
    if not ids and (record is None or record.project_id is None):
        raise AnnotatorError(
            f"project {project!r}: {options['state']} has no record of a push to it; say --state FOLDER, or --task ID "
            "for tasks that others made"
        )
    server = CvatServer(login)
    if not ids and record is not None and record.project_id is not None:
        there = {task.id for task in server.tasks(record.project_id)}
        ids = [task.id for task in record.tasks.values() if task.id is not None and task.id in there]
    with tqdm(desc="pull", unit="frame", disable=None) as bar:
        return pull_into(output, server, record, ids, Finished(options["jobs"]), bar.update)
