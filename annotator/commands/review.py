"""annotator review: what was proposed and what people made of it, in FiftyOne or as a page; their tags come back."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import is_default, json_option, server_options

if TYPE_CHECKING:
    from annotator.review.fiftyone_dataset import ReviewedDataset
    from annotator.review.frames import Review
    from cvat_export.push_record import PushRecord
    from cvat_export.server import CvatServer

EXIT_SKIPPED = 3

EPILOG = """\b
Examples:
  annotator review                              in a project's folder: all of its frames
  annotator review out --frames frames          proposals, with why each frame was chosen
  annotator review out --truth labels.zip       the same, measured against labels
  annotator review corrected --collect          what was tagged becomes work
  annotator review corrected --export page      for those without FiftyOne
\b
Shows a dataset of its own in FiftyOne, which a second call brings up to date:
  proposals, corrections, truth   skeletons with boxes: left blue, right orange, paler for corrections and
                                  truth; what crosses over is pink, yellow and white by whose it is
  video, pts, reason, quality     of each frame; and whether people are done with it
  doubt                           1 less the lowest OKS of a subject, or less its joints' mean score
  error, suspects, moved          what is wrong with a subject, may be, and what people changed
  saved views                     worst, suspects, most moved, empty frames, not reviewed, by video
\b
Tags of frames, or of single subjects, that --collect understands:
  redo        its job in CVAT is opened again, with an issue on the frame
  bad-frame   the project's next `sort` keeps the frame out of training
  hard        the project's next `choose` takes frames like it
  good        is written down
\b
Writes:
  review.jsonl (of a project: .annotator/review.jsonl)   a line a tagged frame, and what was done
  page/report.html, page/report_files/                   with --export: frames worst first
\b
Collecting twice does nothing twice; a tag that was taken off and given again counts anew."""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option("--truth", type=click.Path(path_type=Path, exists=True), help="Labels to measure proposals by.")
@click.option(
    "--frames",
    "frames_folders",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Frames folder, whose manifest says why frames were chosen. A project knows its own.",
)
@click.option("--name", help="Of the dataset in FiftyOne. [default: the folder's, and 8 digits of its path's hash]")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the App. [default: 5151, or the next one that is free]")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the App in the browser.")
@click.option(
    "--similar/--no-similar",
    default=True,
    show_default=True,
    help="Compare what frames look like, for the plot, the order by likeness and uniqueness; while the App is open.",
)
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write a page here; no FiftyOne.")
@click.option("--pictures", type=click.IntRange(1), default=500, show_default=True, help="At most, with --export.")
@click.option("--collect", is_flag=True, help="Turn tags into work, see below, and end.")
@click.option("--dry-run", is_flag=True, help="With --collect: only say what would be done.")
@click.option("--delete", is_flag=True, help="Remove the dataset from FiftyOne, tags included, and end.")
@click.option("--project", help="With --collect: the project in CVAT, where FOLDER was pushed and not pulled.")
@server_options
@json_option
def command(folder: Path, as_json: bool, **options: Any) -> int:
    """Look at FOLDER: what preannotate or pull wrote, or a project. Opens FiftyOne until Ctrl-C."""
    _check_options(options)
    if options["delete"]:
        return _delete(folder, as_json, options)
    if options["collect"]:
        return _collect(folder, as_json, options)
    review = _read(folder, options)
    if options["export"]:
        return _export(review, folder, as_json, options)
    return _open(review, folder, as_json, options)


def _check_options(options: dict[str, Any]) -> None:
    acts = [name for name in ("export", "collect", "delete") if options[name]]
    if len(acts) > 1:
        raise click.UsageError(f"--{acts[0]} and --{acts[1]} are different things to do: say one of them")
    if options["dry_run"] and not options["collect"]:
        raise click.UsageError("--dry-run goes with --collect: nothing else changes a server")


def _read(folder: Path, options: dict[str, Any]) -> Review:
    from annotator.review.folders import read_review

    review = read_review(folder, options["frames_folders"], options["truth"])
    for note in review.notes:
        click.echo(note, err=True)
    return review


def _open(review: Review, folder: Path, as_json: bool, options: dict[str, Any]) -> int:
    from annotator.review.app import App
    from annotator.review.fiftyone_dataset import dataset_name, open_dataset

    name = dataset_name(folder, options["name"])
    dataset = open_dataset(name)
    updated = dataset.update(review)
    with App(dataset, options["port"], options["browser"]) as app, suppress(KeyboardInterrupt):
        shown = {"dataset": name, "frames": len(review.frames), "url": app.url, **vars(updated)}
        click.echo(json.dumps(shown) if as_json else app.url, file=app.stdout)
        click.echo(f"{len(review.frames)} frames as {name!r}; Ctrl-C ends it", err=True)
        if options["similar"]:
            _compare(review, dataset)
            app.refresh()
        app.wait()
    return 0


def _compare(review: Review, dataset: ReviewedDataset) -> None:
    from tqdm import tqdm

    from annotator.review.looks import compare_looks

    with tqdm(desc="look", total=len(review.frames), unit="frame", disable=None) as bar:
        compare_looks(review, dataset, bar.update)


def _delete(folder: Path, as_json: bool, options: dict[str, Any]) -> int:
    from annotator.review.fiftyone_dataset import dataset_name, delete_dataset

    name = dataset_name(folder, options["name"])
    was_there = delete_dataset(name)
    click.echo(json.dumps({"dataset": name, "deleted": was_there}) if as_json else name)
    click.echo("deleted from FiftyOne" if was_there else "FiftyOne had no such dataset", err=True)
    return 0


def _export(review: Review, folder: Path, as_json: bool, options: dict[str, Any]) -> int:
    from annotator.report import REPORT_FILE
    from annotator.review.static_page import write_review_page
    from annotator.review.tags import tag_file

    shown = write_review_page(options["export"], review, tag_file(folder).read(), options["pictures"])
    page = options["export"] / REPORT_FILE
    click.echo(
        json.dumps({"output": str(page), "frames": len(review.frames), "shown": shown}) if as_json else str(page)
    )
    return 0


def _collect(folder: Path, as_json: bool, options: dict[str, Any]) -> int:
    from annotator.review.collecting import carry_out, known_places, plan
    from annotator.review.fiftyone_dataset import dataset_name, open_dataset
    from annotator.review.folders import is_project, pulled_part
    from annotator.review.tags import tag_file

    tagged = open_dataset(dataset_name(folder, options["name"]), must_exist=True).tagged_frames()
    file = tag_file(folder)
    planned = plan(tagged, file.read(), is_project(folder))
    if not options["dry_run"]:
        server, record = _server(folder, options) if planned.redo else (None, None)
        planned = carry_out(planned, server, known_places(pulled_part(folder), record), file)
    if as_json:
        click.echo(json.dumps(planned.to_json(options["dry_run"]), ensure_ascii=False))
    else:
        click.echo("\n".join(planned.sentences(options["dry_run"])) or "nothing was tagged since the last time")
    return EXIT_SKIPPED if planned.skipped else 0


def _server(folder: Path, options: dict[str, Any]) -> tuple[CvatServer, PushRecord | None]:
    """The server that a project names, wherever it is called from, or the options; with what was pushed to it."""
    from annotator.credentials import find_login
    from annotator.project_defaults import command_defaults
    from annotator.project_files import PROJECT_FILE
    from annotator.review.folders import is_project
    from cvat_export.push_record import PushRecord, record_folder
    from cvat_export.server import CvatServer

    if is_project(folder):
        said = {name: value for name, value in options.items() if not is_default(name)}
        options = {**options, **command_defaults(folder / PROJECT_FILE)["review"], **said}
    login = find_login(options["host"], options["profile"], options["organization"])
    record = None
    if options["project"]:
        record = PushRecord(record_folder(Path(options["state"]), login.host, options["project"]))
    return CvatServer(login), record
