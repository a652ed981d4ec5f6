"""A dataset folder as it is pushed: images with their hashes, proposals with their keys, what is wrong with either."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image, UnidentifiedImageError

from cvat_export.archive import import_problems
from cvat_export.coco import format_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.push_record import PushedImage, PushedProposal, proposal_key
from cvat_export.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class LocalImage:
    """An image of the folder that is pushed, with its proposals by key."""

    pushed: PushedImage
    proposals: dict[str, Instance]

    @property
    def name(self) -> str:
        return self.pushed.name


@dataclass(frozen=True, eq=False)
class LocalDataset:
    """What is to be pushed: images in order, with the proposals of one category."""

    category: str
    skeleton: Skeleton
    images: tuple[LocalImage, ...]


def read_local(folder: Path, dataset: Dataset) -> tuple[LocalDataset, tuple[str, ...]]:
    """The dataset of a folder and what is wrong with it, every problem with its fix. Raises CvatExportError."""
    category = _only_category(dataset, folder)
    problems = [f"{folder}: {problem}" for problem in import_problems(format_coco(dataset))]
    problems += _numeric_names(dataset.images)
    images = []
    for image in dataset.images:
        path = folder / "images" / image.file_name
        problems += _file_problems(path, image)
        content = path.read_bytes() if path.is_file() else b""
        pushed = PushedImage(
            PurePosixPath(image.file_name).name,
            hashlib.sha256(content).hexdigest(),
            image.width,
            image.height,
            str(path.absolute()),
        )
        images.append(LocalImage(pushed, _keyed(pushed, image.instances)))
    assert category.skeleton is not None
    return LocalDataset(category.name, category.skeleton, tuple(images)), tuple(problems)


def unpushed_proposals(local: LocalDataset) -> dict[str, list[PushedProposal]]:
    """The proposals of a folder by image, without suffix, as if they had been pushed: for corrections without ids."""
    return {
        PurePosixPath(image.name).stem: [
            PushedProposal(key, image.name, 0, instance) for key, instance in image.proposals.items()
        ]
        for image in local.images
    }


def _keyed(image: PushedImage, instances: Iterable[Instance]) -> dict[str, Instance]:
    """Instances by key; of equal ones each has its own."""
    seen: Counter[str] = Counter()
    keyed = {}
    for instance in instances:
        key = proposal_key(image.sha256, image.name, instance)
        seen[key] += 1
        keyed[key if seen[key] == 1 else f"{key}-{seen[key]}"] = instance
    return keyed


def _only_category(dataset: Dataset, folder: Path) -> Category:
    with_skeleton = [category for category in dataset.categories if category.skeleton is not None]
    if len(with_skeleton) != 1 or len(dataset.categories) != 1:
        names = ", ".join(category.name for category in dataset.categories) or "none"
        raise CvatExportError(f"{folder}: expected one category, with joints; got {names}; push each in a project")
    return with_skeleton[0]


def _numeric_names(images: Iterable[LabelledImage]) -> Iterator[str]:
    for image in images:
        if PurePosixPath(image.file_name).stem.isdecimal():
            yield (
                f"image {image.file_name}: CVAT takes a numeric name for a frame number when it imports labels; "
                f"rename it, say to frame_{PurePosixPath(image.file_name).name}"
            )


def _file_problems(path: Path, image: LabelledImage) -> Iterator[str]:
    try:
        with Image.open(path) as opened:
            size = opened.size
    except FileNotFoundError:
        yield f"{path}: the image is missing; run preannotate again"
    except (UnidentifiedImageError, OSError) as error:
        yield f"{path}: cannot be read as an image ({error}); copy it again"
    else:
        if size != (image.width, image.height):
            yield (
                f"{path}: has {size[0]}x{size[1]} pixels, its labels were made for {image.width}x{image.height}; "
                "push the images that the labels belong to"
            )
