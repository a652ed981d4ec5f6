"""Corrections as a dataset folder: images, labels that count as truth, and what happened to each proposal."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from annotator.change_rows import CHANGES_FILE, Row, change_lines, count_fates, task_row
from annotator.correction_report import write_correction_report
from annotator.job_links import add_addresses
from annotator.predictions import with_joint_scores, with_models
from annotator.pulled_images import copy_images, pull_images
from cvat_export.archive import write_archive
from cvat_export.atomic import write_bytes, write_json_lines, write_text
from cvat_export.coco import ANNOTATION_FILE, encode_coco, read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.export_reading import read_export
from cvat_export.instance_rows import parse_row
from cvat_export.local_dataset import read_local, unpushed_proposals
from cvat_export.pulling import Finished, pull_export, pull_task
from cvat_export.push_record import PushRecord
from cvat_export.server import CvatServer
from cvat_export.skeleton import parse_skeleton

ERRORS_FILE = "errors.jsonl"
_TASKS = ".tasks"  # what the last pull read of each task, and which frame's each image is


@dataclass(frozen=True)
class Pulled:
    """What is in the folder after a pull. tasks_read: of how many tasks anything had changed since the last one."""

    images: int
    fates: dict[str, int]
    not_finished: int
    tasks: int
    tasks_read: int
    notes: int


def pull_into(
    output: Path,
    server: CvatServer,
    record: PushRecord | None,
    task_ids: Sequence[int],
    rule: Finished,
    progress: Callable[[int], object],
) -> Pulled:
    """Bring the folder up to date with the tasks; what has not changed since the last pull is not read again."""
    (output / _TASKS).mkdir(parents=True, exist_ok=True)
    (output / "images").mkdir(exist_ok=True)
    read = 0
    rows = []
    for task_id in task_ids:
        fingerprint = _fingerprint(server, task_id, rule, record)
        path = output / _TASKS / f"{task_id}.json"
        row = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if row.get("fingerprint") != fingerprint:
            pulled = pull_task(server, task_id, record, rule)
            row = {"fingerprint": fingerprint, **task_row(pulled)}
            write_text(path, json.dumps(row, ensure_ascii=False, allow_nan=False))
            read += 1
        rows.append(row)
    frames = [frame for row in rows for frame in row["frames"]]
    names = _file_names(frames)
    finished = {name: frame for name, frame in zip(names, frames, strict=True) if frame["finished"]}
    pull_images(output / "images", output / _TASKS / "images.json", finished, server, record, progress)
    for name, frame in zip(names, frames, strict=True):
        frame["file_name"] = name
    add_addresses(frames, server.login.host)
    write_corrections(output, rows)
    return _summary(rows, read)


def _summary(rows: Sequence[Row], read: int) -> Pulled:
    frames = [frame for row in rows for frame in row["frames"]]
    return Pulled(
        images=sum(frame["finished"] for frame in frames),
        fates=count_fates(frames),
        not_finished=sum(not frame["finished"] for frame in frames),
        tasks=len(rows),
        tasks_read=read,
        notes=sum(len(row["notes"]) for row in rows),
    )


def pull_file_into(output: Path, export_path: Path, proposals: Path | None, finished: bool) -> Pulled:
    """The same from a file that a person downloaded from CVAT. proposals: the dataset folder that was corrected.

    Images come from the file itself or from the proposals' folder. Raises CvatExportError before anything is written.
    """
    export = read_export(export_path)
    local = None
    if proposals is not None:
        proposed = with_models(with_joint_scores(read_coco(proposals), proposals), proposals)
        local, _ = read_local(proposals, proposed)
    skeletons = {local.category: local.skeleton} if local else {}
    task = pull_export(export, unpushed_proposals(local) if local else {}, skeletons, finished)
    (output / "images").mkdir(parents=True, exist_ok=True)
    row = task_row(task)
    names = [frame["file_name"] for frame in row["frames"] if frame["finished"]]
    missing = copy_images(output / "images", names, export_path, proposals)
    row["frames"] = [frame for frame in row["frames"] if frame["file_name"] not in missing]
    row["notes"] += [f"{name}: its image is not in the file; say --proposals OUT" for name in sorted(missing)]
    write_corrections(output, [row])
    return _summary([row], read=1)


def write_corrections(output: Path, rows: Sequence[Row]) -> None:
    """Write the dataset, changes.jsonl, errors.jsonl, the page and the zip from the rows of all tasks."""
    frames = [frame for row in rows for frame in row["frames"]]
    dataset = _dataset(rows, [frame for frame in frames if frame["finished"]])
    (output / ANNOTATION_FILE).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output / ANNOTATION_FILE, encode_coco(dataset))
    write_json_lines(output / CHANGES_FILE, change_lines(frames))
    notes = [{"file": str(output), "error": note} for row in rows for note in row["notes"]]
    if notes:
        write_json_lines(output / ERRORS_FILE, notes)
    else:
        (output / ERRORS_FILE).unlink(missing_ok=True)
    write_correction_report(output, dataset, frames, count_fates(frames))
    write_archive(output, [image.file_name for image in dataset.images], output.with_name(f"{output.name}.zip"))


def _fingerprint(server: CvatServer, task_id: int, rule: Finished, record: PushRecord | None) -> Any:
    """By which a task is known not to have changed: its jobs, its deleted frames, and what was pushed to it."""
    pushed = record.task_with(task_id) if record else None
    proposals = [proposal for mine in pushed.current.values() for proposal in mine] if pushed else []
    digest = hashlib.sha256(json.dumps(sorted((p.key, p.shape_id) for p in proposals)).encode()).hexdigest()
    jobs = [[job.id, job.stage, job.state, job.assignee, job.updated] for job in server.jobs(task_id)]
    return [rule.value, digest, jobs, [frame.number for frame in server.frames(task_id) if frame.deleted]]


def _dataset(rows: Sequence[Row], frames: Sequence[Row]) -> Dataset:
    skeletons = {name: parse_skeleton(text, name) for row in rows for name, text in row["skeletons"].items()}
    images = tuple(
        LabelledImage(
            frame["file_name"],
            frame["width"],
            frame["height"],
            tuple(
                parse_row(instance["corrected"], instance["category"])
                for instance in frame["instances"]
                if instance["corrected"] is not None
            ),
        )
        for frame in frames
    )
    return Dataset(tuple(Category(name, skeleton) for name, skeleton in skeletons.items()), images)


def _file_names(frames: Sequence[Row]) -> list[str]:
    """A name for each frame that lies in one folder and that no other has."""
    plain = [re.sub(r"[/\\]+", "_", frame["file_name"]).lstrip("._") for frame in frames]
    count = Counter(PurePosixPath(name).stem for name in plain)
    return [
        name if count[PurePosixPath(name).stem] == 1 else f"task{frame['task']}-{frame['frame']}-{name}"
        for frame, name in zip(frames, plain, strict=True)
    ]
