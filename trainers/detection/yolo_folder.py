"""Images with boxes as the folder that YOLO's trainings read: images/ and, in the same tree, labels/."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cvat_export.errors import CvatExportError
from cvat_export.labels import FloatArray
from frame_tools.errors import FrameToolsError
from frame_tools.images import encode_image, read_image
from trainers.codecs import Size
from trainers.detection.boxed_images import BoxedImage
from trainers.errors import TrainersError
from trainers.image_files import ImageRef
from trainers.training_split import Split

_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_LINKED = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})  # a TIFF may hold several pictures
_LEAST_SIDE_PX = 10  # Ultralytics leaves smaller images out


def write_yolo_folder(folder: Path, split: Split[BoxedImage], notify: Callable[[str], None]) -> None:
    """Write folder/{images,labels}/{train,val}, named by number so that no two sources collide.

    Images are links to the files that were labelled, or copies where Ultralytics would see another picture than we do,
    or write into the file. Raises TrainersError for images that cannot be used; what YOLO's labels cannot say is told.
    """
    parts = {"train": split.training, "val": split.validation}
    for name, images in parts.items():
        for kind in ("images", "labels"):
            (folder / kind / name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images, 1):
            _write_image(folder / "images" / name / f"{number:06d}", image)
            (folder / "labels" / name / f"{number:06d}.txt").write_text(_label_lines(image.bbox_xyxy, image.size))
    for note in _lost([*split.training, *split.validation]):
        notify(note)


def visible_boxes(bbox_xyxy: FloatArray, size: Size) -> FloatArray:
    """The boxes cut off at the image's border; without those that lie outside."""
    cut = np.clip(bbox_xyxy, 0, np.array([*size, *size], np.float32))
    return cut[(cut[:, 2:] > cut[:, :2]).all(axis=1)]


def _label_lines(bbox_xyxy: FloatArray, size: Size) -> str:
    """A line a box: class, then centre, width and height as shares of the image's sides."""
    cut = visible_boxes(bbox_xyxy, size).astype(np.float64)
    shares = np.concatenate([(cut[:, :2] + cut[:, 2:]) / 2, cut[:, 2:] - cut[:, :2]], axis=1) / np.array([*size, *size])
    return "".join(f"0 {x:.8f} {y:.8f} {width:.8f} {height:.8f}\n" for x, y, width, height in shares)


def _write_image(stem: Path, image: BoxedImage) -> None:
    if min(image.size) < _LEAST_SIDE_PX:
        raise TrainersError(
            f"{image.image}: got {image.size[0]} x {image.size[1]} px, expected {_LEAST_SIDE_PX} or more on each side, "
            "which Ultralytics asks for; take it out of the labels"
        )
    try:
        content = image.image.content()
        upright = read_image(str(image.image), content)
    except (FrameToolsError, CvatExportError, OSError) as error:
        raise TrainersError(f"{image.image}: cannot be read: {error}") from error
    suffix = Path(image.file_name if image.image.member is None else image.image.member).suffix.lower()
    if upright.needs_conversion or suffix not in _LINKED:
        stem.with_suffix(".png").write_bytes(encode_image(upright.pixels, ".png"))
    elif image.image.member is None and not _would_be_mended(content):
        _link(stem.with_suffix(suffix), image.image)
    else:
        stem.with_suffix(suffix).write_bytes(content)


def _would_be_mended(content: bytes) -> bool:
    """Whether Ultralytics writes the JPEG anew, through a link if need be: it takes it for cut off."""
    return content.startswith(_JPEG) and not content.endswith(_JPEG_END)


def _link(path: Path, image: ImageRef) -> None:
    try:
        path.symlink_to(image.path.absolute())
    except OSError:  # Windows asks for a right, some file systems have no links
        shutil.copyfile(image.path, path)


def _lost(images: Sequence[BoxedImage]) -> list[str]:
    """What YOLO's labels cannot say, counted."""
    crowded = sum(len(image.ignored_xyxy) > 0 for image in images)
    outside = sum(len(image.bbox_xyxy) - len(visible_boxes(image.bbox_xyxy, image.size)) for image in images)
    notes = [f"{crowded} x image with crowds, which Ultralytics learns as background"] if crowded else []
    return [*notes, *([f"{outside} x box outside its image left out"] if outside else [])]
