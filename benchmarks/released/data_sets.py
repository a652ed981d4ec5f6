"""What the released models are measured on, made of the data folder: labelled parts, empty images, frames of videos."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from frame_tools.frame import frame_file_name
from frame_tools.images import encode_image
from frame_tools.video import open_video
from recipes.derive import STANDING_TEST
from trainers.detection.boxed_images import BoxedData, BoxedImage, read_boxed_images
from trainers.image_files import ImageRef, read_size
from trainers.source_reading import LabelSource

STRETCHES = 10  # of a video, which are resampled as wholes: neighbours show the same people in the same place
HAND_BOXES = Path(__file__).parents[2] / "tests" / "truth" / "people_one_by_one_boxes.json"


@dataclass(frozen=True)
class LabelledSet:
    """Images with labels. everybody: whether a person without labels is none; else only who has labels is measured."""

    name: str
    source: LabelSource
    everybody: bool = True


def coco_people(data: Path, folder: Path, limit: int | None = None) -> LabelledSet:
    """The validation part."""
    return _labelled("coco_people, validation", data / "coco_people", "person_keypoints_val.json", folder, limit)


def standing_people(data: Path, folder: Path, limit: int | None = None) -> LabelledSet:
    """The first, one person each."""
    count = min(limit or STANDING_TEST, STANDING_TEST)
    name = f"standing_people, the first {STANDING_TEST}"
    return _labelled(name, data / "standing_people", "person_keypoints.json", folder, count)


def pose_sets(data: Path, folder: Path, limit: int | None = None) -> tuple[LabelledSet, ...]:
    """All with joints; subsets are written into `folder`."""
    sports = _labelled("lspet, validation", data / "lspet", "person_keypoints_val.json", folder, limit)
    return (
        coco_people(data, folder, limit),
        replace(sports, everybody=False),
        standing_people(data, folder, limit),
    )


def write_part(labels: Path, file_names: Collection[str], path: Path) -> Path:
    """A COCO file with only these of the images."""
    content = json.loads(labels.read_text())
    images = [row for row in content["images"] if row["file_name"] in file_names]
    ids = {row["id"] for row in images}
    rows = [row for row in content["annotations"] if row["image_id"] in ids]
    path.write_text(json.dumps({**content, "images": images, "annotations": rows}))
    return path


def read_boxes(labelled: LabelledSet) -> BoxedData:
    """With everybody's box."""
    return read_boxed_images([(labelled.source, labelled.everybody)], leave_out_faulty=True)


def without_people(files: Sequence[Path], stretches: int | None = None) -> BoxedData:
    """Pictures in which nobody is. stretches: into how many they are cut, where they are one video's frames."""
    blocks = np.arange(len(files)) if stretches is None else np.arange(len(files)) * stretches // max(1, len(files))
    images = [_empty(path, str(block)) for path, block in zip(files, blocks, strict=True)]
    return BoxedData("person", tuple(images), (), {})


def hand_boxed_frames(video: Path, folder: Path) -> LabelledSet:
    """Frames of people_one_by_one.mp4 with everybody's box, drawn by hand."""
    labels = folder / HAND_BOXES.name
    labels.write_text(HAND_BOXES.read_text().replace(".jpg", ".png"))  # written without loss, as a video's frames are
    names = {row["file_name"] for row in json.loads(labels.read_text())["images"]}
    found = write_frames(video, folder, names)
    if len(found) != len(names):
        raise SystemExit(
            f"{video}: has {len(found)} of the {len(names)} frames of {HAND_BOXES}: not the video it is for"
        )
    return LabelledSet(f"{video.name}, 100 frames", LabelSource(labels, folder, group=f"time:{STRETCHES}"))


def write_frames(
    video: Path, folder: Path, names: Collection[str] | None = None, limit: int | None = None
) -> list[Path]:
    """Frames as PNG, in order: all, those of these names, or the first."""
    written: list[Path] = []
    with open_video(video) as opened:
        for frame in opened.frames():
            if limit is not None and len(written) >= limit:
                break
            path = folder / frame_file_name(video.stem, frame.id, ".png")
            if names is None or path.name in names:
                path.write_bytes(encode_image(frame.image, ".png"))
                written.append(path)
    return written


def _labelled(name: str, root: Path, file_name: str, folder: Path, limit: int | None) -> LabelledSet:
    labels = root / "annotations" / file_name
    if limit is not None:
        names = [row["file_name"] for row in json.loads(labels.read_text())["images"]]
        labels = write_part(labels, set(names[:limit]), folder / f"{root.name}.json")
    return LabelledSet(name, LabelSource(labels, root / "images"))


def _empty(path: Path, group: str) -> BoxedImage:
    ref = ImageRef(path)
    size, nobody = read_size(ref), np.zeros((0, 4), np.float32)
    return BoxedImage(
        image=ref,
        file_name=path.name,
        group=group,
        size=(size.width, size.height),
        bbox_xyxy=nobody,
        areas=nobody[:, 0],
        ignored_xyxy=nobody,
        complete=True,
        weight=1.0,
    )
