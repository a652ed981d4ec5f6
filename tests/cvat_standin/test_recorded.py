"""The stand-in answers as the recorded server did."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import make_client
from cvat_sdk.core.client import Client
from PIL import Image

from demo.cvat_standin import StandInServer

pytestmark = pytest.mark.shared_data

FORMAT = "COCO Keypoints 1.0"
FIRST_IDS = {"project": 3, "task": 4, "job": 4, "label": 37, "shape": 217, "issue": 2}  # of the recorded server
CHANGING = re.compile(r"(.*_date|color|description|key|url|logo_url|result_url)$")
SCENARIOS = (
    "log in with a wrong password",
    "log in",
    "create a project",
    "create a task with 6 images",
    "import pre-annotations",
    "read annotations",
    "labels, jobs, frames",
    "import with an unmatched image name",
    "import with an unknown label",
    "import with an unknown joint",
    "import without bbox",
    "import with an unknown top-level key",
    "import in an unknown format",
    "people correct (edits through the API as the web page makes them)",
    "first job completed and accepted, second still in annotation",
    "export annotations",
    "export the accepted job",
    "export the project",
    "append mode",
    "a second task whose images share a basename",
    "a task that does not exist",
    "open an issue at a frame",
)


@dataclass(frozen=True)
class Pair:
    """One recorded exchange and what the stand-in answered to the same request."""

    recorded: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_unfinished(self) -> bool:
        text = (self.recorded["response_body"] or {}).get("text", "")
        return "/api/requests/" in self.recorded["url"] and json.loads(text)["status"] in ("queued", "started")


def jpeg(value: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (320, 240), (value, value, value)).save(stream, "JPEG")
    return stream.getvalue()


class Replay:
    """Sends recorded requests; the names of uploads are the stand-in's own."""

    def __init__(self, server: StandInServer) -> None:
        self._server = server
        self._uploads: dict[str, str] = {}

    def send(self, exchange: dict[str, Any], names: list[str]) -> Pair:
        url = exchange["url"]
        for recorded, own in self._uploads.items():
            url = url.replace(recorded, own)
        headers = {**exchange["request_headers"], "Authorization": f"Bearer {self._server.token}"}
        body = _body(exchange, names)
        if "Upload-Multiple" in headers:
            headers["Content-Type"] = "multipart/form-data; boundary=limit"
        host = self._server.url.removeprefix("http://")
        connection = HTTPConnection(host)
        connection.request(exchange["method"], url, body=body, headers=headers)
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        pair = Pair(exchange, response.status, answered, response.read())
        connection.close()
        if "upload-filename" in answered:
            self._uploads[exchange["response_headers"]["upload-filename"]] = answered["upload-filename"]
        return pair


def _body(exchange: dict[str, Any], names: list[str]) -> bytes:
    recorded = exchange["request_body"] or {}
    if "sha256" in recorded:
        head = '--limit\r\nContent-Disposition: form-data; name="client_files[{}]"; filename="{}"\r\n\r\n'
        parts = [head.format(index, name).encode() + jpeg() + b"\r\n" for index, name in enumerate(names)]
        return b"".join(parts) + b"--limit--\r\n"
    return base64.b64decode(recorded["base64"]) if "base64" in recorded else recorded.get("text", "").encode()


def replay_all(exchanges: list[dict[str, Any]]) -> list[Pair]:
    pairs = []
    with StandInServer() as server:
        server.state.continue_ids(**FIRST_IDS)
        replay = Replay(server)
        for position, exchange in enumerate(exchanges):
            later = (other["url"].startswith("/api/requests/") for other in exchanges[position + 1 :])
            server.state.polls = next((n for n, is_poll in enumerate(later) if not is_poll), 0) - 1
            names = [f"img_{number:03}.jpg" for number in range(6)]
            if exchange["scenario"] == "a second task whose images share a basename":
                names = ["one/img.jpg", "two/img.jpg"]
            pairs.append(replay.send(exchange, names))
    return pairs


@pytest.fixture(scope="module")
def exchanges(shared_data: Path) -> list[dict[str, Any]]:
    lines = (shared_data / "cvat" / "exchanges.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def pairs(exchanges: list[dict[str, Any]]) -> list[Pair]:
    return replay_all(exchanges)


def shape_of(value: Any) -> Any:
    """The keys and types of a JSON value; of a list those of its entries."""
    if isinstance(value, dict):
        return {key: shape_of(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape_of(entry) for entry in value]
    return type(value).__name__


def steady(value: Any) -> Any:
    """The value without dates, colours and secrets, and with joints in the order of their ids."""
    if isinstance(value, dict):
        kept = {key: steady(entry) for key, entry in value.items() if not CHANGING.match(key)}
        return kept | ({"elements": sorted(kept["elements"], key=lambda e: e["id"])} if kept.get("elements") else {})
    return [steady(entry) for entry in value] if isinstance(value, list) else value


def test_every_recorded_scenario_is_replayed(exchanges: list[dict[str, Any]]) -> None:
    assert tuple(dict.fromkeys(exchange["scenario"] for exchange in exchanges)) == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_replay_is_answered_as_recorded(pairs: list[Pair], scenario: str) -> None:
    for pair in (pair for pair in pairs if pair.recorded["scenario"] == scenario):
        where = f"{pair.recorded['method']} {pair.recorded['url']}"
        assert pair.status == pair.recorded["status"], where
        recorded_headers = pair.recorded["response_headers"]
        assert pair.headers.get("content-type") == recorded_headers.get("content-type"), where
        assert {"location", "upload-offset", "tus-resumable"} & set(pair.headers) == {
            "location",
            "upload-offset",
            "tus-resumable",
        } & set(recorded_headers), where
        text = (pair.recorded["response_body"] or {}).get("text", "")
        if "json" in recorded_headers.get("content-type", ""):
            check_json(pair, json.loads(pair.body), json.loads(text), where)
        elif pair.recorded["response_body"]:
            assert pair.body.decode() == text, where


def check_json(pair: Pair, own: Any, recorded: Any, where: str) -> None:
    if pair.is_unfinished:
        assert own["status"] in ("queued", "started"), where
        assert set(own) == set(recorded), where
        return
    assert shape_of(own) == shape_of(recorded), where
    assert steady(own) == steady(recorded), where


@pytest.mark.parametrize("target", ["task", "job", "project"])
def test_replayed_export_is_the_recorded_file(pairs: list[Pair], shared_data: Path, target: str) -> None:
    (pair,) = (pair for pair in pairs if pair.recorded["url"].startswith(f"/api/{target}s/") and _is_download(pair))
    assert _document(pair.body) == _document((shared_data / "cvat" / f"exported_{target}.zip").read_bytes())


def _is_download(pair: Pair) -> bool:
    return "/dataset/download?" in pair.recorded["url"]


def _document(content: bytes) -> tuple[list[str], str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist(), archive.read("annotations/person_keypoints_default.json").decode()


@contextmanager
def connected(server: StandInServer) -> Iterator[Client]:
    with make_client(server.url, access_token=server.token) as client:
        client.config.status_check_period = 0.001
        yield client


def test_sdk_drives_the_recorded_scenario(shared_data: Path, exchanges: list[dict[str, Any]], tmp_path: Path) -> None:
    images = [tmp_path / f"img_{number:03}.jpg" for number in range(6)]
    for number, image in enumerate(images):
        image.write_bytes(jpeg(number))
    archive = tmp_path / "pushed.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        pushed = shared_data / "cvat" / "pushed_person_keypoints_default.json"
        zipped.write(pushed, "annotations/person_keypoints_default.json")
    project_spec = next(json.loads(e["request_body"]["text"]) for e in exchanges if e["url"] == "/api/projects")
    with StandInServer() as server, connected(server) as client:
        project = client.projects.create(project_spec)
        task = client.tasks.create_from_data(
            {"name": "round-1", "project_id": project.id, "segment_size": 3},
            images,
            data_params={"image_quality": 95, "sorting_method": "predefined"},
        )
        task.import_annotations(FORMAT, archive)
        correct_as_people_did(server, task.id, exchanges)
        second, first = task.get_jobs()
        first.update({"state": "completed"})
        first.update({"stage": "acceptance"})
        second.update({"state": "in progress"})
        assert (first.state, first.stage, first.status) == ("new", "acceptance", "validation")
        for target, noun in ((task, "task"), (first, "job"), (project.fetch(), "project")):
            path = target.export_dataset(FORMAT, tmp_path / f"{noun}.zip", include_images=False)
            recorded = (shared_data / "cvat" / f"exported_{noun}.zip").read_bytes()
            assert _document(path.read_bytes()) == _document(recorded)


def correct_as_people_did(server: StandInServer, task_id: int, exchanges: list[dict[str, Any]]) -> None:
    state = server.state
    by_frame = {shape["frame"]: shape["id"] for shape in state.shapes(task_id)}  # of frame 0 the older, listed last
    state.edit_joint(task_id, by_frame[0], "nose", 5, -3)
    state.set_occluded(task_id, by_frame[0], "left_wrist")
    for joint in ("hip", "knee", "ankle"):
        state.swap_joints(task_id, by_frame[1], f"left_{joint}", f"right_{joint}")
    state.delete_shape(task_id, by_frame[2])
    state.place_joint(task_id, by_frame[3], "left_ankle", 110, 150)
    state.place_joint(task_id, by_frame[3], "right_ankle", 130, 150)
    created = next(e for e in exchanges if e["url"].endswith("?action=create"))
    (drawn,) = json.loads(created["request_body"]["text"])["shapes"]
    names = [label.name for label in state.labels_of(state.task(task_id))[0].sublabels]
    points = [element["points"] for element in drawn["elements"]]
    state.add_skeleton(task_id, drawn["frame"], {name: tuple(xy) for name, xy in zip(names, points, strict=True)})
