"""What the stand-in's own tests share: a connected client, images, small archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvat_sdk import make_client
from cvat_sdk.core.client import Client
from cvat_sdk.core.proxies.tasks import Task
from PIL import Image

from demo.cvat_standin import StandInServer

FORMAT = "COCO Keypoints 1.0"
JOINTS = ("nose", "tail", "paw")


def skeleton_spec(name: str = "dog", joints: Sequence[str] = JOINTS) -> dict[str, Any]:
    """A label as a client sends it, with the drawing that CVAT wants."""
    circles = "".join(
        f'<circle r="0.75" cx="{10 * n}" cy="5" data-type="element node" data-element-id="{n}" data-node-id="{n}" '
        f'data-label-name="{joint}"></circle>'
        for n, joint in enumerate(joints, start=1)
    )
    line = '<line x1="10" y1="5" x2="20" y2="5" data-type="edge" data-node-from="1" data-node-to="2"></line>'
    sublabels = [{"name": joint, "type": "points", "attributes": []} for joint in joints]
    return {"name": name, "type": "skeleton", "attributes": [], "sublabels": sublabels, "svg": line + circles}


@contextmanager
def connected(server: StandInServer) -> Iterator[Client]:
    """The real SDK, logged in, that does not wait between polls."""
    with make_client(server.url, access_token=server.token) as client:
        client.config.status_check_period = 0.001
        yield client


def encode_image(width: int = 32, height: int = 24, kind: str = "PNG") -> bytes:
    """A black image's file."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, kind)
    return stream.getvalue()


def write_images(folder: Path, names: Sequence[str]) -> list[Path]:
    """Images of these names in the folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(encode_image())
    return [folder / name for name in names]


def new_task(client: Client, folder: Path, names: Sequence[str], **fields: Any) -> Task:
    """A project with one skeleton, and a task of images in this order."""
    project = client.projects.create({"name": "dogs", "labels": [skeleton_spec()]})
    spec = {"name": "round-1", "project_id": project.id, **fields}
    return client.tasks.create_from_data(
        spec, write_images(folder, names), data_params={"sorting_method": "predefined"}
    )


def coco(names: Sequence[str], annotations: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """A document of images with ids from 1 and of annotations that need say only what matters."""
    defaults = {"category_id": 1, "bbox": [0, 0, 1, 1], "segmentation": [], "keypoints": [1, 2, 2] * len(JOINTS)}
    rows = [{"id": number, **defaults, **one} for number, one in enumerate(annotations, start=1)]
    return {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names, start=1)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "dog", "keypoints": list(JOINTS), "skeleton": [[1, 2]]}],
        **changes,
    }


def write_archive(path: Path, document: Mapping[str, Any]) -> Path:
    """The document where CVAT looks for it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations/person_keypoints_default.json", json.dumps(document))
    return path


def read_archive(path: Path) -> dict[str, Any]:
    """The one document of an exported archive."""
    with zipfile.ZipFile(path) as archive:
        return dict(json.loads(archive.read("annotations/person_keypoints_default.json")))
