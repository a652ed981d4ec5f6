"""Our pipeline as CVAT's auto-annotation function, run by the real cvat-cli on a task of the stand-in server."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np

from cvat_export.atomic import write_bytes
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.cvat_labels import joint_ids
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.server import CvatServer, Login
from cvat_export.shapes import decode_shape
from cvat_export.skeleton import read_skeleton
from demo.cvat_standin import StandInServer
from demo.film import film
from demo.marker_models import write_models
from frame_tools.images import encode_image
from tests.cvat_export.cvat_datasets import push

ROOT = Path(__file__).parents[2]


def test_cvat_cli_puts_our_skeletons_into_a_task(tmp_path, monkeypatch):
    (frame,) = islice(film(), 1)
    detector, pose = write_models(tmp_path / "models")
    out = tmp_path / "out"
    (out / "images").mkdir(parents=True)
    (out / "annotations").mkdir()
    write_bytes(out / "images" / "first.png", encode_image(frame.image, ".png"))
    height, width = frame.image.shape[:2]
    coco = read_skeleton("coco17")
    dataset = Dataset((Category("person", coco),), (LabelledImage("first.png", width, height),))
    write_bytes(out / ANNOTATION_FILE, encode_coco(dataset))
    monkeypatch.chdir(tmp_path)
    with StandInServer() as server:
        monkeypatch.setenv("CVAT_HOST", server.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.token)
        assert push(out)[0] == 0
        (task,) = server.state.tasks
        command = [
            *(Path(sys.executable).with_name("cvat-cli"), "--server-host", server.url, "task", "auto-annotate"),
            *(str(task), "--function-module", "annotator.cvat_function"),
            *("-p", f"detection=str:{detector}", "-p", f"pose=str:{pose}"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0, result.stderr
        shapes = server.state.shapes(task)
        (label,) = CvatServer(Login(server.url, server.token)).labels(task_id=task)
        found = [decode_shape(shape, "person", joint_ids(label, coco)) for shape in shapes]
    assert {shape["source"] for shape in shapes} == {"auto"}
    assert len(found) >= len(frame.people) > 0
    for person in frame.people:
        visible = person.visibility == 2
        errors = [np.abs(one.xy - person.xy).max(axis=1)[visible] for one in found]
        assert min(np.median(error) for error in errors) < 2
