"""What a push has to do: a dataset folder against the record of what was pushed and what is on the server (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cvat_export.local_dataset import LocalDataset, LocalImage
from cvat_export.push_record import PushRecord, are_twins


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
