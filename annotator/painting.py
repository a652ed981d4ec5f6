"""Pictures of labels: one set coloured by side, or two sets in two colours."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from annotator.errors import AnnotatorError
from annotator.predictions import with_joint_scores
from cvat_export.atomic import write_bytes, write_text
from cvat_export.coco import read_coco
from cvat_export.dataset import Dataset, LabelledImage
from cvat_export.drawing import PREDICTED_COLOUR, TRUTH_COLOUR, DrawingStyle, RgbImage, draw_instances
from frame_tools.errors import FrameToolsError
from frame_tools.images import encode_image, read_image


@dataclass(frozen=True)
class Painting:
    """What to paint. labels, truth: a dataset folder, a zip, or a COCO JSON. images: where to look for pixels."""

    labels: Path
    truth: Path | None
    images: Path | None
    style: DrawingStyle


@dataclass(frozen=True)
class Painted:
    """How many pictures were written, and for how many labelled images there were no pixels."""

    pictures: int
    missing: int


def paint(painting: Painting, output: Path, overwrite: bool) -> Painted:
    """Write a picture for every image of the labels. Raises AnnotatorError where pictures would be lost."""
    dataset = with_joint_scores(read_coco(painting.labels), painting.labels)
    layers = [(_Labels(dataset), painting.style)]
    if painting.truth is not None:
        layers = [
            (_Labels(read_coco(painting.truth)), replace(painting.style, colour=TRUTH_COLOUR, scores=False)),
            (_Labels(dataset), replace(painting.style, colour=PREDICTED_COLOUR)),
        ]
    if output.exists() and any(output.iterdir()) and not overwrite:
        raise AnnotatorError(f"{output}: is not empty; choose another folder or --overwrite")
    output.mkdir(parents=True, exist_ok=True)
    read = _reader(painting)
    errors = []
    for image in tqdm(dataset.images, unit="image", desc="draw", dynamic_ncols=True):
        try:
            pixels = read(image.file_name)
        except (FrameToolsError, OSError) as error:
            errors.append({"file": image.file_name, "error": str(error)})
            continue
        _check_size(image, pixels)
        for layer, style in layers:
            pixels = layer.draw(pixels, image.file_name, style)
        name = f"{PurePosixPath(image.file_name).stem}.jpg"
        write_bytes(output / name, encode_image(pixels, ".jpg"))
    if errors:
        write_text(output / "errors.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in errors))
    return Painted(len(dataset.images) - len(errors), len(errors))


class _Labels:
    """A set of labels, its images by base name: the two sets of a comparison may differ in suffixes."""

    def __init__(self, dataset: Dataset) -> None:
        self.categories = dataset.categories
        self.images = {_base_name(image.file_name): image for image in dataset.images}

    def draw(self, pixels: RgbImage, file_name: str, style: DrawingStyle) -> RgbImage:
        image = self.images.get(_base_name(file_name))
        if image is None:
            return pixels
        for category in self.categories:
            instances = [instance for instance in image.instances if instance.category == category.name]
            pixels = draw_instances(pixels, instances, category.skeleton, style)
        return pixels


def _check_size(image: LabelledImage, pixels: RgbImage) -> None:
    height, width = pixels.shape[:2]
    if (width, height) != (image.width, image.height):
        raise AnnotatorError(
            f"{image.file_name}: the image is {width}×{height}, its labels were made for {image.width}×{image.height}; "
            "drawing them would put every joint in the wrong place"
        )


def _reader(painting: Painting) -> Callable[[str], RgbImage]:
    labels = painting.labels
    if painting.images is None and labels.is_file() and zipfile.is_zipfile(labels):
        archive = zipfile.ZipFile(labels)
        members = {_base_name(name): name for name in archive.namelist() if name.startswith("images/")}
        return lambda name: read_image(Path(name), archive.read(_member(members, name, labels))).pixels
    folders = [painting.images] if painting.images else [*_image_folders(labels)]
    return lambda name: read_image(_find(name, folders)).pixels


def _member(members: Mapping[str, str], name: str, archive: Path) -> str:
    if _base_name(name) not in members:
        raise FileNotFoundError(f"{name}: not in {archive}; say --images FOLDER")
    return members[_base_name(name)]


def _image_folders(labels: Path) -> Iterator[Path]:
    """Where the images of a dataset usually are, seen from its folder or its JSON."""
    root = labels if labels.is_dir() else labels.parent
    for folder in (root, root.parent):
        yield from (folder / "images", folder / "images" / "default", folder)


def _find(name: str, folders: list[Path]) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{name}: not in {', '.join(map(str, folders))}; say --images FOLDER")


def _base_name(name: str) -> str:
    return PurePosixPath(name).stem
