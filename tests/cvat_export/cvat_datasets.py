"""Datasets to push, and the commands that push and pull them, for the tests against the stand-in server."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from annotator.cli import KNOWN_ERRORS
from annotator.commands import pull as pull_command
from annotator.commands import push as push_command
from cvat_export.atomic import write_bytes
from cvat_export.coco import ANNOTATION_FILE, encode_coco, read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton

PROJECT = "Match 12"
COCO = read_skeleton("coco17")
WRITES = ("POST", "PUT", "PATCH", "DELETE")


# A standing figure of height 1 that faces the camera: its left is on the right. Nose, eyes, ears, shoulders, elbows,
# wrists, hips, knees, ankles.
_FIGURE = [(0.0, 0.08)]
_FIGURE += [(side * dx, y) for dx, y in ((0.02, 0.06), (0.05, 0.07)) for side in (1, -1)]
_FIGURE += [(side * dx, y) for dx, y in ((0.12, 0.2), (0.15, 0.36), (0.16, 0.5)) for side in (1, -1)]
_FIGURE += [(side * dx, y) for dx, y in ((0.08, 0.5), (0.09, 0.72), (0.09, 0.94)) for side in (1, -1)]


def person(x, y, size=60.0, score=0.8):
    """A standing figure of that height in pixels, its head at about (x, y); its right ear is not labelled."""
    xy = (np.array(_FIGURE) * size + np.array([x, y])).astype(np.float32)
    visibility = np.full(17, 2, np.uint8)
    visibility[4] = 0
    labelled = xy[visibility > 0]
    bbox = np.concatenate([labelled.min(axis=0) - 5, labelled.max(axis=0) + 7])
    return Instance("person", bbox, xy, visibility, score=score)


def write_out(folder: Path, people: list[list[Instance]], prefix="frame") -> Path:
    """A dataset folder as preannotate writes it."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    images = []
    for number, instances in enumerate(people):
        name = f"{prefix}_{number:03}.jpg"
        pixels = np.full((240, 320, 3), (number * 7) % 255, np.uint8)
        write_bytes(folder / "images" / name, cv2.imencode(".jpg", pixels)[1].tobytes())
        images.append(LabelledImage(name, 320, 240, tuple(instances)))
    dataset = Dataset((Category("person", COCO),), tuple(images))
    write_bytes(folder / ANNOTATION_FILE, encode_coco(dataset))
    return folder


def run(command, *arguments):
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(command.command, [str(argument) for argument in arguments], standalone_mode=False)
    if isinstance(result.exception, KNOWN_ERRORS):
        return 1, result.stdout, f"error: {result.exception}"
    if result.exception:
        raise result.exception
    return result.return_value or 0, result.stdout, result.stderr


def push(folder, *more):
    return run(push_command, folder, "--project", PROJECT, *more)


def pull(output, *more):
    return run(pull_command, "--project", PROJECT, "-o", output, *more)


def changes(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "changes.jsonl").read_text().splitlines()]


def names_on_server(server) -> list[str]:
    names = []
    for task_id in sorted(server.state.tasks):
        names += [frame.name for frame in server.state.tasks[task_id].frames]
    return names


def shapes_on_server(server) -> list[dict]:
    return [shape for task_id in sorted(server.state.tasks) for shape in server.state.shapes(task_id)]


def writes(server) -> list[tuple]:
    return [request for request in server.requests if request[0] in WRITES]


def finish_all(server, stage="acceptance"):
    for job_id in list(server.state.jobs):
        server.state.set_job(job_id, state="completed", stage=stage)


def replay_scenario(server, recorded: Path, out: Path) -> None:
    """Push the six images of the recorded scenario, do to them what was done there, and leave the second job open."""
    write_out(out, [[] for _ in range(6)], prefix="img")
    shutil.copy(recorded / "pushed_person_keypoints_default.json", out / ANNOTATION_FILE)
    assert push(out, "--segment-size", 3)[0] == 0
    (task,) = server.state.tasks
    one = read_coco(out).images[0].instances[0]
    ids = {}
    for shape in server.state.shapes(task):
        ids.setdefault(shape["frame"], []).append(shape["id"])
    first = next(i for i in ids[0] if _nose(server, task, i) == pytest.approx(one.xy[0].tolist(), abs=0.01))
    server.state.edit_joint(task, first, "nose", 5, -3)
    server.state.set_occluded(task, first, "left_wrist")
    for part in ("hip", "knee", "ankle"):
        server.state.swap_joints(task, ids[1][0], f"left_{part}", f"right_{part}")
    server.state.delete_shape(task, ids[2][0])
    for side, x in (("left", 100.0), ("right", 120.0)):
        server.state.place_joint(task, ids[3][0], f"{side}_ankle", x, 200.0)
    server.state.add_skeleton(task, 4, {name: (10.0 + i, 20.0 + i) for i, name in enumerate(COCO.joints)})
    jobs = sorted(server.state.jobs)
    server.state.set_job(jobs[0], state="completed", stage="acceptance")
    server.state.set_job(jobs[1], state="in progress")


def _nose(server, task, shape_id):
    """Where the first joint of a shape is on the server."""
    shape = next(shape for shape in server.state.shapes(task) if shape["id"] == shape_id)
    return min(shape["elements"], key=lambda element: element["label_id"])["points"]
