"""pull through the real SDK against the stand-in server, from the command line."""

import json
import shutil
from dataclasses import replace

import cvat_sdk
import numpy as np
import pytest

from annotator.commands import pull as pull_command
from annotator.commands import push as push_command
from cvat_export.coco import ANNOTATION_FILE, read_coco
from demo.cvat_standin import Fault
from tests.cvat_export.cvat_datasets import (
    COCO,
    changes,
    finish_all,
    person,
    pull,
    push,
    replay_scenario,
    run,
    write_out,
)


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


def test_the_recorded_scenario_comes_out_as_what_people_did(server, tmp_path, shared_data):
    replay_scenario(server, shared_data / "cvat", tmp_path / "out")
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


def test_a_task_of_others_is_pulled_without_proposals(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)], []]))
    finish_all(server)
    (task,) = server.state.tasks
    server.state.add_skeleton(task, 1, {name: (10.0 + i, 20.0 + i) for i, name in enumerate(COCO.joints)})
    shutil.rmtree(tmp_path / "out")
    code, _, stderr = run(pull_command, "--task", task, "-o", tmp_path / "others")
    assert code == 0, stderr
    assert [row["fate"] for row in changes(tmp_path / "others")] == ["added", "added"]
    (category,) = read_coco(tmp_path / "others").categories
    assert category.skeleton.joints == COCO.joints
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


def test_a_task_that_is_named_twice_is_pulled_once(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)]]))
    finish_all(server)
    (task,) = server.state.tasks
    assert run(pull_command, "--task", task, "--task", task, "-o", tmp_path / "others")[0] == 0
    assert [image.file_name for image in read_coco(tmp_path / "others").images] == ["frame_000.jpg"]


def test_only_tasks_in_which_something_changed_are_read_again(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)]]))
    finish_all(server)
    pull(tmp_path / "corrected")
    push(write_out(tmp_path / "more", [[person(90, 30)]], prefix="more"))
    server.state.set_job(max(server.state.jobs), state="completed", stage="acceptance")
    assert json.loads(pull(tmp_path / "corrected", "--json")[1])["tasks_read"] == 1
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["confirmed", "confirmed"]


def test_proposals_whose_arrival_is_recorded_after_a_pull_are_known_to_the_next(server, tmp_path):
    """Nothing has changed on the server, only what we know of it."""
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    created = []

    def lose_answers(_, method, path):
        created.extend([path] * (method == "PATCH" and "annotations" in path))
        return Fault.RESET_AFTER if created else None

    server.fault = lose_answers
    assert push(out)[0] == 1
    server.fault = None
    finish_all(server)
    pull(tmp_path / "corrected")
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["added"]
    assert push(out)[0] == 0
    pull(tmp_path / "corrected")
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["confirmed"]


def test_a_folder_that_held_another_task_gets_the_images_of_this_one(server, tmp_path):
    """Frames of the same name, of which a pull must not keep the other's pixels."""
    first_out = write_out(tmp_path / "a", [[person(40, 30)]])
    second_out = write_out(tmp_path / "b", [[], [person(90, 30)]])
    shutil.copy(second_out / "images" / "frame_001.jpg", second_out / "images" / "frame_000.jpg")
    for name, out in (("first", first_out), ("second", second_out)):
        run(push_command, out, "--project", name, "--state", tmp_path / name)
    finish_all(server)
    for task, out in zip(sorted(server.state.tasks), (first_out, second_out), strict=True):
        assert run(pull_command, "--task", task, "-o", tmp_path / "corrected")[0] == 0
        pulled = (tmp_path / "corrected" / "images" / "frame_000.jpg").read_bytes()
        assert pulled == (out / "images" / "frame_000.jpg").read_bytes()


def test_labels_that_were_imported_anew_are_known_by_likeness(server, tmp_path):
    """An import replaces every skeleton: none keeps its id, and all are of source 'file'."""
    out = write_out(tmp_path / "out", [[person(40, 30), person(200, 60)], [person(90, 30)]])
    push(out)
    (task,) = server.state.tasks
    before = {shape["id"] for shape in server.state.shapes(task)}
    with cvat_sdk.make_client(server.url, access_token=server.token) as client:
        client.config.status_check_period = 0.05
        remote = client.tasks.retrieve(task)
        remote.export_dataset("COCO Keypoints 1.0", tmp_path / "task.zip", include_images=False)
        remote.import_annotations("COCO Keypoints 1.0", tmp_path / "task.zip")
    after = {shape["id"] for shape in server.state.shapes(task)}
    assert len(after) == 3 and not before & after
    server.state.add_skeleton(task, 1, {name: (20.0 + i, 120.0 + i) for i, name in enumerate(COCO.joints)})
    finish_all(server)
    assert pull(tmp_path / "corrected")[0] == 0
    rows = changes(tmp_path / "corrected")
    assert sorted(row["fate"] for row in rows) == ["added", "confirmed", "confirmed", "confirmed"]
    assert sorted(row["source"] for row in rows) == ["file", "file", "file", "manual"]


@pytest.mark.parametrize("what", ["label", "joint"])
def test_what_was_renamed_in_cvat_is_an_error(server, tmp_path, what):
    push(write_out(tmp_path / "out", [[person(40, 30)]]))
    finish_all(server)
    (project,) = server.state.projects.values()
    (label,) = project.labels
    renamed = label if what == "label" else label.sublabels[0]
    renamed.name = "renamed"
    code, _, stderr = pull(tmp_path / "corrected")
    assert code == 1 and "renamed" in stderr and ("rename it back" in stderr or "not a joint" in stderr)
    assert not (tmp_path / "corrected" / "annotations").exists()
    (task,) = server.state.tasks
    assert run(pull_command, "--task", task, "-o", tmp_path / "others")[0] == 0
    assert "renamed" in (tmp_path / "others" / ANNOTATION_FILE).read_text()
