"""push and pull against a real CVAT, see CONTRIBUTING.md. Makes a project of its own and deletes it again."""

import os
import uuid

import cvat_sdk
import pytest
from cvat_sdk.core.helpers import make_request_headers

from annotator.commands import pull as pull_command
from annotator.commands import push as push_command
from cvat_export.coco import read_coco
from cvat_export.server import CvatServer, Login
from tests.cvat_export.cvat_datasets import changes, person, run, write_out

HOST, TOKEN = os.environ.get("CVAT_HOST"), os.environ.get("CVAT_ACCESS_TOKEN")


@pytest.mark.cvat
@pytest.mark.skipif(not (HOST and TOKEN), reason="no CVAT server: set CVAT_HOST and CVAT_ACCESS_TOKEN")
def test_push_correct_and_pull(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = f"annotator test {uuid.uuid4().hex[:8]}"
    out = write_out(tmp_path / "out", [[person(40, 30)], [], [person(90, 30), person(200, 40)]])
    with cvat_sdk.make_client(HOST, access_token=TOKEN) as client:
        try:
            options = ("--project", project, "--segment-size", "2", "--flag-suspects")
            assert run(push_command, out, *options)[0] == 0
            assert run(push_command, out, *options)[2].startswith("0 tasks, 0 images, 0 proposals")
            (task,) = [task for task in client.tasks.list() if task.name.startswith(project)]
            shapes = CvatServer(Login(HOST, TOKEN)).annotations(task.id)["shapes"]
            (edited,) = [shape for shape in shapes if shape["frame"] == 0]
            x, y = edited["elements"][0]["points"]
            edited["elements"][0]["points"] = [x + 5, y - 3]
            client.api_client.rest_client.PATCH(
                f"{client.api_map.base}tasks/{task.id}/annotations/?action=update",
                headers=make_request_headers(client.api_client),
                body={"shapes": [edited]},
            )
            for job in task.get_jobs():
                job.update({"state": "completed", "stage": "acceptance"})
            assert run(pull_command, "--project", project, "-o", tmp_path / "corrected")[0] == 0
        finally:
            for found in client.projects.list():
                if found.name == project:
                    found.remove()
    fates = [row["fate"] for row in changes(tmp_path / "corrected")]
    assert fates == ["edited", "confirmed_empty", "confirmed", "confirmed"]
    assert len(read_coco(tmp_path / "corrected").images) == 3
