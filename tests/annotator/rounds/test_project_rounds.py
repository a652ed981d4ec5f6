"""Rounds of a project as its user goes them, by the command line, against the stand-in server."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import get_args

import cv2
import pytest
import yaml

from annotator.journal import FrameRow, Journal, StepRow
from annotator.project import ProjectConfig, open_project
from annotator.project_files import STATE_FOLDER
from annotator.rounds import circle
from cvat_export.coco import ANNOTATION_FILE, read_coco
from frame_tools.images import read_manifest
from tests.annotator.rounds.tiny_project import (
    SERVER_PROJECT,
    SIZE,
    begin,
    call,
    change,
    correct,
    done,
    frames,
    quick_steps,
    rows,
    truth_of,
    write_dot_finder,
    write_film,
    write_pictures,
)
from tests.cvat_export.cvat_datasets import finish_all, names_on_server, writes

COUNT = 26


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(circle, "STEPS", quick_steps())


@pytest.fixture
def pictures(server, tmp_path):
    return write_pictures(tmp_path / "pictures", COUNT)


@pytest.fixture
def project(pictures, tmp_path, monkeypatch, quick):
    """Of pictures, without a model; commands run in its folder."""
    folder = begin("--images", tmp_path / "pictures", "--detection", "full-frame", "--pose", "none")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def proposing(project, tmp_path):
    """Likewise, with a model that proposes."""
    change(project, models={"pose": str(write_dot_finder(tmp_path / "dots.xml"))})
    return project


@pytest.fixture
def truth(pictures):
    return truth_of(pictures)


def evaluation_files(project):
    return {row.file for row in frames(project, "evaluation")}


def chosen_files(project):
    """Of all rounds so far, undone ones too: what was ever shown to people as theirs to correct."""
    folders = project.glob("rounds/*/choose*/frames")
    return {entry.file for folder in folders for entry in read_manifest(folder)}


def sorted_files(project):
    """What the last sorting divided: training, evaluation, left out with the reasons."""
    folder = project / rows(project, "sort")[-1].folder
    parts = {path.stem: {image.file_name for image in read_coco(path).images} for path in folder.glob("*.json")}
    evaluation = parts.pop("evaluation")
    left_out = [json.loads(line) for line in (folder / "left_out.jsonl").read_text().splitlines()]
    return set().union(*parts.values()), evaluation, left_out


def go(truth, times=1):
    """People finish everything, and the next steps run."""
    for _ in range(times):
        correct(truth)
        done("round", "next")


# annotator init, annotator.yaml


def test_init_explains_every_key_and_what_it_writes_reads_back(server, tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/a.mp4").touch()
    called = done("init", "mice", "--skeleton", "mouse4", "--videos", "lab", "--category", 'a "mouse": #1')
    assert called.out.strip() == "mice/annotator.yaml"
    assert "cd mice && annotator round next" in called.words
    project = open_project(tmp_path / "mice")
    config = project.config
    assert (config.name, config.category, config.cvat.project) == ("mice", 'a "mouse": #1', "mice")
    assert (config.models.detection, config.models.pose) == (None, None)
    assert project.videos() == [tmp_path / "mice/../lab/a.mp4"]
    assert (project.state / "journal.sqlite").is_file()
    text = (tmp_path / "mice/annotator.yaml").read_text()
    assert _keys(yaml.safe_load(text)) >= _fields(ProjectConfig)
    assert not any(word in text.lower() for word in ("password:", "token:"))


def _keys(content, before=()):
    inner = {key for name, value in content.items() if isinstance(value, dict) for key in _keys(value, (*before, name))}
    return {(*before, name) for name in content} | inner


def _fields(part, before=()):
    found = {(*before, name) for name in part.model_fields}
    for name, info in part.model_fields.items():
        kinds = get_args(info.annotation) if isinstance(info.annotation, UnionType) else (info.annotation,)
        for kind in kinds:
            if hasattr(kind, "model_fields"):
                found |= _fields(kind, (*before, name))
    return found


def test_init_takes_the_models_of_the_install_for_people(server):
    done("init", "walkers", "--skeleton", "coco17", "--videos", "x.mp4", "--host", "http://cvat:8080")
    content = yaml.safe_load(Path("walkers/annotator.yaml").read_text())
    assert content["category"] == "person" and content["cvat"]["host"] == "http://cvat:8080"
    assert content["models"]["pose"] == "annotator-pose" and content["models"]["detection"]
    assert content["train"]["weights"] == "annotator-pose"


def test_a_project_is_not_begun_twice(project):
    before = (project / "annotator.yaml").read_bytes()
    called = call("init", project, "--skeleton", "mouse4", "--images", "x")
    assert called.code == 1 and "is there already" in called.words
    assert (project / "annotator.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frame": {"pool": 3}}, "frame: unknown key, expected name, skeleton.*did you mean 'frames'"),
        ({"frames": {"apart": 1}}, "frames.apart: unknown key.*"),
        ({"frames": {"evaluations": 20}}, "frames.evaluations: unknown key.*did you mean 'evaluation'"),
        ({"frames": {"evaluation": 3}}, "frames.evaluation: got 3, expected greater than or equal to 10"),
        ({"frames": {"strategy": "best"}}, "frames.strategy: got 'best', expected 'hybrid'"),
        ({"seed": 0.5}, "seed: got 0.5, expected a valid integer"),
        ({"name": ""}, "name: got ''"),
        ({"images": []}, "videos: are missing, and so are images"),
        ({"cvat": {"finished": "all"}}, "cvat.finished: got 'all', expected 'accepted' or 'completed'"),
        ({"cvat": {"password": "x"}}, "cvat.password: unknown key"),
        ({"models": {"detection": None, "pose": "annotator-pose"}}, "models.detection: is missing: what finds"),
        ({"gate": {"figure": "pck"}}, "gate.figure: got 'pck', expected '"),
        ({"train": {"data": {"train": "x"}}}, "train.data: is decided by the rounds"),
        ({"train": {"task": "detection"}}, "train.task: is decided by the rounds"),
        ({"train": {"epoch": 3}}, "train.epoch: unknown key.*did you mean 'epochs'"),
        ({"train": {"optimizer": {"learning_rate": "fast"}}}, "train.optimizer.learning_rate: got 'fast'"),
        ({"skeleton": "mouse5"}, "mouse5"),
        ({"images": ["elsewhere/*.png"]}, "images: 'elsewhere/.*' names no file"),
        ({"videos": ["../pictures"]}, "videos: none in ../pictures; expected files such as"),
        ({"models": {"detection": "full-frame", "pose": "nothing-of-this-name"}}, "nothing-of-this-name"),
        ({"train": {"weights": "nothing.ckpt"}}, "nothing.ckpt"),
    ],
    ids=lambda value: "-".join(_path(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_key_is_named_before_anything_is_pushed(project, server, wrong, words):
    change(project, **wrong)
    called = call("round", "next")
    assert called.code == 1
    error = called.words[called.words.index("error: ") :]
    assert re.search(words, error), error
    assert "annotator.yaml" in error or "skeleton" in error or "model" in error, error
    assert error.count("\n") == 0
    assert not writes(server)


def _path(content):
    (name, value), *_ = content.items()
    return (name, *_path(value)) if isinstance(value, dict) else (name,)


@pytest.mark.parametrize(
    "text", ["name: [", "- 1\n- 2\n", "", "name: \xff"], ids=["cut off", "a list", "empty", "latin"]
)
def test_a_file_that_is_no_project_says_so(project, text):
    (project / "annotator.yaml").write_bytes(text.encode("latin-1"))
    called = call("round", "next")
    assert called.code == 1 and str(project / "annotator.yaml") in called.words


def test_outside_of_a_project_rounds_say_where_to_go(server):
    for words in (("next",), ("status",), ("undo",)):
        called = call("round", *words)
        assert called.code == 1 and "annotator init" in called.words


# rounds


def test_a_round_stops_for_people_and_goes_on_after_them(project, server, truth):
    called = done("round", "next", "--json")
    assert (called.json["round"], called.json["step"], called.json["waiting"]) == (1, "correct", True)
    assert "0 of 2 jobs" in called.json["words"]
    assert len(names_on_server(server)) == 14

    text = done("round", "status").out
    assert "round 1" in text and "10 of 26 frames drawn by lot" in text
    assert text.count("waiting for people") == 1
    content = done("round", "status", "--json").json
    assert (content["round"], content["state"]) == (1, "waiting")
    assert content["frames"] == {"evaluation": 10, "pool": 12, "selected": 4}
    assert [step["name"] for step in content["steps"]] == [step.name for step in circle.STEPS[:6]]
    assert "job" in content["waiting_for"]

    before = len(writes(server)), rows(project)
    assert "waiting for people" in done("round", "next").out
    after = len(writes(server)), rows(project)
    assert before[0] == after[0]
    assert [_as_it_stands(row) for row in before[1]] == [_as_it_stands(row) for row in after[1]]

    correct(truth)
    called = done("round", "next")
    assert called.out.startswith("round 2: waiting for people")
    learnt, measured, left_out = sorted_files(project)
    assert learnt == {row.file for row in frames(project, "selected") if row.round == 1}
    assert measured == evaluation_files(project) and len(measured) == 10 and not left_out
    assert done("round", "status", "--json").json["frames"] == {"evaluation": 10, "pool": 8, "selected": 8}


def _as_it_stands(row):
    return row.round, row.name, row.attempt, row.state, row.inputs, row.outputs, row.figures, row.error


def test_rounds_end_when_there_are_no_more_frames(project, truth):
    done("round", "next")
    go(truth, 3)
    correct(truth)
    called = done("round", "next", "--json")
    assert (called.json["round"], called.json["step"], called.json["waiting"]) == (5, "choose", False)
    assert "name more videos" in called.json["words"]
    learnt, measured, _ = sorted_files(project)
    assert len(learnt) == 16 and len(measured) == 10
    assert "name more videos" in done("round", "next").out


def test_more_images_are_taken_in_and_the_evaluation_set_stays(project, truth, pictures, tmp_path):
    done("round", "next")
    go(truth)
    kept = evaluation_files(project)
    more = write_pictures(tmp_path / "more", COUNT + 6)[COUNT:]
    change(project, images=["../pictures", *(f"../more/{image.file_name}" for image in more)])
    both = truth_of([*pictures, *more])
    go(both)
    assert done("round", "status", "--json").json["steps"][-6]["figures"]["frames"] == COUNT + 6
    assert evaluation_files(project) == kept
    go(both, 3)
    assert {image.file_name for image in more} & chosen_files(project)
    assert not chosen_files(project) & kept


def test_an_evaluation_set_that_leaves_nothing_may_be_made_smaller(project, server):
    change(project, frames={"evaluation": COUNT})
    called = call("round", "next")
    assert called.code == 1 and f"frames.evaluation: got {COUNT} of {COUNT} frames" in called.words
    change(project, frames={"evaluation": 12})
    assert done("round", "next").out.startswith("round 1: waiting")
    assert len(evaluation_files(project)) == 12


def test_a_step_that_fails_is_said_and_tried_again(project, server, truth):
    done("round", "next")
    finish_all(server)  # without anybody labelled
    called = call("round", "next")
    assert called.code == 1 and "nothing to learn from" in called.words and "annotator round undo" in called.words
    status = done("round", "status")
    assert "failed" in status.out and "nothing to learn from" in status.out
    for job in server.state.jobs:
        server.state.set_job(job, stage="annotation", state="new")
    correct(truth)
    done("round", "undo", "--to", "correct")
    assert done("round", "next").out.startswith("round 2")


def test_nothing_to_measure_by_stops_before_the_training(project, server, truth):
    change(project, cvat={"finished": "completed"})
    done("round", "next")
    correct(truth)
    for job in _jobs_with(server, evaluation_files(project)):
        server.state.set_job(job.id, stage="annotation", state="in progress")
    called = call("round", "next", "--now")
    assert called.code == 1 and "nothing to measure by" in called.words
    assert not rows(project, "train")


def _jobs_with(server, names):
    state = server.state
    return [
        job
        for job in state.jobs.values()
        if {state.tasks[job.task_id].frames[n].name for n in range(job.start_frame, job.stop_frame + 1)} & set(names)
    ]


def test_a_check_that_was_stopped_is_done_anew(project, truth):
    done("round", "next")
    half = project / "rounds/1/check/pulled/report_files"
    half.mkdir(parents=True)
    (half / "0001.jpg").touch()
    go(truth)
    assert (half.parent / "problems.jsonl").is_file()


# leaks


def _films(tmp_path):
    return [image for number in (1, 2) for image in write_film(tmp_path / f"film{number}.mp4", 30, number)]


@pytest.mark.parametrize("strategy", ["hybrid", "uncertain", "disagreement", "diverse", "uniform"])
def test_evaluation_frames_are_never_chosen(server, tmp_path, monkeypatch, quick, strategy):
    truth = truth_of(_films(tmp_path))
    frames_part = {"pool": 48, "evaluation": 10, "a_round": 3, "apart_seconds": 0.15, "strategy": strategy}
    project = begin("--videos", tmp_path / "film*.mp4", frames=frames_part, cvat={"segment_size": 3})
    change(project, models={"detection": "full-frame", "pose": str(write_dot_finder(tmp_path / "dots.xml"))})
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
    job = _jobs_with(server, before)[0]
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


# undo


def test_what_is_taken_back_is_done_again(project, server, truth):
    done("round", "next")
    go(truth)
    called = done("round", "undo")
    assert called.out == "round 2: push is taken back; its files stay in rounds/2/push\n"
    assert called.words == "what was pushed stays in CVAT\n"
    before = len(writes(server)), names_on_server(server)
    assert done("round", "next").out.startswith("round 2: waiting")
    assert (len(writes(server)), names_on_server(server)) == before
    taken = done("round", "undo", "--to", "train", "--json").json
    assert [(row["round"], row["step"]) for row in taken][:2] == [(2, "push"), (2, "propose")]
    assert (taken[-1]["round"], taken[-1]["step"]) == (1, "train")
    assert done("round", "status", "--json").json["frames"] == {"evaluation": 10, "pool": 12, "selected": 4}
    called = done("round", "next")
    assert called.out.startswith("round 2: waiting") and "train: as before" in called.words
    assert names_on_server(server) == before[1]
    assert {row.state for row in rows(project, "train")} == {"done"}


def test_what_people_have_done_since_is_pulled_after_an_undo(project, server, truth):
    done("round", "next")
    go(truth)
    name = sorted(evaluation_files(project))[0]
    (job,) = _jobs_with(server, [name])
    task = server.state.tasks[job.task_id]
    number = next(n for n, frame in enumerate(task.frames) if frame.name == name)
    shape = next(shape for shape in server.state.shapes(job.task_id) if shape["frame"] == number)
    server.state.edit_joint(job.task_id, shape["id"], "snout", 3, 0)
    before = (project / "corrected" / ANNOTATION_FILE).read_bytes()
    done("round", "undo", "--to", "pull")
    done("round", "next")
    assert (project / "corrected" / ANNOTATION_FILE).read_bytes() != before
    sorts = rows(project, "sort")
    assert [row.state for row in sorts] == ["undone", "done"]


def test_the_evaluation_set_is_not_taken_back(project, truth):
    assert "no step" in call("round", "undo").words
    done("round", "next")
    called = call("round", "undo", "--to", "evaluation")
    assert called.code == 1 and "evaluation set stay" in called.words
    assert rows(project, "evaluation")[0].state == "done"
    assert call("round", "undo", "--to", "holiday").code == 2
    go_on = done("round", "next")
    assert go_on.out.startswith("round 1: waiting")
    assert len(evaluation_files(project)) == 10


# two at once, defaults, speed

_HOLDER = """
import sys
from pathlib import Path
from annotator.journal import Journal
with Journal(Path(sys.argv[1])).locked("annotator round next"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_says_who_is_at_work(project):
    command = [sys.executable, "-c", _HOLDER, str(project / STATE_FOLDER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        for words in (("next",), ("undo",), ("import", project / "annotator.yaml")):
            called = call("round", *words)
            assert called.code == 1
            assert f"in use by `annotator round next`, process {holder.pid} of" in called.words
        assert done("round", "status").out.startswith("nothing has been done yet")
        holder.stdin.close()
    assert done("round", "next").out.startswith("round 1: waiting")
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    assert done("round", "next").out.startswith("round 1: waiting")  # whoever was killed holds nothing


def test_commands_inside_a_project_take_its_defaults(proposing, server, tmp_path, monkeypatch):
    done("preannotate", tmp_path / "pictures", "-o", "out")
    labelled = read_coco(proposing / "out")
    assert labelled.categories[0].name == "mouse4"
    assert sum(len(image.instances) for image in labelled.images) == COUNT
    plan = done("push", "out", "--dry-run", "--json").json
    assert plan["project"] == SERVER_PROJECT and plan["tasks"][0]["images"] == COUNT
    (proposing / "below").mkdir()
    monkeypatch.chdir(proposing / "below")
    done("push", "../out")
    finish_all(server)
    (job,) = done("status", "--json").json
    assert job["frames"] == COUNT and job["state"] == "completed"
    assert done("pull", "-o", "pulled", "--json").json["images"] == COUNT
    assert (proposing / STATE_FOLDER).is_dir() and not (proposing / "below" / STATE_FOLDER).exists()
    monkeypatch.chdir(tmp_path)
    assert "--project" in call("push", proposing / "out", "--dry-run").words
    assert call("pull", "-o", "elsewhere").code == 2
    assert "has no record of a push" in call("status").words


def test_an_export_is_read_inside_a_project_too(proposing, tmp_path):
    """It names no project, and the default is not meant."""
    done("preannotate", tmp_path / "pictures", "-o", "out")
    called = done("pull", "--from-zip", "out.zip", "--finished", "yes", "--proposals", "out", "-o", "pulled", "--json")
    assert called.json["images"] == COUNT
    assert call("pull", "--from-zip", "out.zip", "--finished", "yes", "--project", "x", "-o", "again").code == 2


def test_select_inside_a_project_asks_the_model_if_there_is_one(project, tmp_path):
    done("round", "next")
    pool = "rounds/1/pool/images"
    found = done("select", pool, "-n", 3, "-o", "by_looks", "--json").json
    assert found["frames"] == 3
    change(project, models={"pose": str(write_dot_finder(tmp_path / "dots.xml"))})
    done("select", pool, "-n", 3, "-o", "by_doubt")
    assert json.loads((project / "by_doubt/run.json").read_text())["plan"]["strategy"] == "hybrid"


@pytest.mark.parametrize("command", ["push", "pull", "status", "preannotate", "select", "round", "init"])
@pytest.mark.parametrize("broken", ["file", "journal"])
def test_help_works_in_a_broken_project(project, command, broken):
    if broken == "file":
        (project / "annotator.yaml").write_text("frames: {pol: 3}")
    else:
        (project / STATE_FOLDER / "journal.sqlite").write_bytes(b"no database, but long enough for one" * 99)
    assert "Usage" in done(command, "--help").out
    assert "Usage" in done(command, "-h").out
    if command in ("push", "pull", "status"):
        words = {"push": [project]}.get(command, ["-o", "x"] if command == "pull" else [])
        called = call(command, *words)
        assert called.code == 1 and ("annotator.yaml" in called.words or "journal.sqlite" in called.words)


MILLION = 1_000_000


@pytest.mark.slow
def test_status_of_a_million_frames_is_quick_and_light(project):
    journal = Journal(project / STATE_FOLDER)
    row = StepRow(1, 1, "pool", 1, "running", "rounds/1/pool", {}, {}, {}, None, 5.0, None, "me")
    journal.begin(row)
    figures = {"frames": MILLION, "videos": 1, "images": 0, "skipped": 0}
    pool = (FrameRow("ab" * 32, pts, f"film-abababab-{pts}.jpg", pts / 25) for pts in range(MILLION))
    journal.end(row, "done", {}, figures, pool)
    journal.close()
    code = (
        "import resource, sys; from annotator.cli import group\n"
        "for words in (['round', 'status'], ['init', '--help']):\n"
        "    group.main(words, standalone_mode=False)\n"
        "heavy = {'torch', 'openvino', 'cv2', 'av', 'cvat_sdk', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "1000000 pool" in result.stdout
    assert float(result.stderr.splitlines()[-1]) < 0.5
