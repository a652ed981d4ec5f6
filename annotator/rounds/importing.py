"""Labels that other people made elsewhere: copied into the project, and learnt from in the next training."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from annotator.errors import AnnotatorError
from annotator.journal import Journal, StepRow, this_process
from annotator.project import Project
from annotator.rounds.circle import current_round
from annotator.rounds.step import hash_file
from annotator.rounds.words import Figures
from cvat_export.atomic import write_bytes
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from trainers.label_sources import LabelledData, LabelSource, inspect_labels

IMPORTS = "imports"
IMPORT = "import"


def import_labels(project: Project, journal: Journal, source: Path) -> StepRow:
    """Take in a file or folder of labels with its images, joints matched by name. Raises AnnotatorError.

    What in it is kept for measuring, or is a proposal of a model of this project, is left out when labels are sorted.
    """
    with journal.locked("annotator round import"):
        rows = journal.steps()
        earlier = [row for row in rows if row.name == IMPORT]
        sha256 = hash_file(source) if source.is_file() else None
        if known := next(
            (row for row in earlier if sha256 and row.inputs["sha256"] == sha256 and row.state == "done"), None
        ):
            raise AnnotatorError(f"{source}: was imported already, as {known.folder}")
        number = len(earlier) + 1
        folder = project.root / IMPORTS / f"import-{number}"
        row = StepRow(
            round=current_round(rows),
            place=0,
            name=IMPORT,
            attempt=number,
            state="running",
            folder=folder.relative_to(project.root).as_posix(),
            inputs={"file": source.name, "sha256": sha256},
            outputs={},
            figures={},
            error=None,
            started=time.time(),
            ended=None,
            process=this_process(),
        )
        journal.begin(row)
        try:
            figures = _take(project, source, folder)
        except Exception as error:
            journal.end(row, "failed", {}, {}, error=f"{type(error).__name__}: {error}")
            raise
        outputs = {f"{row.folder}/{ANNOTATION_FILE}": hash_file(folder / ANNOTATION_FILE)}
        journal.end(row, "done", outputs, figures)
        return replace(row, state="done", outputs=outputs, figures=figures)


def _take(project: Project, source: Path, folder: Path) -> Figures:
    """Write the labels with the project's joints, and the images, as a dataset of ours."""
    data, _ = inspect_labels([LabelSource(source)], project.skeleton, None)
    images = [image for image in data.images if image.file_name in data.files]
    scored = sum(one.score is not None for image in images for one in image.instances)
    if scored:
        raise AnnotatorError(
            f"{source}: {scored} of its subjects have scores, as a model's proposals have; expected labels that people "
            "made: let people correct these in CVAT, and import what they made of them"
        )
    if not any(one.labelled.any() for image in images for one in image.instances):
        raise AnnotatorError(
            f"{source}: got {len(data.images)} images, {len(images)} of them found, and no subject with a joint of "
            f"{', '.join(project.skeleton.joints)}; is it a file of labels, with its images beside it or in its zip?"
        )
    (folder / ANNOTATION_FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    kept = [_copied(image, data, folder, project.config.category) for image in images]
    category = Category(project.config.category, project.skeleton)
    write_bytes(folder / ANNOTATION_FILE, encode_coco(Dataset((category,), tuple(kept))))
    return {
        "file": source.name,
        "images": len(kept),
        "subjects": sum(bool(one.labelled.any()) for image in kept for one in image.instances),
        "images_missing": len(data.images) - len(kept),
    }


def _copied(image: LabelledImage, data: LabelledData, folder: Path, category: str) -> LabelledImage:
    """The image in our folder, under a name without folders, and its labels under our category."""
    name = image.file_name.replace("/", "_").lstrip("._")
    write_bytes(folder / "images" / name, data.files[image.file_name].content())
    return LabelledImage(
        name, image.width, image.height, tuple(replace(one, category=category) for one in image.instances)
    )
