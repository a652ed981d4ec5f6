"""annotator draw: labels painted onto their images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from annotator.commands.options import json_option

EPILOG = """\b
Example:
  annotator draw out -o pictures --scores
  annotator draw out.zip -o compared --truth corrected.zip
\b
Writes:
  pictures/
    <image>.jpg   one a labelled image; with --truth: truth in white, LABELS in pink"""


@click.command(epilog=EPILOG)
@click.argument("labels", type=click.Path(path_type=Path, exists=True))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write pictures to.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the images. [default: images/ in the folder or zip, or beside the JSON]",
)
@click.option("--truth", type=click.Path(path_type=Path, exists=True), help="A second set of labels, laid over.")
@click.option("--boxes/--no-boxes", default=True, show_default=True, help="Draw boxes.")
@click.option("--names", is_flag=True, help="Write the names of categories and joints.")
@click.option("--scores", is_flag=True, help="Write the scores of boxes and, where known, joints.")
@click.option("--overwrite", is_flag=True, help="Replace pictures that are there.")
@json_option
def command(labels: Path, output: Path, images: Path | None, truth: Path | None, as_json: bool, **options: Any) -> int:
    """Paint the boxes and skeletons of LABELS (a dataset folder, a zip, or a COCO JSON) onto their images."""
    from annotator.painting import Painting, paint
    from cvat_export.drawing import DrawingStyle

    style = DrawingStyle(boxes=options["boxes"], names=options["names"], scores=options["scores"])
    result = paint(Painting(labels, truth, images, style), output, overwrite=options["overwrite"])
    click.echo(json.dumps({"output": str(output), **vars(result)}) if as_json else str(output))
    if result.missing:
        click.echo(f"{result.missing} images were not found or not readable, see {output / 'errors.jsonl'}", err=True)
    return 3 if result.missing else 0
