"""What a push has to do: a dataset folder against the record of what was pushed and what is on the server (pure)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, UnidentifiedImageError

from cvat_export.archive import import_problems
from cvat_export.coco import format_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.push_record import PushedImage, PushedProposal, PushRecord, are_twins, proposal_key
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


@dataclass(frozen=True, eq=False)
class PushPlan:
    """new_tasks: name -> images. unfinished: tasks of the record whose push was interrupted, by name.

    append, replace: task -> images whose proposals are sent. held_back: images of which the server has other
    proposals. foreign: images that are in tasks which this record did not make. gone: tasks deleted on the server.
    """

    new_tasks: dict[str, tuple[LocalImage, ...]]
    unfinished: tuple[str, ...]
    append: dict[str, tuple[LocalImage, ...]]
    replace: dict[str, tuple[LocalImage, ...]]
    held_back: tuple[str, ...]
    foreign: tuple[str, ...]
    gone: tuple[str, ...]
    unchanged: int
    problems: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the server has everything already."""
        return not (self.new_tasks or self.unfinished or self.append or self.replace)


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


def make_plan(
    local: LocalDataset,
    record: PushRecord,
    project: str,
    task_size: int,
    remote_tasks: Collection[tuple[int, str]],
    remote_images: Collection[str],
    replace_untouched: bool,
) -> PushPlan:
    """remote_tasks: id and name of each task of the project. remote_images: names in those the record did not make."""
    known, images = record.images, {image.name: image for image in local.images}
    problems = [
        f"image {name}: was pushed before with other content; give the new one another name"
        for name, image in images.items()
        if name in known and known[name][1].sha256 != image.pushed.sha256
    ]
    fresh = [image for image in local.images if image.name not in known and image.name not in remote_images]
    new_tasks = dict(_named_tasks(fresh, project, record, task_size))
    problems += [
        f"task {name!r}: is on the server but was not made from here: another push of these images is running or was "
        "given up; let it finish, or delete that task in CVAT"
        for name in new_tasks
        if any(are_twins(name, there) for _, there in remote_tasks)
    ]
    ids = {task_id for task_id, _ in remote_tasks}
    gone = tuple(task.name for task in record.tasks.values() if task.filled and task.id not in ids)
    unfinished = tuple(task.name for task in record.tasks.values() if not task.filled)
    append: dict[str, list[LocalImage]] = {}
    replace: dict[str, list[LocalImage]] = {}
    held_back, unchanged = [], 0
    for name in images.keys() & known.keys():
        task, image = known[name][0], images[name]
        current = {proposal.key for proposal in task.current[name]}
        if task.name in gone:
            continue
        if current == image.proposals.keys():
            unchanged += 1
        elif not current or task.sending.keys() & image.proposals.keys():
            append.setdefault(task.name, []).append(image)
        elif replace_untouched:
            replace.setdefault(task.name, []).append(image)
        else:
            held_back.append(name)
    return PushPlan(
        new_tasks=new_tasks,
        unfinished=unfinished,
        append={name: tuple(sorted(rows, key=lambda image: image.name)) for name, rows in append.items()},
        replace={name: tuple(sorted(rows, key=lambda image: image.name)) for name, rows in replace.items()},
        held_back=tuple(sorted(held_back)),
        foreign=tuple(sorted(images.keys() & set(remote_images) - known.keys())),
        gone=gone,
        unchanged=unchanged,
        problems=tuple(problems),
    )


def task_images(images: Iterable[LocalImage]) -> list[dict[str, Any]]:
    """Images as the record's event "task planned" holds them."""
    return [vars(image.pushed) for image in images]


def _named_tasks(
    images: Sequence[LocalImage], project: str, record: PushRecord, task_size: int
) -> Iterator[tuple[str, tuple[LocalImage, ...]]]:
    """Tasks named by their content and their maker, see `are_twins`."""
    for number, start in enumerate(range(0, len(images), task_size), start=len(record.tasks) + 1):
        group = tuple(images[start : start + task_size])
        content = json.dumps([[image.name, image.pushed.sha256] for image in group])
        yield f"{project} {number:03} {hashlib.sha256(content.encode()).hexdigest()[:8]}-{record.owner}", group


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
