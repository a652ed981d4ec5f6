"""One labelled file as it is read: its images with names of their own, and the instances of one category."""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.export_reading import read_export
from cvat_export.label_files import open_label_files
from cvat_export.skeleton import Skeleton
from trainers.errors import TrainersError
from trainers.image_files import ImagePlaces, image_places

_LISTED = 5  # names that an error lists


@dataclass(frozen=True)
class LabelSource:
    """What a user says of one file.

    path: COCO JSON, CVAT XML, Datumaro JSON, a zip of one of them, its folder, or a pulled folder. images: the folder
    of its images where they are not beside it. weight: of each of its subjects in training. group: see `splits`.
    """

    path: Path
    images: Path | None = None
    weight: float = 1.0
    group: str = "auto"


@dataclass(frozen=True)
class ReadSource:
    """One file as it was read: images with names that are unique in it, and the wanted category's instances alone."""

    label: LabelSource
    name: str
    places: ImagePlaces
    category: Category
    images: tuple[LabelledImage, ...]
    subsets: tuple[str | None, ...]
    names_in_file: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def own(self) -> Skeleton:
        """The joints of a category that has some."""
        assert self.category.skeleton is not None
        return self.category.skeleton


def read_sources(labels: Sequence[LabelSource], category: str | None, needs_joints: bool = True) -> list[ReadSource]:
    """Each of the files, at least one. category: of their subjects, that of the first one unless given.

    Raises TrainersError for sources that cannot be read together.
    """
    _check_sources(labels)
    choose = _choose_category if needs_joints else _choose_boxed_category
    read: list[ReadSource] = []
    for label, name in zip(labels, _source_names([label.path for label in labels]), strict=True):
        dataset, notes = _read_dataset(label, needs_joints)
        chosen = choose(dataset, label.path, category, read[0].category.name if read else None)
        read.append(_read_source(label, name, dataset, chosen, notes))
    return read


def _check_sources(sources: Sequence[LabelSource]) -> None:
    if not sources:
        raise TrainersError("labels: got no file, expected at least one COCO, CVAT or Datumaro file with labels")
    seen: set[Path] = set()
    for source in sources:
        if not (math.isfinite(source.weight) and source.weight > 0):
            raise TrainersError(f"{source.path}: got the weight {source.weight}, expected a number above 0")
        if source.images is not None and not source.images.is_dir():
            raise TrainersError(f"{source.images}: no such folder; expected the images of {source.path}")
        if source.path.resolve() in seen:
            raise TrainersError(f"{source.path}: given twice; name it once, with a weight to count more")
        seen.add(source.path.resolve())


def _read_dataset(label: LabelSource, needs_joints: bool) -> tuple[Dataset, tuple[str, ...]]:
    root = label_root(label.path)
    export = read_export(root, needs_joints)
    notes = [f"{label.path}: {note}" for note in export.notes]
    subsets = sorted({str(subset) for image in export.dataset.images if (subset := image.extra.get("subset"))})
    if root.is_dir() and len(subsets) > 1:
        notes.append(f"{label.path}: the label files {', '.join(subsets)} are taken together")
    return export.dataset, tuple(notes)


def label_root(path: Path) -> Path:
    """Of a dataset folder its annotations/: beside it lie records of our own that are no labels."""
    return path / "annotations" if (path / "annotations").is_dir() else path


def _choose_category(dataset: Dataset, path: Path, named: str | None, first: str | None) -> Category:
    """named: by the user. first: that of the first source, which others have by another name where they have one."""
    jointed = [category for category in dataset.categories if category.skeleton is not None]
    for category in jointed:
        if category.name == (named or first):
            return category
    known = ", ".join(category.name for category in jointed) or "none"
    if named is not None:
        without = " (it has no joints)" if named in {category.name for category in dataset.categories} else ""
        raise TrainersError(f"{path}: got no category {named!r} with joints{without}, expected one of: {known}")
    if len(jointed) != 1:
        raise TrainersError(
            f"{path}: got {len(jointed)} categories with joints ({known}), expected one; say which with a category name"
        )
    return jointed[0]


def _choose_boxed_category(dataset: Dataset, path: Path, named: str | None, first: str | None) -> Category:
    """As `_choose_category`, whether it has joints or not."""
    for category in dataset.categories:
        if category.name == (named or first):
            return category
    known = ", ".join(category.name for category in dataset.categories) or "none"
    if named is not None:
        raise TrainersError(f"{path}: got no category {named!r}, expected one of: {known}")
    if len(dataset.categories) == 1:
        return dataset.categories[0]
    return _choose_category(dataset, path, None, None)


def _read_source(
    label: LabelSource, name: str, dataset: Dataset, category: Category, notes: tuple[str, ...]
) -> ReadSource:
    _check_ids(dataset, label.path)
    others = Counter(i.category for image in dataset.images for i in image.instances if i.category != category.name)
    left_out = tuple(
        f"{label.path}: {count} x subject of category {other!r} left out" for other, count in others.items()
    )
    subsets = tuple(image.extra.get("subset") for image in dataset.images)
    twice = {name for name, count in Counter(image.file_name for image in dataset.images).items() if count > 1}
    images = tuple(
        replace(
            image,
            file_name=f"{subset}/{image.file_name}" if image.file_name in twice else image.file_name,
            instances=tuple(i for i in image.instances if i.category == category.name),
        )
        for image, subset in zip(dataset.images, subsets, strict=True)
    )
    return ReadSource(
        label=label,
        name=name,
        places=image_places(label.path, label.path.is_file() and zipfile.is_zipfile(label.path), label.images),
        category=category,
        images=images,
        subsets=subsets,
        names_in_file=tuple(image.file_name for image in dataset.images),
        notes=(*notes, *left_out),
    )


def _check_ids(dataset: Dataset, path: Path) -> None:
    """Of two images with one id the labels of both would go to one, and silently none to the other."""
    for key, what in (("id", "id"), (None, "name")):
        values = [
            (image.extra.get("subset"), image.file_name if key is None else image.extra.get(key))
            for image in dataset.images
        ]
        counts = Counter(value for value in values if value[1] is not None)
        twice = [value for value, count in counts.items() if count > 1]
        if twice:
            names = [image.file_name for image, value in zip(dataset.images, values, strict=True) if value == twice[0]]
            raise TrainersError(
                f"{path}: the {what} {twice[0][1]!r} stands for {len(names)} images ({', '.join(names[:_LISTED])}), "
                f"expected one each, and so for {len(twice)} {what}s; export the tasks one by one, or write the file "
                "again with an id for each image"
            )


def _source_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each source that no other has."""
    stems = [path.stem if path.suffix else path.name for path in paths]
    folders = [next((p.name for p in path.resolve().parents if p.name != "annotations"), "") for path in paths]
    count = Counter(stems)
    names = [stem if count[stem] == 1 else f"{f}-{stem}" for stem, f in zip(stems, folders, strict=True)]
    count = Counter(names)
    return [name if count[name] == 1 else f"{name}-{number}" for number, name in enumerate(names, 1)]


def own_names(read: Sequence[ReadSource]) -> list[tuple[str, ...]]:
    """For each source a name of each image that no other has: as in the file, or with the source's name before it."""
    counts = Counter(image.file_name for source in read for image in source.images)
    return [
        tuple(
            image.file_name if counts[image.file_name] == 1 else f"{source.name}/{image.file_name}"
            for image in source.images
        )
        for source in read
    ]


def source_sha256(path: Path) -> str:
    """Of a file's bytes; of a folder's label files, one after the other."""
    digest = hashlib.sha256()
    if path.is_dir():
        with open_label_files(label_root(path)) as files:
            for file in files:
                for chunk in file.stream():
                    digest.update(chunk)
    else:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
