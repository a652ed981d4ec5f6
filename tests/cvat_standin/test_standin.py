"""The stand-in behaves as CVAT is known to, beyond what was recorded."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cvat_sdk import make_client, models
from cvat_sdk.api_client import exceptions
from cvat_sdk.core.client import Client
from cvat_sdk.core.exceptions import BackgroundRequestException
from cvat_sdk.core.proxies.tasks import Task
from cvat_sdk.core.uploading import DataUploader
from PIL import Image

from demo.cvat_standin import Fault, StandInServer
from tests.cvat_standin.studio import (
    FORMAT,
    JOINTS,
    coco,
    connected,
    encode_image,
    new_task,
    read_archive,
    skeleton_spec,
    write_archive,
    write_images,
)

NAMES = ("a.png", "b.png", "c.png", "d.png")


@pytest.fixture
def server() -> Iterator[StandInServer]:
    with StandInServer() as started:
        yield started


@pytest.fixture
def client(server: StandInServer) -> Iterator[Client]:
    with connected(server) as connection:
        yield connection


@pytest.fixture
def task(client: Client, tmp_path: Path) -> Task:
    return new_task(client, tmp_path, NAMES, segment_size=2)


def push(task: Task, tmp_path: Path, document: dict[str, Any], **options: Any) -> None:
    task.import_annotations(FORMAT, write_archive(tmp_path / "push.zip", document), **options)


def test_user_and_password_open_a_session(server: StandInServer) -> None:
    with make_client(server.url, credentials=("admin", "password")) as client:
        assert client.users.retrieve_current_user().username == "admin"
        client.logout()
        with pytest.raises(exceptions.UnauthorizedException):
            client.users.retrieve_current_user()


def test_unknown_token_is_refused(server: StandInServer) -> None:
    with make_client(server.url, access_token="nobody's") as client, pytest.raises(exceptions.UnauthorizedException):
        client.projects.list()


def test_requests_are_listed_in_order(server: StandInServer, client: Client) -> None:
    client.projects.list(name="x")
    assert [entry[:2] for entry in server.requests] == [("GET", "/api/server/about"), ("GET", "/api/projects")]
    assert server.requests[-1][2:] == ("name=x&page=1", 200)


def test_lists_come_in_pages_and_by_name(client: Client) -> None:
    for number in range(12):
        client.projects.create({"name": f"p{number}"})
    assert [project.name for project in client.projects.list()] == [f"p{number}" for number in range(11, -1, -1)]
    assert [project.name for project in client.projects.list(name="p1")] == ["p1"]
    assert [project.name for project in client.projects.list(search="1")] == ["p11", "p10", "p1"]


def test_duplicate_sublabels_are_refused(client: Client) -> None:
    spec = {"name": "dogs", "labels": [skeleton_spec(joints=("nose", "nose"))]}
    with pytest.raises(exceptions.ApiException, match="All label names must be unique") as refused:
        client.projects.create(spec)
    assert refused.value.status == 400


def test_svg_comes_back_with_label_ids(client: Client, task: Task) -> None:
    (label,) = task.get_labels()
    assert [sublabel.name for sublabel in label.sublabels] == list(JOINTS)
    assert all(f'data-label-id="{sublabel.id}"' in label.svg for sublabel in label.sublabels)
    assert "data-label-name" not in label.svg


@pytest.mark.parametrize(
    ("method", "order"),
    [
        ("lexicographical", ["im1.png", "im10.png", "im2.png"]),
        ("natural", ["im1.png", "im2.png", "im10.png"]),
        ("predefined", ["im10.png", "im2.png", "im1.png"]),
    ],
)
def test_images_are_sorted_as_asked(client: Client, tmp_path: Path, method: str, order: list[str]) -> None:
    images = write_images(tmp_path, ["im10.png", "im2.png", "im1.png"])
    task = client.tasks.create_from_data({"name": "t"}, images, data_params={"sorting_method": method})
    assert [frame.name for frame in task.get_frames_info()] == order


def test_large_files_arrive_in_pieces(client: Client, tmp_path: Path) -> None:
    images = write_images(tmp_path, ["a.png", "b.png"])
    task = client.tasks.create({"name": "t"})
    url = f"{client.api_map.host}/api/tasks/{task.id}/data/"
    response = DataUploader(client, max_request_size=10).upload_files(url, images, image_quality=70)
    client.wait_for_completion(response.json()["rq_id"])
    assert task.get_frame(1, quality="original").read() == images[1].read_bytes()


def test_two_files_of_one_name_break_the_server(client: Client, tmp_path: Path) -> None:
    images = [*write_images(tmp_path / "one", ["a.png"]), *write_images(tmp_path / "two", ["a.png"])]
    with pytest.raises(exceptions.ServiceException):
        client.tasks.create_from_data({"name": "t"}, images)


def test_frames_come_back_as_they_were_sent(task: Task, tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(encode_image(40, 30))
    second, _ = task.get_jobs()
    assert second.get_frame(3, quality="original").read() == (tmp_path / "d.png").read_bytes()
    with pytest.raises(exceptions.ApiException):
        second.get_frame(0, quality="original")


def test_upright_size_of_a_turned_photo(client: Client, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    task = client.tasks.create_from_data({"name": "t"}, [tmp_path / "turned.jpg"])
    (frame,) = task.get_frames_info()
    assert (frame.width, frame.height) == (20, 30)


def test_deleted_frames_stay_listed_but_are_not_exported(task: Task, tmp_path: Path) -> None:
    second, first = task.get_jobs()
    second.remove_frames_by_ids([2])
    first.remove_frames_by_ids([1])
    assert task.get_meta().deleted_frames == [1, 2]
    assert (first.get_meta().deleted_frames, second.get_meta().deleted_frames) == ([1], [2])
    exported = read_archive(task.export_dataset(FORMAT, tmp_path / "out.zip", include_images=False))
    assert [(image["id"], image["file_name"]) for image in exported["images"]] == [(1, "a.png"), (2, "d.png")]


def test_job_follows_stage_and_state(server: StandInServer, client: Client, task: Task) -> None:
    job = task.get_jobs()[1]
    before = job.updated_date
    job.update({"state": "completed"})
    assert (job.state, job.status) == ("completed", "annotation")
    assert job.updated_date > before
    job.update({"stage": "acceptance"})
    assert (job.state, job.status) == ("new", "validation")
    worker = server.state.add_user("worker")
    job.update(models.PatchedJobWriteRequest(state="completed", assignee=worker.id))
    assert (job.status, job.assignee.username) == ("completed", "worker")
    assert task.fetch().jobs.completed == 1


def test_saved_annotations_move_the_dates(server: StandInServer, task: Task) -> None:
    second, first = task.get_jobs()
    before = (task.updated_date, first.updated_date, second.updated_date)
    server.state.add_skeleton(task.id, 3, {"nose": (1, 2)})
    assert task.fetch().updated_date > before[0]
    assert first.fetch().updated_date == before[1]
    assert second.fetch().updated_date > before[2]


def test_issues_comments_and_guides(client: Client, task: Task) -> None:
    job = task.get_jobs()[0]
    issue = client.issues.create({"frame": 2, "position": [1, 2, 3, 4], "job": job.id, "message": "left?"})
    client.comments.create({"issue": issue.id, "message": "right"})
    assert sorted(comment.message for comment in issue.get_comments()) == ["left?", "right"]
    assert job.fetch().issues.count == 1
    api = client.api_client.guides_api
    guide, _ = api.create(annotation_guide_write_request={"project_id": task.project_id, "markdown": "# How"})
    api.partial_update(guide.id, patched_annotation_guide_write_request={"markdown": "# Why"})
    assert api.retrieve(guide.id)[0].markdown == "# Why"
    assert client.projects.retrieve(task.project_id).guide_id == guide.id


def test_deleted_project_takes_its_tasks_along(client: Client, task: Task) -> None:
    client.projects.retrieve(task.project_id).remove()
    with pytest.raises(exceptions.NotFoundException):
        task.fetch()
    assert client.jobs.list() == []


def test_put_refuses_ids(server: StandInServer, task: Task) -> None:
    server.state.add_skeleton(task.id, 0, {"nose": (1, 2)})
    (shape,) = task.get_annotations().shapes
    with pytest.raises(exceptions.ApiException) as refused:
        task.set_annotations(models.LabeledDataRequest(shapes=[models.LabeledShapeRequest(**shape.to_dict())]))
    assert refused.value.status == 400
    assert len(task.get_annotations().shapes) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2] * 3}]}, "_ImportFail"),
        ({"images": [{"id": 1, "file_name": "sub/a.png"}]}, "Could not match item id: 'sub/a'"),
        ({"images": [{"id": 1, "file_name": "000009.png"}]}, "Could not match item id: '000009'"),
        ({"categories": [{"id": 1, "name": "Dog", "keypoints": list(JOINTS), "skeleton": []}]}, "Label 'Dog' is not"),
        ({"categories": [{"id": 0, "name": "dog", "keypoints": list(JOINTS), "skeleton": []}]}, "_ImportFail"),
        ({"categories": [{"id": 1, "name": "dog", "keypoints": list(JOINTS)}]}, "_ImportFail"),
        ({"extra": 1}, "Unknown key"),
    ],
)
def test_failed_import_keeps_what_was_there(
    server: StandInServer, task: Task, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    server.state.add_skeleton(task.id, 0, {"nose": (1, 2)})
    before = server.state.shapes(task.id)
    with pytest.raises(BackgroundRequestException, match=message):
        push(task, tmp_path, coco(NAMES, [{"image_id": 1}]) | changes)
    assert server.state.shapes(task.id) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmentation": None}, "TypeError"),
        ({"score": 1.5}, "score"),
        ({"keypoints": [float("nan"), 2, 2] * 3}, "NaN"),
    ],
)
def test_values_that_imports_stumble_over(task: Task, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BackgroundRequestException, match=message):
        push(task, tmp_path, coco(NAMES, [{"image_id": 1, **change}]))


def test_import_drops_unknown_images_and_keeps_polygons(server: StandInServer, task: Task, tmp_path: Path) -> None:
    polygon = {"image_id": 2, "segmentation": [[1, 1, 5, 1, 5, 5]]}
    push(task, tmp_path, coco(NAMES, [{"image_id": 99}, polygon]))
    shapes = server.state.shapes(task.id)
    assert sorted((shape["type"], shape["frame"]) for shape in shapes) == [("polygon", 1), ("skeleton", 1)]


def test_unmatched_number_is_a_frame_index(server: StandInServer, task: Task, tmp_path: Path) -> None:
    push(task, tmp_path, coco(["000000000003.jpg"], [{"image_id": 1}]))
    assert [shape["frame"] for shape in server.state.shapes(task.id)] == [3]


def test_names_that_differ_in_extension_share_a_frame(client: Client, server: StandInServer, tmp_path: Path) -> None:
    task = new_task(client, tmp_path, ["a.png", "a.jpg"])
    push(task, tmp_path, coco(["a.png", "a.jpg"], [{"image_id": 1}, {"image_id": 2}]))
    assert len({shape["frame"] for shape in server.state.shapes(task.id)}) == 1


def test_job_import_touches_only_its_frames(server: StandInServer, task: Task, tmp_path: Path) -> None:
    push(task, tmp_path, coco(NAMES, [{"image_id": 1}, {"image_id": 4}]))
    second, _ = task.get_jobs()
    second.import_annotations(FORMAT, write_archive(tmp_path / "job.zip", coco(["c.png"], [{"image_id": 1}])))
    assert [shape["frame"] for shape in server.state.shapes(task.id)] == [0, 2]
    with pytest.raises(BackgroundRequestException, match="Could not match"):
        second.import_annotations(FORMAT, write_archive(tmp_path / "foreign.zip", coco(["a.png"], [{"image_id": 1}])))


def test_known_attributes_are_kept_and_others_dropped(client: Client, tmp_path: Path) -> None:
    attribute = {
        "name": "track",
        "mutable": False,
        "input_type": "number",
        "default_value": "0",
        "values": ["0", "9", "1"],
    }
    label = skeleton_spec() | {"attributes": [attribute]}
    project = client.projects.create({"name": "dogs", "labels": [label]})
    spec = {"name": "t", "project_id": project.id}
    task = client.tasks.create_from_data(spec, write_images(tmp_path, ["a.png"]))
    push(task, tmp_path, coco(["a.png"], [{"image_id": 1, "score": 0.5, "attributes": {"track": 7, "mood": "good"}}]))
    (shape,) = task.get_annotations().shapes
    assert ([value.value for value in shape.attributes], shape.source, shape.score) == (["7"], "file", 0.5)
    (row,) = read_archive(task.export_dataset(FORMAT, tmp_path / "o.zip", include_images=False))["annotations"]
    assert row["attributes"] == {"occluded": False, "keyframe": False, "track": 7}
    assert "score" not in row


def test_export_with_a_wrong_drawing_fails_after_the_import_worked(client: Client, tmp_path: Path) -> None:
    for drawing, message in (('<circle cx="1"></circle>', "data-label-name"), ("<circle>", "ParseError")):
        project = client.projects.create({"name": "p", "labels": [skeleton_spec() | {"svg": drawing}]})
        folder = tmp_path / str(project.id)
        spec = {"name": "t", "project_id": project.id}
        task = client.tasks.create_from_data(spec, write_images(folder, ["a.png"]))
        push(task, folder, coco(["a.png"], [{"image_id": 1}]))
        with pytest.raises(BackgroundRequestException, match=message):
            task.export_dataset(FORMAT, folder / "out.zip", include_images=False)


def test_order_of_circles_is_the_order_of_joints(client: Client, server: StandInServer, tmp_path: Path) -> None:
    label = skeleton_spec() | {"svg": skeleton_spec(joints=("paw", "nose", "tail"))["svg"]}
    project = client.projects.create({"name": "p", "labels": [label]})
    spec = {"name": "t", "project_id": project.id}
    task = client.tasks.create_from_data(spec, write_images(tmp_path, ["a.png"]))
    server.state.add_skeleton(task.id, 0, {"nose": (1, 1, 2), "tail": (2, 2, 1), "paw": (3, 3, 2)})
    exported = read_archive(task.export_dataset(FORMAT, tmp_path / "out.zip", include_images=False))
    assert exported["categories"][0]["keypoints"] == ["paw", "nose", "tail"]
    assert exported["annotations"][0]["keypoints"] == [3.0, 3.0, 2, 1.0, 1.0, 2, 2.0, 2.0, 1]


def test_grouped_rectangle_spoils_the_export(client: Client, server: StandInServer, tmp_path: Path) -> None:
    labels = [skeleton_spec(), {"name": "box", "type": "rectangle", "attributes": []}]
    project = client.projects.create({"name": "p", "labels": labels})
    spec = {"name": "t", "project_id": project.id}
    task = client.tasks.create_from_data(spec, write_images(tmp_path, ["a.png"]))
    shape_id = server.state.add_skeleton(task.id, 0, {"nose": (1, 1)})
    server.state.add_rectangle(task.id, 0, "box", (0, 0, 9, 9))
    exported = read_archive(task.export_dataset(FORMAT, tmp_path / "alone.zip", include_images=False))
    assert [row["category_id"] for row in exported["annotations"]] == [1]
    server.state.add_rectangle(task.id, 0, "box", (2, 3, 12, 23), group=5)
    server.state.jobs[1].shapes[shape_id]["group"] = 5
    path = task.export_dataset(FORMAT, tmp_path / "grouped.zip", include_images=False)
    (row,) = read_archive(path)["annotations"]
    assert (row["bbox"], row["category_id"]) == ([2, 3, 10, 20], 2)
    with pytest.raises(BackgroundRequestException, match="_ImportFail"):
        task.import_annotations(FORMAT, path)


def test_project_export_numbers_names_that_tasks_share(client: Client, tmp_path: Path) -> None:
    task = new_task(client, tmp_path, ["a.png"])
    images = write_images(tmp_path, ["a.png"])
    client.tasks.create_from_data({"name": "second", "project_id": task.project_id}, images)
    project = client.projects.retrieve(task.project_id)
    exported = read_archive(project.export_dataset(FORMAT, tmp_path / "out.zip", include_images=True))
    assert [image["file_name"] for image in exported["images"]] == ["a.png", "a_1.png"]


def test_polls_before_the_end_are_configurable(server: StandInServer, client: Client, tmp_path: Path) -> None:
    server.state.polls = 3
    new_task(client, tmp_path, NAMES)
    assert sum(path.startswith("/api/requests/") for _, path, _, _ in server.requests) == 4


def test_listing_may_also_follow_the_ids(server: StandInServer, task: Task) -> None:
    ids = [server.state.add_skeleton(task.id, 0, {"nose": (n, n)}) for n in range(3)]
    assert [shape.id for shape in task.get_annotations().shapes] == ids[::-1]
    server.state.newest_first = False
    assert [shape.id for shape in task.get_annotations().shapes] == ids


@pytest.mark.parametrize(
    ("fault", "is_done", "outcome"),
    [
        (Fault.RESET_BEFORE, False, "connection"),
        (Fault.RESET_AFTER, True, "connection"),
        (Fault.STATUS_429, False, 429),
        (Fault.STATUS_500, False, 500),
        (Fault.STATUS_504, True, 504),
        (Fault.TRUNCATED, True, "connection"),
        (Fault.SLOW, True, 201),
    ],
)
def test_faults_do_what_they_say(server: StandInServer, fault: Fault, is_done: bool, outcome: int | str) -> None:
    server.fault = lambda number, method, path: (
        fault if (number, method, path) == (0, "POST", "/api/projects") else None
    )
    headers = {"Authorization": f"Bearer {server.token}"}
    pool = urllib3.PoolManager(retries=False)
    try:
        response = pool.request("POST", f"{server.url}/api/projects", json={"name": "p"}, headers=headers)
        seen: int | str = response.status
        assert ("retry-after" in response.headers) == (fault is Fault.STATUS_429)
    except urllib3.exceptions.HTTPError:
        seen = "connection"
    assert seen == outcome
    assert len(server.state.projects) == is_done
    assert pool.request("GET", f"{server.url}/api/projects", headers=headers).json()["count"] == is_done
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.STATUS_504])
def test_upload_in_pieces_goes_on_after_a_lost_answer(
    server: StandInServer, task: Task, tmp_path: Path, fault: Fault
) -> None:
    patched = iter([fault])
    server.fault = lambda number, method, path: next(patched, None) if method == "PATCH" else None
    push(task, tmp_path, coco(NAMES, [{"image_id": 1}]))
    assert "HEAD" in [method for method, *_ in server.requests]
    assert len(server.state.shapes(task.id)) == 1


def test_it_runs_as_a_process_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "demo.cvat_standin"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n") for _ in range(2)]
        said = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert list(said) == ["CVAT_HOST", "CVAT_ACCESS_TOKEN"]
        assert said["CVAT_HOST"].startswith("http://127.0.0.1:")
        with make_client(said["CVAT_HOST"], access_token=said["CVAT_ACCESS_TOKEN"]) as client:
            assert client.users.retrieve_current_user().username == "admin"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_a_port_that_is_taken_is_said(server: StandInServer) -> None:
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "demo.cvat_standin", "--port", port]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {port}: Address already in use" in done.stderr
