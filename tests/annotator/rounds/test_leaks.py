"""Ways for the evaluation set, or for what nobody looked at, into a training: none leads there."""

import json
import shutil

import cv2
import pytest

from cvat_export.coco import ANNOTATION_FILE, read_coco
from tests.annotator.rounds.tiny_project import (
    SIZE,
    begin,
    call,
    change,
    chosen_files,
    correct,
    done,
    evaluation_files,
    frames,
    go,
    jobs_with,
    rows,
    sorted_files,
    truth_of,
    write_dot_finder,
    write_film,
)


def _films(tmp_path):
    return [image for number in (1, 2) for image in write_film(tmp_path / f"film{number}.mp4", 30, number)]


@pytest.mark.parametrize("strategy", ["hybrid", "uncertain", "disagreement", "diverse", "uniform"])
def test_evaluation_frames_are_never_chosen(server, tmp_path, monkeypatch, quick, strategy):
    truth = truth_of(_films(tmp_path))
    frames_part = {"pool": 48, "evaluation": 10, "a_round": 3, "apart_seconds": 0.15, "strategy": strategy}
    models = ("--detection", "full-frame", "--pose", write_dot_finder(tmp_path / "dots.xml"))
    project = begin("--videos", tmp_path / "film*.mp4", *models, frames=frames_part, cvat={"segment_size": 3})
    monkeypatch.chdir(project)
    done("round", "next")
    kept = {(row.sha256, row.pts): row for row in frames(project, "evaluation")}
    assert len(kept) == 10
    correct(truth)
    done("round", "undo", "--to", "choose")
    change(project, seed=5, frames={"evaluation": 30, "apart_seconds": 0.0})
    done("round", "next")
    change(project, seed=7, frames={"evaluation": 10, "pool": 60, "apart_seconds": 0.15, "look_at": 12})
    go(truth)
    done("round", "undo", "--to", "train")
    change(project, seed=11)
    go(truth, 2)
    assert {(row.sha256, row.pts) for row in frames(project, "evaluation")} == kept.keys()
    assert not chosen_files(project) & evaluation_files(project)
    learnt, measured, left_out = sorted_files(project)
    assert measured == evaluation_files(project)
    known = {row.file: row for row in frames(project)}
    gaps = {
        name: min(
            (abs(known[name].seconds - row.seconds) for row in kept.values() if row.sha256 == known[name].sha256),
            default=9,
        )
        for name in learnt
    }
    assert learnt and min(gaps.values()) >= 0.15 - 1e-9  # those of apart_seconds 0, chosen then, are left out now
    assert all("kept for measuring" in row["reason"] for row in left_out)


def test_work_that_is_not_finished_is_neither_learnt_from_nor_measured_by(project, server, truth):
    change(project, cvat={"segment_size": 2})
    done("round", "next")
    correct(truth)
    jobs = sorted(server.state.jobs)
    reopened = [server.state.jobs[jobs[0]], server.state.jobs[jobs[-1]]]  # of both kinds
    for job in reopened:
        server.state.set_job(job.id, state="in progress")
    lost = {
        server.state.tasks[job.task_id].frames[number].name
        for job in reopened
        for number in range(job.start_frame, job.stop_frame + 1)
    }
    assert "waiting for people: 5 of 7" in done("round", "next").out
    assert done("round", "next", "--now").out.startswith("round 2")
    learnt, measured, _ = sorted_files(project)
    assert (len(learnt), len(measured)) == (2, 8)
    assert not lost & (learnt | measured)


def test_a_job_that_is_opened_again_drops_out(project, server, truth):
    change(project, cvat={"segment_size": 2})
    done("round", "next")
    go(truth)
    before, _, _ = sorted_files(project)
    job = jobs_with(server, before)[0]
    server.state.set_job(job.id, stage="annotation", state="in progress")
    names = {server.state.tasks[job.task_id].frames[n].name for n in range(job.start_frame, job.stop_frame + 1)}
    for other in server.state.jobs.values():
        if other.id != job.id:
            server.state.set_job(other.id, stage="acceptance", state="completed")
    done("round", "next", "--now")
    learnt, _, _ = sorted_files(project)
    assert before - learnt == names and len(names) == 2
    assert read_coco(project / "corrected").images and not names & {
        image.file_name for image in read_coco(project / "corrected").images
    }


def test_people_begin_with_nothing_in_what_is_kept_for_measuring(proposing, server, truth):
    done("round", "next")
    go(truth)
    for number in (1, 2):
        proposed = read_coco(proposing / f"rounds/{number}/propose/out")
        assert sum(len(image.instances) for image in proposed.images) == 4
        bare = read_coco(proposing / f"rounds/{number}/propose/evaluation")
        assert {image.file_name for image in bare.images} == evaluation_files(proposing)
        assert not any(image.instances for image in bare.images)
    changes = [json.loads(line) for line in (proposing / "corrected/changes.jsonl").read_text().splitlines()]
    fates = {row["fate"] for row in changes if row["file_name"] in evaluation_files(proposing)}
    assert fates == {"added"}


def _proposals(project):
    """The dataset that was pushed, and another in which nobody sees what made it."""
    dataset = json.loads((project / "rounds/1/propose/out" / ANNOTATION_FILE).read_text())
    for annotation in dataset["annotations"]:
        annotation.pop("score", None)
        annotation.pop("attributes", None)
    return dataset


def test_proposals_are_no_labels(proposing, server):
    done("round", "next")
    called = call("round", "import", "rounds/1/propose/out.zip")
    assert called.code == 1 and "4 of its subjects have scores" in called.words
    assert "let people correct these in CVAT" in called.words
    assert rows(proposing, "import")[-1].state == "failed"
    assert not (proposing / "imports/import-1" / ANNOTATION_FILE).exists()


@pytest.mark.parametrize("prefix", ["", "holiday "], ids=["same names", "renamed"])
def test_proposals_that_hide_their_scores_are_left_out(proposing, server, truth, tmp_path, prefix):
    done("round", "next")
    theirs = tmp_path / "theirs"
    (theirs / "annotations").mkdir(parents=True)
    (theirs / "images").mkdir()
    dataset = _proposals(proposing)
    for image in dataset["images"]:
        name = f"{prefix}{image['file_name']}"
        shutil.copy(proposing / "rounds/1/propose/out/images" / image["file_name"], theirs / "images" / name)
        image["file_name"] = name
    touched = dataset["annotations"][0]
    touched["keypoints"][0] += 2
    (theirs / "annotations/labels.json").write_text(json.dumps(dataset))
    called = done("round", "import", theirs)
    assert called.out.strip() == "imports/import-1" and "4 subjects in 4 images" in called.words
    go(truth)
    learnt = read_coco(proposing / "rounds/1/sort/import-1.json")
    assert sum(len(image.instances) for image in learnt.images) == 1
    _, _, left_out = sorted_files(proposing)
    assert [row["origin"] for row in left_out] == ["import-1"] * 3
    assert all("exactly as a model proposed it" in row["reason"] for row in left_out)


def test_an_evaluation_frame_under_another_name_is_left_out(project, pictures, truth, tmp_path):
    done("round", "next")
    name = sorted(evaluation_files(project))[0]
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    pixels = cv2.imread(str(tmp_path / "pictures" / name))
    cv2.imwrite(str(theirs / "holiday.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])
    label = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 60, 50], "iscrowd": 0, "area": 3000}
    keypoints = [48.0, 16.0, 2, 36.0, 24.0, 2, 60.0, 24.0, 2, 48.0, 48.0, 2]
    mouse = {"id": 1, "name": "mouse4", "keypoints": ["snout", "leftear", "rightear", "tailbase"], "skeleton": []}
    content = {
        "images": [{"id": 1, "file_name": "holiday.jpg", "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [{**label, "keypoints": keypoints, "num_keypoints": 4}],
        "categories": [mouse],
    }
    (theirs / "labels.json").write_text(json.dumps(content))
    done("round", "import", theirs / "labels.json")
    go(truth)
    learnt, _, left_out = sorted_files(project)
    assert "holiday.jpg" not in learnt
    (row,) = left_out
    assert (row["origin"], row["file_name"]) == ("import-1", "holiday.jpg")
    assert row["reason"] == f"looks the same as {name}, which is kept for measuring"
    assert "1 left out" in done("round", "status").out


@pytest.mark.parametrize("what", ["a subject more", "a joint elsewhere"])
def test_labels_that_somebody_changed_on_the_disk_stop_everything(project, truth, what):
    done("round", "next")
    go(truth)
    done("round", "undo", "--to", "sort")
    path = project / "corrected" / ANNOTATION_FILE
    content = json.loads(path.read_text())
    if what == "a subject more":
        content["annotations"].append({**content["annotations"][0], "id": 999})
    else:
        content["annotations"][0]["keypoints"][0] += 5
    path.write_text(json.dumps(content))
    change(project, frames={"apart_seconds": 0.5})
    called = call("round", "next")
    assert called.code == 1 and str(path) in called.words and "annotator round undo --to pull" in called.words
    done("round", "undo", "--to", "pull")
    assert done("round", "next").out.startswith("round 2")
    assert json.loads(path.read_text()) != content
