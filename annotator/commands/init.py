"""annotator init: a project's folder with its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.named_models import DEFAULT_DETECTOR, DEFAULT_POSE, NO_MODEL

if TYPE_CHECKING:
    from cvat_export.skeleton import Skeleton

EPILOG = """\b
Examples:
  annotator init match12 --skeleton coco17 --videos videos/ --cvat-project "Match 12"
  annotator init mice --skeleton mouse4 --videos 'lab/*.mp4' --category mouse --detection full-frame
  annotator init cats --skeleton cat16 --images photos/ --category cat
\b
Writes:
  match12/
    annotator.yaml               every key explained; change what you like
    .annotator/journal.sqlite    what the project has done, step by step
\b
Inside the folder annotator round goes on from there, and other commands take their defaults from annotator.yaml."""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--skeleton", required=True, help="Joints to label: coco17, cat16, mouse4, … or a YAML file.")
@click.option("--videos", multiple=True, help="A video, a folder or a pattern; may be given again.")
@click.option("--images", multiple=True, help="A folder of images, in place of videos or beside them.")
@click.option("--cvat-project", "project", help="Name of the project in CVAT. [default: the folder's name]")
@click.option("--category", help="Name of the label in CVAT. [default: person for coco17, else the skeleton's name]")
@click.option(
    "--detection",
    help=f"What finds subjects. [default: {DEFAULT_DETECTOR} for people, else a detector that each round trains]",
)
@click.option(
    "--pose",
    help=f"Pose model of the first proposals, or none. [default: {DEFAULT_POSE} if it has all joints, else none]",
)
@click.option("--host", help="CVAT's address. [default: CVAT_HOST, whenever it is needed]")
def command(folder: Path, **options: Any) -> int:
    """Make FOLDER a project: its skeleton, its videos, its project in CVAT."""
    from annotator.errors import AnnotatorError
    from annotator.journal import Journal
    from annotator.project import read_project
    from annotator.project_files import PROJECT_FILE, STATE_FOLDER
    from annotator.project_template import Wanted, project_text
    from cvat_export.atomic import write_text
    from cvat_export.skeleton import read_skeleton

    path = folder / PROJECT_FILE
    if path.exists():
        raise AnnotatorError(f"{path}: is there already; change it, or choose another folder")
    if not (options["videos"] or options["images"]):
        raise click.UsageError("say --videos or --images: what is there to label?")
    skeleton = read_skeleton(options["skeleton"])
    detection, pose = _models(options, skeleton)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(
        name=folder.absolute().name,
        skeleton=_from(folder, options["skeleton"]) if Path(options["skeleton"]).is_file() else options["skeleton"],
        category=options["category"] or ("person" if skeleton.name == "coco17" else skeleton.name),
        videos=tuple(_from(folder, spec) for spec in options["videos"]),
        images=tuple(_from(folder, spec) for spec in options["images"]),
        project=options["project"] or folder.absolute().name,
        host=options["host"],
        detection=detection,
        pose=pose,
    )
    write_text(path, project_text(wanted))
    read_project(path)
    Journal(folder / STATE_FOLDER).close()
    click.echo(str(path))
    click.echo(f"look at {path}, then: cd {folder} && annotator round next", err=True)
    return 0


def _models(options: dict[str, Any], skeleton: Skeleton) -> tuple[str | None, str | None]:
    """What is asked for, or the models of the install where they know all joints."""
    from cvat_export.skeleton import read_skeleton

    detection, pose = (None if options[name] == NO_MODEL else options[name] for name in ("detection", "pose"))
    knows = all(source is not None for source in skeleton.sources_in(read_skeleton("coco17")))
    if options["pose"] is None and knows:
        pose = DEFAULT_POSE
    if pose is not None and detection is None:
        detection = DEFAULT_DETECTOR
    return detection, pose


def _from(folder: Path, spec: str) -> str:
    """A path as the project file names it: from its folder."""
    return Path(os.path.relpath(Path(spec).absolute(), folder.absolute())).as_posix()
