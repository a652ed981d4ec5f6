"""annotator check: what in labels would hurt a training."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from annotator.commands.options import group_option, json_option

if TYPE_CHECKING:
    from annotator.label_check import Checked, CheckRequest
    from trainers.problem import Problem

EXIT_ERRORS = 3
PROBLEMS_FILE = "problems.jsonl"
_SHOWN = 3  # problems of a kind that are printed

EPILOG = """\b
Example:
  annotator check corrected.zip -o check
  annotator check train.json --validation val.json --images images
  annotator check mouse.json --group time:10 --json
\b
Writes, with -o:
  check/
    problems.jsonl   a line a problem: kind, severity, file_name, instance, joints, text, fix
    report.html      the problems drawn, worst first, and how often each joint is labelled
  check/validation/  the same of the validation's labels
\b
Exit 0: no error, though perhaps warnings; 3: errors, with which a training would refuse or go wrong; 1: a file that
cannot be read at all."""


@click.command(epilog=EPILOG)
@click.argument("labels", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--validation",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Labels that training does not see; nothing may be in both. May be given again.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of the images of all files. [default: in the zip, in images/ beside or above the file, beside it]",
)
@click.option("--category", help="The category to train, where a file has several with joints.")
@click.option("--skeleton", help="Name or YAML file of the skeleton to train. [default: that of the first file]")
@group_option
@click.option("--tiny-px", type=click.FloatRange(0), default=24, show_default=True, help="Subjects below are tiny.")
@click.option("--pictures", type=click.IntRange(0), default=60, show_default=True, help="At most so many on a page.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for page and list.")
@json_option
def command(labels: tuple[Path, ...], output: Path | None, as_json: bool, **options: Any) -> int:
    """Look for what in LABELS would hurt a training: swapped sides, doubles, images of both splits, and so on.

    LABELS are COCO, CVAT or Datumaro files, zips or folders, such as `annotator pull` writes.
    """
    from annotator.label_check import check_labels

    if output is not None:
        _check_output(output)
    training, validation = check_labels(_request(labels, options), _progress)
    sets = [("training", training), *([("validation", validation)] if validation else [])]
    if output is not None:
        for name, checked in sets:
            _write(output if name == "training" else output / name, checked, options["pictures"])
    problems = [problem for _, checked in sets for problem in checked.problems]
    if as_json:
        click.echo(json.dumps({name: _as_json(checked) for name, checked in sets}, ensure_ascii=False))
    else:
        for name, checked in sets:
            _print_set(name, checked)
        if output is not None:
            click.echo(str(output))
    return EXIT_ERRORS if any(problem.severity == "error" for problem in problems) else 0


def _request(labels: tuple[Path, ...], options: dict[str, Any]) -> CheckRequest:
    from annotator.label_check import CheckRequest
    from cvat_export.skeleton import read_skeleton
    from trainers.label_sources import LabelSource

    training, validation = (
        [LabelSource(path, options["images"], group=options["group"]) for path in paths]
        for paths in (labels, options["validation"])
    )
    skeleton = read_skeleton(options["skeleton"]) if options["skeleton"] else None
    return CheckRequest(training, validation, skeleton, options["category"], options["tiny_px"])


def _check_output(output: Path) -> None:
    """Only a folder of an earlier check is written into again."""
    from annotator.errors import AnnotatorError

    if output.exists() and any(output.iterdir()) and not (output / PROBLEMS_FILE).exists():
        raise AnnotatorError(f"{output}: is not empty and holds no earlier check; choose another folder")


def _write(output: Path, checked: Checked, pictures: int) -> None:
    from annotator.label_report import write_label_report
    from annotator.report import PICTURES
    from cvat_export.atomic import write_json_lines

    output.mkdir(parents=True, exist_ok=True)
    for old in (output / PICTURES).glob("[0-9][0-9][0-9][0-9].jpg"):
        old.unlink()
    write_label_report(output, checked.data, checked.problems, pictures, checked.twins)
    write_json_lines(output / PROBLEMS_FILE, map(asdict, checked.problems))


def _progress(total: int, name: str) -> Callable[[int], object]:
    from tqdm import tqdm

    return tqdm(desc=f"images of {name}", total=total, unit="image", disable=None).update


def _as_json(checked: Checked) -> dict[str, Any]:
    from annotator.label_report import joint_rows

    severities = Counter(problem.severity for problem in checked.problems)
    return {
        "images": len(checked.data.images),
        "subjects": len(checked.data.samples),
        "category": checked.data.category,
        "groups": len(set(checked.data.groups.values())),
        "errors": severities["error"],
        "warnings": severities["warning"],
        "kinds": dict(Counter(problem.kind for problem in checked.problems)),
        "joints": joint_rows(checked.data),
        "notes": list(checked.data.notes),
        "problems": [asdict(problem) for problem in checked.problems],
    }


def _print_set(name: str, checked: Checked) -> None:
    data = checked.data
    click.echo(f"{name}: {len(data.images)} images, {len(data.samples)} subjects of {data.category!r} to train on")
    for note in data.notes:
        click.echo(f"  {note}", err=True)
    for line in _kind_lines(checked.problems):
        click.echo(line)


def _kind_lines(problems: tuple[Problem, ...]) -> Iterator[str]:
    by_kind: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        by_kind.setdefault((problem.severity, problem.kind), []).append(problem)
    if not by_kind:
        yield "  nothing found"
    for (severity, kind), found in by_kind.items():
        yield f"  {severity:<7}  {kind:<22}  {len(found)}"
        for problem in found[:_SHOWN]:
            yield f"             {problem}"
        if len(found) > _SHOWN:
            yield f"             and {len(found) - _SHOWN} more"
