"""push through the real SDK against the stand-in server, from the command line."""

import shutil

import pytest

from cvat_export.atomic import write_bytes
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.server import CvatServer, Login
from cvat_export.skeleton import read_skeleton
from demo.cvat_standin import Fault
from tests.cvat_export.cvat_datasets import (
    PROJECT,
    changes,
    finish_all,
    names_on_server,
    person,
    pull,
    push,
    shapes_on_server,
    write_out,
    writes,
)


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


def test_more_images_are_added_as_a_new_task(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    push(out)
    shutil.rmtree(out)
    write_out(out, [[person(40, 30)], [person(70, 30)]])
    assert push(out)[0] == 0
    assert names_on_server(server) == ["frame_000.jpg", "frame_001.jpg"]
    assert len(shapes_on_server(server)) == 2


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


def test_an_image_that_changed_is_not_pushed_under_its_old_name(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    push(out)
    image = out / "images" / "frame_000.jpg"
    image.write_bytes(image.read_bytes() + b"more")
    code, _, stderr = push(out)
    assert code == 1 and "other content" in stderr


def test_an_unknown_assignee_and_a_missing_image_are_both_named_before_anything_is_sent(server, tmp_path):
    out = write_out(tmp_path / "out", [[person(40, 30)], []])
    (out / "images" / "frame_001.jpg").unlink()
    code, _, stderr = push(out, "--assignee", "nobody")
    assert code == 1 and "'nobody'" in stderr and "frame_001.jpg" in stderr
    assert not writes(server)


def test_a_worker_is_told_before_anything_is_sent(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", server.state.new_token(server.state.add_user("temp")))
    code, _, stderr = push(write_out(tmp_path / "out", [[]]))
    assert code == 1 and "worker" in stderr
    assert not writes(server)


def test_a_server_that_is_too_old_is_named(server, tmp_path, monkeypatch):
    monkeypatch.setattr(CvatServer, "version", lambda self: "2.4.1")
    code, _, stderr = push(write_out(tmp_path / "out", [[]]))
    assert code == 1 and "2.4.1" in stderr and "2.20" in stderr
    assert not writes(server)
