"""Rounds of a project as its user goes them, by the command line, against the stand-in server; and undo."""

from annotator.review.tags import BAD_FRAME, HARD, TaggedFrame, tag_file
from annotator.rounds import circle
from cvat_export.coco import ANNOTATION_FILE
from frame_tools.images import read_manifest
from tests.annotator.rounds.tiny_project import (
    COUNT,
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
    write_pictures,
)
from tests.cvat_export.cvat_datasets import finish_all, names_on_server, writes


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
    for job in jobs_with(server, evaluation_files(project)):
        server.state.set_job(job.id, stage="annotation", state="in progress")
    called = call("round", "next", "--now")
    assert called.code == 1 and "nothing to measure by" in called.words
    assert not rows(project, "train")


def test_what_people_tagged_is_followed(project, truth):
    """A bad frame is not learnt from, and once the next round's frames are in part like a hard one."""
    done("round", "next")
    bad, hard, *_ = sorted(chosen_files(project))
    tag_file(project).write([TaggedFrame(bad, (BAD_FRAME,), "now"), TaggedFrame(hard, (HARD,), "now")])
    go(truth)
    learnt, _, left_out = sorted_files(project)
    assert hard in learnt and bad not in learnt
    assert [row["file_name"] for row in left_out] == [bad] and "tagged" in left_out[0]["reason"]
    second = read_manifest(project / "rounds/2/choose/frames")
    assert [f"from {hard}, which somebody tagged hard" in entry.reason for entry in second].count(True) == 1
    go(truth)
    assert not any("tagged hard" in entry.reason for entry in read_manifest(project / "rounds/3/choose/frames"))


def test_a_check_that_was_stopped_is_done_anew(project, truth):
    done("round", "next")
    half = project / "rounds/1/check/pulled/report_files"
    half.mkdir(parents=True)
    (half / "0001.jpg").touch()
    go(truth)
    assert (half.parent / "problems.jsonl").is_file()


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
    (job,) = jobs_with(server, [name])
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
