"""Steps that divide: what is learnt from, what is measured by, and what in the labels would hurt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from annotator.change_rows import read_changes
from annotator.errors import AnnotatorError
from annotator.known_frames import file_key
from annotator.review.tags import BAD_FRAME, tag_file
from annotator.rounds.calling import call
from annotator.rounds.choosing import evaluation_frames
from annotator.rounds.correcting import CORRECTED, OUT
from annotator.rounds.step import CurrentRound, Done, Step, hash_file
from annotator.truth import (
    PULL_AGAIN,
    Division,
    LabelledFrame,
    LeftOut,
    Proposed,
    check_truth,
    divide,
    without_proposals,
)
from cvat_export.atomic import write_bytes, write_json_lines
from cvat_export.coco import ANNOTATION_FILE, encode_coco, read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from frame_tools.images import read_manifest
from trainers.image_files import ImageRef
from trainers.near_doubles import PicturePrint, picture_print
from trainers.splits import image_groups

PULLED = "pulled"
EVALUATION_FILE, LEFT_OUT_FILE = "evaluation.json", "left_out.jsonl"
_FEW_GROUPS, _TIME_BLOCKS = 4, 10


def _sort_inputs(here: CurrentRound) -> dict[str, Any]:
    return {
        "labels": here.done("pull").outputs,
        "imports": [row.outputs for row in here.every("import")],
        "apart_seconds": here.project.config.frames.apart_seconds,
        "bad_frames": tag_file(here.project.root).names(BAD_FRAME),
    }


def _sort(here: CurrentRound, folder: Path) -> Done:
    """Divide everything that people made into what is learnt from and what is measured by."""
    folder.mkdir(parents=True, exist_ok=True)
    frames, left_out = _labelled_frames(here)
    bad_frames = set(map(file_key, tag_file(here.project.root).names(BAD_FRAME)))
    division = divide(frames, _drawn(here), here.journal.frames(), here.project.config.frames.apart_seconds, bad_frames)
    outputs = [folder / EVALUATION_FILE, *(folder / f"{origin}.json" for origin in division.training)]
    _write_labels(here, folder / EVALUATION_FILE, division.evaluation)
    for origin, images in division.training.items():
        _write_labels(here, folder / f"{origin}.json", images)
    write_json_lines(folder / LEFT_OUT_FILE, map(asdict, (*left_out, *division.left_out)))
    figures = _division_figures(here, division, len(left_out))
    if not figures["training_subjects"]:
        raise AnnotatorError(
            f"{folder}: nothing to learn from: {figures['training_images']} images that people have finished hold no "
            f"labelled subject; {figures['left_out']} were left out, see {folder / LEFT_OUT_FILE}. Once there is more, "
            f"{PULL_AGAIN}"
        )
    if not figures["evaluation_subjects"]:
        raise AnnotatorError(
            f"{folder}: nothing to measure by: of {figures['evaluation_drawn']} images that are kept for measuring "
            f"people have finished {figures['evaluation_images']}, and they hold no labelled subject. Once there is "
            f"more, {PULL_AGAIN}"
        )
    return Done(figures, outputs)


def _labelled_frames(here: CurrentRound) -> tuple[list[LabelledFrame], list[LeftOut]]:
    """What was pulled and imported; imports without what models proposed."""
    corrected = here.project.root / CORRECTED
    _check_unchanged(here)
    dataset = read_coco(corrected)
    check_truth(dataset, read_changes(corrected), str(corrected))
    frames, left_out = list(_frames_of(PULLED, corrected, dataset)), []
    proposed = _proposed(here)
    for row in here.every("import"):
        place = here.project.root / row.folder
        for frame in _frames_of(place.name, place, read_coco(place)):
            kept, notes = without_proposals(frame, proposed)
            frames.append(kept)
            left_out += notes
    return frames, left_out


def _drawn(here: CurrentRound) -> dict[str, PicturePrint]:
    """The pictures of the evaluation set."""
    folder = evaluation_frames(here)
    return {entry.file: picture_print(ImageRef(folder / entry.file)) for entry in read_manifest(folder)}


def _check_unchanged(here: CurrentRound) -> None:
    """Whether the labels are those that were pulled. Raises AnnotatorError."""
    for name, sha256 in here.done("pull").outputs.items():
        path = here.project.root / name
        if not path.is_file() or hash_file(path) != sha256:
            raise AnnotatorError(
                f"{path}: is not as it was pulled: labels are corrected in CVAT, not here; {PULL_AGAIN}"
            )


def _frames_of(origin: str, folder: Path, dataset: Dataset) -> Iterator[LabelledFrame]:
    for image in dataset.images:
        yield LabelledFrame(origin, image, picture_print(ImageRef(folder / "images" / image.file_name)))


def _proposed(here: CurrentRound) -> Proposed:
    """In all rounds, also where that was taken back: it may be in CVAT, or with somebody."""
    folders = [here.project.root / row.folder / OUT for row in here.rows if row.name == "propose"]
    datasets = [read_coco(folder) for folder in folders if (folder / ANNOTATION_FILE).is_file()]
    instances = [one for dataset in datasets for image in dataset.images for one in image.instances]
    return Proposed.of(instances, len(here.project.skeleton.joints))


def _write_labels(here: CurrentRound, path: Path, images: Sequence[LabelledImage]) -> None:
    category = Category(here.project.config.category, here.project.skeleton)
    write_bytes(path, encode_coco(Dataset((category,), tuple(images))))


def _division_figures(here: CurrentRound, division: Division, lost: int) -> dict[str, Any]:
    training = [image for images in division.training.values() for image in images]
    return {
        "training_images": len(training),
        "training_subjects": sum(_labelled(image) for image in training),
        "evaluation_images": len(division.evaluation),
        "evaluation_subjects": sum(map(_labelled, division.evaluation)),
        "evaluation_drawn": len(here.journal.frames("evaluation")),
        "left_out": lost + len(division.left_out),
    }


def _labelled(image: LabelledImage) -> int:
    return sum(bool(one.labelled.any()) for one in image.instances)


def label_sources(here: CurrentRound) -> list[dict[str, Any]]:
    """The labels to learn from, as a training's config names them."""
    found = []
    for path in sorted(map(Path, here.done("sort").outputs)):
        if path.name != EVALUATION_FILE:
            origin = path.stem
            images = CORRECTED if origin == PULLED else f"imports/{origin}"
            place = here.project.root / path
            found.append(
                {"path": str(place), "images": str(here.project.root / images / "images"), "group": _group(place)}
            )
    return found


def _group(labels: Path) -> str:
    """What is not divided when a training keeps something for validation: videos, or stretches where they are few."""
    images = read_coco(labels).images
    groups, _ = image_groups(images, "auto", str(labels))
    return "auto" if len(set(groups)) >= _FEW_GROUPS or len(images) < 2 else f"time:{min(_TIME_BLOCKS, len(images))}"


def _check(here: CurrentRound, folder: Path) -> Done:
    """What in the labels would hurt; a training leaves faulty ones out, and people should know."""
    counts = {"errors": 0, "warnings": 0}
    outputs = []
    for source in label_sources(here):
        part = folder / Path(source["path"]).stem
        shutil.rmtree(part, ignore_errors=True)  # of a check that was stopped: half a folder is nobody's to `check`
        found = call("check", source["path"], "--images", source["images"], "-o", part)["training"]
        counts = {kind: counts[kind] + found[kind] for kind in counts}
        outputs.append(part / "problems.jsonl")
    return Done(counts, outputs)


SORT = Step("sort", _sort_inputs, _sort)
CHECK = Step("check", lambda here: {"labels": here.done("sort").outputs}, _check)
