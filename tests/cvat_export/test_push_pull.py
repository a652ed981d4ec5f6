"""push, status and pull through the real SDK against the stand-in server, from the command line."""

import json
import shutil
from dataclasses import replace

import cvat_sdk
import numpy as np
import pytest

from annotator.commands import pull as pull_command
from annotator.commands import push as push_command
from annotator.commands import status as status_command
from cvat_export.atomic import write_bytes
from cvat_export.coco import ANNOTATION_FILE, encode_coco, read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.server import CvatServer, Login
from cvat_export.skeleton import read_skeleton
from tests.cvat_export.cvat_datasets import (
    COCO,
    PROJECT,
    changes,
    finish_all,
    names_on_server,
    person,
    pull,
    push,
    run,
    shapes_on_server,
    write_out,
    writes,
)
from tests.cvat_standin import Fault


def test_a_push_makes_project_tasks_jobs_and_proposals(server, tmp_path):
    people = [[person(40 + 10 * i, 30), person(180, 60)] if i % 3 else [] for i in range(7)]
    out = write_out(tmp_path / "out", people)
    code, stdout, stderr = push(out, "--task-size", 4, "--segment-size", 2)
    assert (code, stdout.strip()) == (0, PROJECT), stderr
    assert len(server.state.tasks) == 2
    assert names_on_server(server) == [f"frame_{i:03}.jpg" for i in range(7)]
    assert len(server.state.jobs) == 4
    assert len(shapes_on_server(server)) == sum(map(len, people))


def test_a_second_push_with_nothing_new_writes_nothing(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)], [], [person(90, 30)]])
    assert push(out)[0] == 0
    server.requests.clear()
    code, _, stderr = push(out)
    assert code == 0
    assert not writes(server)
    assert "0 tasks, 0 images, 0 proposals" in stderr


def test_a_dry_run_changes_nothing_and_prints_the_plan(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)], []])
    code, stdout, _ = push(out, "--dry-run")
    assert code == 0
    assert not writes(server)
    assert "will be made" in stdout and "2 images" in stdout and "1 proposals" in stdout


def test_untouched_proposals_come_back_confirmed_with_their_boxes(server, tmp_path):
    people = [[person(41.37, 30.51)], [], [person(90.25, 33.3), person(200, 50)]]
    out = write_out(tmp_path / "out", people)
    push(out)
    finish_all(server)
    code, stdout, stderr = pull(tmp_path / "corrected")
    assert (code, stdout.strip()) == (0, str(tmp_path / "corrected")), stderr
    proposed, corrected = read_coco(out), read_coco(tmp_path / "corrected")
    for before, after in zip(proposed.images, corrected.images, strict=True):
        assert before.file_name == after.file_name
        for one, other in zip(before.instances, after.instances, strict=True):
            np.testing.assert_allclose(other.xy, one.xy, atol=0.01)
            assert other.visibility.tolist() == one.visibility.tolist()
            assert other.bbox_xyxy.tolist() == one.bbox_xyxy.tolist()
        original = (out / "images" / before.file_name).read_bytes()
        assert (tmp_path / "corrected" / "images" / after.file_name).read_bytes() == original
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == [
        "confirmed",
        "confirmed_empty",
        "confirmed",
        "confirmed",
    ]


def test_what_is_not_finished_is_no_truth(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)]]), "--segment-size", 1)
    first = min(server.state.jobs)
    server.state.set_job(first, state="completed", stage="annotation")
    assert "0 images" in pull(tmp_path / "a", "--jobs", "accepted")[2]
    pull(tmp_path / "b", "--jobs", "completed")
    assert [image.file_name for image in read_coco(tmp_path / "b").images] == ["frame_000.jpg"]
    pull(tmp_path / "c", "--jobs", "all")
    assert [row["fate"] for row in changes(tmp_path / "c")] == ["confirmed", "machine_only"]
    assert len(read_coco(tmp_path / "c").images) == 1


def test_a_pull_with_nothing_new_reads_no_annotations(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)]]))
    finish_all(server)
    pull(tmp_path / "corrected")
    before = (tmp_path / "corrected" / "changes.jsonl").read_bytes()
    server.requests.clear()
    pull(tmp_path / "corrected")
    assert not [request for request in server.requests if "annotations" in request[1]]
    assert (tmp_path / "corrected" / "changes.jsonl").read_bytes() == before


def test_newer_proposals_replace_only_those_that_nobody_has_touched(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)], [person(120, 40)]])
    push(out, "--segment-size", 1)
    task = next(iter(server.state.tasks))
    by_frame = {shape["frame"]: shape for shape in server.state.shapes(task)}
    server.state.edit_joint(task, by_frame[1]["id"], "nose", 3, 0)
    server.state.set_job(sorted(server.state.jobs)[2], state="in progress")
    shutil.rmtree(out)
    write_out(out, [[person(43, 31)], [person(93, 31)], [person(123, 41)]])
    assert push(out, "--segment-size", 1)[0] == 3  # told, not sent
    code, _, stderr = push(out, "--segment-size", 1, "--replace-untouched")
    assert code == 3
    assert "frame_001.jpg" in stderr and "frame_002.jpg" in stderr
    shapes = {shape["frame"]: shape for shape in server.state.shapes(task)}
    assert len(server.state.shapes(task)) == 3
    assert shapes[0]["id"] != by_frame[0]["id"]
    assert shapes[1]["id"] == by_frame[1]["id"] and shapes[2]["id"] == by_frame[2]["id"]
    finish_all(server)
    pull(tmp_path / "corrected")
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["confirmed", "edited", "confirmed"]


def test_more_images_are_added_as_a_new_task(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    push(out)
    shutil.rmtree(out)
    write_out(out, [[person(40, 30)], [person(70, 30)]])
    assert push(out)[0] == 0
    assert names_on_server(server) == ["frame_000.jpg", "frame_001.jpg"]
    assert len(shapes_on_server(server)) == 2


def test_what_is_no_skeleton_is_named(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)], []]))
    task = next(iter(server.state.tasks))
    server.state.add_rectangle(task, 0, "person", (1.0, 2.0, 30.0, 40.0))
    server.state.delete_frame(task, 1)
    finish_all(server)
    code, _, _ = pull(tmp_path / "corrected")
    assert code == 3
    notes = (tmp_path / "corrected" / "errors.jsonl").read_text()
    assert "1 × rectangle" in notes and "frame_001.jpg" in notes


def test_status_counts_what_people_do(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)]]), "--segment-size", 1)
    task = next(iter(server.state.tasks))
    server.state.edit_joint(task, server.state.shapes(task)[0]["id"], "nose", 3, 0)
    code, stdout, _ = run(status_command, "--json")
    rows = json.loads(stdout)
    assert code == 0
    assert sum(row["edited"] for row in rows) == 1 and sum(row["skeletons"] for row in rows) == 2
    assert run(status_command)[1].count("\n") == 3


@pytest.mark.parametrize(
    ("rename", "words"),
    [("000000000001.jpg", "numeric name"), ("sub/frame_001.jpg", "folder")],
)
def test_names_that_cvat_misreads_are_refused_before_anything_is_sent(server, tmp_path, rename, words):
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    (out / "images" / rename).parent.mkdir(exist_ok=True)
    (out / "images" / "frame_000.jpg").rename(out / "images" / rename)
    text = (out / ANNOTATION_FILE).read_text().replace("frame_000.jpg", rename)
    (out / ANNOTATION_FILE).write_text(text)
    code, _, stderr = push(out)
    assert code == 1 and words in stderr
    assert not writes(server)


def test_a_project_with_another_skeleton_is_refused(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)]]))
    shutil.rmtree(tmp_path / ".annotator")
    lsp = read_skeleton("lsp14")
    other = tmp_path / "other"
    write_out(other, [[]], prefix="other")
    dataset = Dataset((Category("person", lsp),), (LabelledImage("other_000.jpg", 320, 240),))
    write_bytes(other / ANNOTATION_FILE, encode_coco(dataset))
    server.requests.clear()
    code, _, stderr = push(other)
    assert code == 1 and "nose" in stderr
    assert not writes(server)


def test_images_that_others_pushed_are_not_pushed_again(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    push(out)
    shutil.rmtree(tmp_path / ".annotator")
    code, _, stderr = push(out)
    assert code == 3 and "not pushed from here" in stderr
    assert len(server.state.tasks) == 1 and len(shapes_on_server(server)) == 1


def test_the_recorded_scenario_comes_out_as_what_people_did(server, tmp_path, shared_data):
    recorded = shared_data / "cvat"
    out = tmp_path / "out"
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
    assert pull(tmp_path / "corrected", "--jobs", "all")[0] == 0
    rows = changes(tmp_path / "corrected")
    finished = [row for row in rows if row["finished"]]
    assert sorted(row["fate"] for row in finished) == ["confirmed", "confirmed_empty", "deleted", "edited", "edited"]
    edited = {row["file_name"]: row for row in finished if row["fate"] == "edited"}
    moved = {joint["joint"]: joint for joint in edited["img_000.jpg"]["joints"]}
    assert set(moved) == {"nose", "left_wrist"}
    assert moved["nose"]["moved_px"] == pytest.approx(34**0.5, abs=0.01)
    assert (moved["left_wrist"]["visibility_before"], moved["left_wrist"]["visibility_after"]) == (2, 1)
    swapped = {joint["joint"]: joint["swapped_with"] for joint in edited["img_001.jpg"]["joints"]}
    assert swapped["left_hip"] == "right_hip" and swapped["right_ankle"] == "left_ankle" and len(swapped) == 6
    assert all(joint["moved_px"] is None for joint in edited["img_001.jpg"]["joints"])
    assert {row["fate"] for row in rows if not row["finished"]} <= {"machine_only", "added"}
    assert len(read_coco(tmp_path / "corrected").images) == 3


def _nose(server, task, shape_id):
    """Where the first joint of a shape is on the server."""
    shape = next(shape for shape in server.state.shapes(task) if shape["id"] == shape_id)
    return min(shape["elements"], key=lambda element: element["label_id"])["points"]


@pytest.mark.parametrize("finished", ["yes", "no"])
def test_a_downloaded_export_is_compared_with_the_folder_that_was_pushed(server, tmp_path, finished):
    out = write_out(tmp_path / "out", [[person(40, 30), person(200, 60)], [person(90, 30)], []])
    push(out)
    (task,) = server.state.tasks
    shapes = server.state.shapes(task)
    moved = next(shape for shape in shapes if shape["frame"] == 1)
    server.state.edit_joint(task, moved["id"], "nose", 4, 3)
    server.state.delete_shape(task, next(shape for shape in shapes if shape["frame"] == 0)["id"])
    path = tmp_path / "task.zip"
    with cvat_sdk.make_client(server.url, access_token=server.token) as client:
        client.config.status_check_period = 0.05
        client.tasks.retrieve(task).export_dataset("COCO Keypoints 1.0", path, include_images=False)
    code, _, stderr = run(
        pull_command, "--from-zip", path, "--finished", finished, "--proposals", out, "-o", tmp_path / "corrected"
    )
    assert code == 0, stderr
    fates = sorted(row["fate"] for row in changes(tmp_path / "corrected"))
    if finished == "yes":
        assert fates == ["confirmed", "confirmed_empty", "deleted", "edited"]
        assert len(read_coco(tmp_path / "corrected").images) == 3
    else:
        assert fates == ["machine_only"] * 3
        assert len(read_coco(tmp_path / "corrected").images) == 0


def test_a_task_of_others_is_pulled_without_proposals(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)], []]))
    finish_all(server)
    (task,) = server.state.tasks
    server.state.add_skeleton(task, 1, {name: (10.0 + i, 20.0 + i) for i, name in enumerate(COCO.joints)})
    shutil.rmtree(tmp_path / "out")
    code, _, stderr = run(pull_command, "--task", task, "-o", tmp_path / "others")
    assert code == 0, stderr
    assert [row["fate"] for row in changes(tmp_path / "others")] == ["added", "added"]
    assert sorted(path.name for path in (tmp_path / "others" / "images").iterdir()) == [
        "frame_000.jpg",
        "frame_001.jpg",
    ]


@pytest.mark.slow
def test_200_images_with_5000_skeletons_lose_nothing(server, tmp_path):
    rng = np.random.default_rng(5)
    people = [[person(*rng.uniform(0, 250, 2), size=rng.uniform(20, 60)) for _ in range(25)] for _ in range(200)]
    out = write_out(tmp_path / "out", people)
    assert push(out, "--task-size", 100)[0] == 0
    finish_all(server)
    assert pull(tmp_path / "corrected")[0] == 0
    proposed, corrected = read_coco(out), read_coco(tmp_path / "corrected")
    count = 0
    for before, after in zip(proposed.images, corrected.images, strict=True):
        for one, other in zip(before.instances, after.instances, strict=True):
            np.testing.assert_allclose(other.xy, one.xy, atol=0.01)
            assert other.bbox_xyxy.tolist() == one.bbox_xyxy.tolist()
            count += 1
    assert count == 5000
    assert {row["fate"] for row in changes(tmp_path / "corrected")} == {"confirmed"}


def test_the_token_is_nowhere(server, tmp_path):
    """Not in a file, an output or an error, whatever fails."""
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    texts = [*push(out), *run(status_command)[1:], *pull(tmp_path / "corrected")[1:]]
    (out / "images" / "frame_000.jpg").write_bytes(b"other")
    texts += push(out)
    for status in (401, 403, 500):
        server.fault = lambda *_, status=status: Fault.STATUS_500 if status == 500 else None
        texts += push(out)
    server.fault = None
    assert server.token not in repr(texts)
    found = [path for path in tmp_path.rglob("*") if path.is_file() and server.token.encode() in path.read_bytes()]
    assert not found


def test_suspects_are_marked_and_jobs_go_round_and_the_guide_is_there(server, tmp_path):
    for name in ("ana", "bo"):
        server.state.add_user(name)
    twice = [person(40, 30), person(40.5, 30.5, score=0.3)]  # a double
    guide = tmp_path / "guide.md"
    guide.write_text("Mark every wrist.")
    options = ("--assignee", "ana", "--assignee", "bo", "--flag-suspects", "--guide", guide, "--segment-size", 1)
    code, _, stderr = push(write_out(tmp_path / "out", [twice, [person(90, 30)], []]), *options)
    assert code == 0, stderr
    (task,) = server.state.tasks
    values = [[a["value"] for a in shape["attributes"]] for shape in server.state.shapes(task)]
    assert sorted(values) == [["false"], ["false"], ["true"]]
    jobs = CvatServer(Login(server.url, server.token)).jobs(task)
    assert [job.assignee for job in jobs] == ["ana", "bo", "ana"]
    assert [guide.markdown for guide in server.state.guides.values()] == ["Mark every wrist."]


def test_an_unknown_assignee_and_a_missing_image_are_both_named_before_anything_is_sent(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)], []])
    (out / "images" / "frame_001.jpg").unlink()
    code, _, stderr = push(out, "--assignee", "nobody")
    assert code == 1 and "'nobody'" in stderr and "frame_001.jpg" in stderr
    assert not writes(server)


def test_wrong_credentials_and_an_unreachable_server(server, tmp_path, monkeypatch):
    out = write_out(tmp_path / "out", [[]])
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "wrong-but-secret")
    code, _, stderr = push(out)
    assert code == 1 and "401" in stderr and "CVAT_ACCESS_TOKEN" in stderr and "wrong-but-secret" not in stderr
    code, _, stderr = push(out, "--host", "http://127.0.0.1:9")
    assert code == 1 and "127.0.0.1:9" in stderr


def test_an_image_that_changed_is_not_pushed_under_its_old_name(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    push(out)
    image = out / "images" / "frame_000.jpg"
    image.write_bytes(image.read_bytes() + b"more")
    code, _, stderr = push(out)
    assert code == 1 and "other content" in stderr


def test_a_worker_is_told_before_anything_is_sent(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.state.new_token(server.state.add_user("temp")))
    code, _, stderr = push(write_out(tmp_path / "out", [[]]))
    assert code == 1 and "worker" in stderr
    assert not writes(server)


def test_tasks_whose_frames_share_names_do_not_mix(server, tmp_path):
    push(write_out(tmp_path / "a", [[person(40, 30)]]), "--state", tmp_path / "state-a")
    out = write_out(tmp_path / "b", [[person(90, 30)], [person(60, 30)]])
    (out / "images" / "frame_000.jpg").write_bytes((out / "images" / "frame_001.jpg").read_bytes())
    run(push_command, out, "--project", "other", "--state", tmp_path / "state-b")
    finish_all(server)
    first, second = sorted(server.state.tasks)
    code, _, stderr = run(pull_command, "--task", first, "--task", second, "-o", tmp_path / "both")
    assert code == 0, stderr
    images = {image.file_name: image.instances[0].xy[0, 0] for image in read_coco(tmp_path / "both").images}
    assert set(images) == {f"task{first}-0-frame_000.jpg", f"task{second}-0-frame_000.jpg", "frame_001.jpg"}
    for name, source in zip(sorted(images), ("frame_001.jpg", None, None), strict=True):
        path = tmp_path / "both" / "images" / name
        assert path.exists() and (source is None or path.read_bytes() == (out / "images" / source).read_bytes())
    assert images[f"task{second}-0-frame_000.jpg"] == pytest.approx(90, abs=0.01)


def test_a_hostile_frame_name_stays_in_the_folder(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)]]))
    finish_all(server)
    (task,) = server.state.tasks.values()
    task.frames = [replace(task.frames[0], name="../../../escaped.jpg")]
    assert run(pull_command, "--task", task.id, "-o", tmp_path / "deep" / "corrected")[0] == 0
    inside = tmp_path / "deep" / "corrected"
    assert [path for path in tmp_path.rglob("*escaped*") if not path.is_relative_to(inside)] == []
    assert [path.name for path in (inside / "images").iterdir()] == ["escaped.jpg"]


def test_a_frame_that_is_deleted_after_a_pull_leaves_the_dataset(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)]]))
    finish_all(server)
    pull(tmp_path / "corrected")
    server.state.delete_frame(next(iter(server.state.tasks)), 0)
    assert pull(tmp_path / "corrected")[0] == 3
    assert [image.file_name for image in read_coco(tmp_path / "corrected").images] == ["frame_001.jpg"]


def test_proposals_that_people_changed_before_their_arrival_was_recorded_are_not_sent_again(server, tmp_path):
    """The push dies when the shapes are there; people edit one, delete another; the push is given again."""
    out = write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)], [person(60, 40)]])
    created = [0]

    def lose_answers(_, method, path):
        created[0] += method == "PATCH" and "annotations" in path
        return Fault.RESET_AFTER if created[0] else None

    server.fault = lose_answers
    assert push(out)[0] == 1
    server.fault = None
    (task,) = server.state.tasks
    by_frame = {shape["frame"]: shape["id"] for shape in server.state.shapes(task)}
    assert len(by_frame) == 3
    server.state.edit_joint(task, by_frame[0], "nose", 9, 9)
    server.state.delete_shape(task, by_frame[1])
    assert push(out)[0] == 0
    assert {shape["id"] for shape in server.state.shapes(task)} == {by_frame[0], by_frame[2]}
    finish_all(server)
    pull(tmp_path / "corrected")
    fates = {
        row["file_name"]: row["fate"] for row in changes(tmp_path / "corrected") if row["fate"] != "confirmed_empty"
    }
    assert fates == {"frame_000.jpg": "edited", "frame_001.jpg": "deleted", "frame_002.jpg": "confirmed"}


def test_a_server_that_is_too_old_is_named(server, tmp_path, monkeypatch):
    monkeypatch.setattr(CvatServer, "version", lambda self: "2.4.1")
    code, _, stderr = push(write_out(tmp_path / "out", [[]]))
    assert code == 1 and "2.4.1" in stderr and "2.20" in stderr
    assert not writes(server)
