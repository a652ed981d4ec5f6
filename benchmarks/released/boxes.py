"""How many people detectors find, and how many they invent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from annotator.box_evaluation import BoxEvaluation, BoxOptions, boxes_as_json, detect_boxes, measure_boxes
from benchmarks.released.data_sets import (
    STRETCHES,
    coco_people,
    hand_boxed_frames,
    read_boxes,
    standing_people,
    without_people,
    write_frames,
)
from benchmarks.released.models import NamedDetector
from benchmarks.tables import figure_table
from recipes.derive import EMPTY, kept_out
from trainers.detection.boxed_images import BoxedData, BoxedImage
from trainers.runtimes import Execution

FIGURES = {
    "AP": "box AP",
    "AP50": "AP50",
    "recall": "recall",
    "recall_large": "large",
    "recall_medium": "medium",
    "recall_small": "small",
    "recall_whole": "whole",
    "recall_cut_off": "cut off",
    "false_boxes": "false boxes an image",
    "empty_kept_empty": "empty stay empty",
}
_CUT_BORDER_PX = 2
_VIDEO_WITH_PEOPLE, _VIDEO_WITHOUT = "people_one_by_one.mp4", "cars_no_people.mp4"


def report_boxes(
    data: Path, detectors: Sequence[NamedDetector], execution: Execution, limit: int | None
) -> list[dict[str, Any]]:
    """Print a table a data set; the same as plain values."""
    content = []
    with TemporaryDirectory() as folder:
        for name, boxed in _data_sets(data, Path(folder), limit):
            found = {one.name: measure_detector(one, boxed, execution) for one in detectors}
            counts = next(iter(found.values())).counts
            print(f"\n{name}: {counts['images']} images, {counts['subjects']} people\n")
            print(figure_table("", {key: one.figures for key, one in found.items()}, FIGURES), flush=True)
            content.append({"data": name, "detectors": {key: boxes_as_json(one, None) for key, one in found.items()}})
    return content


def measure_detector(detector: NamedDetector, boxed: BoxedData, execution: Execution) -> BoxEvaluation:
    """With the recall of people whom the picture's border cuts off, and of the others, beside all figures."""
    options = BoxOptions()
    with tqdm(total=len(boxed.images), unit="image", desc=detector.name, disable=None) as bar:
        found = detect_boxes(detector.spec, boxed.images, options, execution, bar.update)
    measured = measure_boxes(detector.name, found, boxed.images, options)
    figures = dict(measured.figures)
    for kind, cut_off in (("whole", False), ("cut_off", True)):
        images = [_with_others_ignored(image, cut_off) for image in boxed.images]
        figures[f"recall_{kind}"] = measure_boxes(detector.name, found, images, options).figures["recall"]
    return replace(measured, figures=figures)


def cut_off_by_border(image: BoxedImage) -> np.ndarray:
    """(n,) which of the people in an image."""
    size = np.array(image.size)
    at_start = image.bbox_xyxy[:, :2] < _CUT_BORDER_PX
    return (at_start | (image.bbox_xyxy[:, 2:] > size - _CUT_BORDER_PX)).any(axis=1)


def _with_others_ignored(image: BoxedImage, cut_off: bool) -> BoxedImage:
    chosen = cut_off_by_border(image) == cut_off
    return replace(
        image,
        bbox_xyxy=image.bbox_xyxy[chosen],
        areas=image.areas[chosen],
        ignored_xyxy=np.concatenate([image.ignored_xyxy, image.bbox_xyxy[~chosen]]),
    )


def _data_sets(data: Path, folder: Path, limit: int | None) -> Iterator[tuple[str, BoxedData]]:
    for labelled in (coco_people(data, folder, limit), standing_people(data, folder, limit)):
        yield labelled.name, read_boxes(labelled)
    frames = hand_boxed_frames(data / "videos" / _VIDEO_WITH_PEOPLE, folder)
    boxed = read_boxes(frames)
    yield frames.name, replace(boxed, images=boxed.images[:limit])
    for name in EMPTY:
        files = kept_out((data / name).iterdir())
        yield f"{name}, kept out of training", without_people(files[:limit])
    yield _VIDEO_WITHOUT, without_people(write_frames(data / "videos" / _VIDEO_WITHOUT, folder, limit=limit), STRETCHES)
