"""How many people detectors find, and how many they invent: python -m benchmarks.detectors DATA [--detection FILE …].

Box AP, recall at IoU 0.5 and boxes around nobody, at a score of 0.25, with 95 % intervals of 1,000 bootstrap resamples
of images: figures of `annotator evaluate --detection`. DATA is the folder of coco_people, standing_people and scenes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from annotator.box_evaluation import BoxEvaluation, BoxOptions, evaluate_boxes
from frame_tools.images import read_image
from trainers.detection.boxed_images import BoxedData, read_boxed_images
from trainers.metrics.bootstrap import Interval
from trainers.runtimes import Execution
from trainers.source_reading import LabelSource

STANDING = 300  # the first, in the order of the file
DETECTORS = ("hog", "models/fastestdet.onnx", "models/blazepose_detection.tflite")
SHOWN = ("AP", "AP50", "recall", "recall_large", "recall_medium", "recall_small", "false_boxes", "empty_kept_empty")


def main() -> None:
    """Print a table a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--detection", action="append", help="instead of hog, FastestDet and BlazePose's")
    parser.add_argument("--precision", default="f32")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        for name, data in _data_sets(arguments.data, Path(folder)):
            print(f"\n{name}\n\n| detector | {' | '.join(SHOWN)} |\n|{'---|' * (len(SHOWN) + 1)}")
            for spec in arguments.detection or _known(arguments.data):
                execution = Execution(precision=arguments.precision)
                print(_row(evaluate_boxes(spec, data, BoxOptions(), execution)), flush=True)


def _data_sets(data: Path, folder: Path) -> Iterator[tuple[str, BoxedData]]:
    people = data / "coco_people"
    yield "coco_people, validation", _read(people / "annotations" / "person_keypoints_val.json", people / "images")
    standing = data / "standing_people"
    found = _read(next((standing / "annotations").glob("*.json")), standing / "images")
    yield f"the first {STANDING} of standing_people", replace(found, images=found.images[:STANDING])
    for name, images in (("scenes/empty", data / "scenes" / "empty"), ("coco_people/negatives", people / "negatives")):
        yield name, _without_people(images, folder / f"{images.name}.json")


def _read(labels: Path, images: Path) -> BoxedData:
    return read_boxed_images([(LabelSource(labels, images), True)], leave_out_faulty=True)


def _without_people(images: Path, labels: Path) -> BoxedData:
    """Pictures that have no labels, as data without subjects."""
    rows = []
    for number, path in enumerate(sorted(images.iterdir()), 1):
        height, width = read_image(path).pixels.shape[:2]
        rows.append({"id": number, "file_name": path.name, "width": width, "height": height})
    # A subject, which is taken out again: labels without any are nothing to learn from, and refused.
    subject = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    content = {"images": rows, "annotations": [subject], "categories": [{"id": 1, "name": "person"}]}
    labels.write_text(json.dumps(content))
    found = _read(labels, images)
    empty = np.zeros((0, 4), np.float32)
    return replace(found, images=tuple(replace(one, bbox_xyxy=empty, areas=empty[:, 0]) for one in found.images))


def _known(data: Path) -> list[str]:
    return [spec if spec == "hog" else str(data / spec) for spec in DETECTORS]


def _row(found: BoxEvaluation) -> str:
    return f"| {Path(found.name).stem} | {' | '.join(_cell(found.figures.get(name)) for name in SHOWN)} |"


def _cell(figure: Interval | None) -> str:
    if figure is None or math.isnan(figure.value):
        return "-"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


if __name__ == "__main__":
    main()
