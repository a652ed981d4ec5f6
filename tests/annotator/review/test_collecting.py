"""Tags become work, once: jobs and issues in the stand-in for CVAT, and the lines of review.jsonl."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from annotator.cli import group
from annotator.known_frames import file_key
from annotator.review.collecting import carry_out, known_places, plan
from annotator.review.tags import TAGS, TagFile, Tagged
from cvat_export.push_record import PushRecord, record_folder
from cvat_export.server import CvatServer, Login
from tests.annotator.review.folders_to_review import HEIGHT, WIDTH, frame_name, person, write_proposed

NAMES = [frame_name(number) for number in range(4)]
TAG_SETS = st.lists(st.sampled_from(TAGS), unique=True).map(tuple)


def tagged(name, *tags, **values):
    return Tagged(name, tags, WIDTH, HEIGHT, **values)


@pytest.fixture
def pushed(server, tmp_path):
    """A project of four frames in two jobs that people have accepted, as it was pushed from here."""
    out = write_proposed(tmp_path / "out", {name: (person(40, 30),) for name in NAMES})
    result = CliRunner().invoke(group, ["push", str(out), "--project", "walkers", "--segment-size", "2"])
    assert result.exit_code == 0, result.output
    for job in list(server.state.jobs):
        server.state.set_job(job, stage="acceptance", state="completed")
    client = CvatServer(Login(server.url, server.token))
    record = PushRecord(record_folder(tmp_path / ".annotator", server.url, "walkers"))
    return server.state, client, known_places(out, record)


def collect(pushed, file, *frames):
    _, client, places = pushed
    return carry_out(plan(frames, file.read(), in_project=False), client, places, file)


def test_redo_opens_the_job_with_an_issue_on_the_frame(pushed, tmp_path):
    state, file = pushed[0], TagFile(tmp_path / "review.jsonl")
    done = collect(pushed, file, tagged(NAMES[3], "redo", words="inversion", places_xyxy=((30.0, 25.0, 50.0, 87.0),)))
    assert list(done.sentences(dry_run=False)) == [f"{NAMES[3]}: redo: its job is open again"]
    (issue,) = state.issues.values()
    job = state.jobs[issue.job_id]
    assert (issue.frame, issue.position) == (3, [30.0, 25.0, 50.0, 87.0]) and job.holds(3)
    assert (job.stage, job.state) == ("annotation", "in progress")
    assert [comment.message for comment in state.comments.values()] == ["Please redo: tagged in review. inversion"]
    assert {one.stage for one in state.jobs.values() if one is not job} == {"acceptance"}
    assert file.read()[file_key(NAMES[3])].issue == issue.id


def test_twice_does_nothing_twice(pushed, tmp_path):
    state, file = pushed[0], TagFile(tmp_path / "review.jsonl")
    frames = [tagged(NAMES[0], "redo", "hard"), tagged(NAMES[1], "good")]
    collect(pushed, file, *frames)
    before, requests = file.path.read_bytes(), len(state.issues)
    again = collect(pushed, file, *frames)
    assert not list(again.sentences(dry_run=False))
    assert (file.path.read_bytes(), len(state.issues)) == (before, requests)


def test_a_crash_before_the_file_was_written_leaves_one_issue(pushed, tmp_path):
    state, file = pushed[0], TagFile(tmp_path / "review.jsonl")
    collect(pushed, file, tagged(NAMES[0], "redo"))
    file.path.unlink()
    collect(pushed, file, tagged(NAMES[0], "redo"))
    assert len(state.issues) == 1


def test_a_tag_given_again_counts_anew(pushed, tmp_path):
    state, file = pushed[0], TagFile(tmp_path / "review.jsonl")
    collect(pushed, file, tagged(NAMES[0], "redo"))
    state.issues[1].resolved = True
    assert list(collect(pushed, file).sentences(dry_run=False)) == [f"{NAMES[0]}: no longer tagged"]
    collect(pushed, file, tagged(NAMES[0], "redo"))
    assert len(state.issues) == 2


def test_frames_that_are_not_in_cvat_are_told_and_asked_again(pushed, tmp_path):
    file = TagFile(tmp_path / "review.jsonl")
    for _ in range(2):
        done = collect(pushed, file, tagged("stranger.jpg", "redo", "good"))
        assert "is in no task that is known here" in done.skipped["stranger.jpg"]
    assert file.read()[file_key("stranger.jpg")].tags == ("good",)


@given(first=TAG_SETS, second=TAG_SETS)
def test_what_is_fresh_is_what_was_not_there(first, second):
    known = plan([tagged(NAMES[0], *first)], {}, True, "then").lines
    planned = plan([tagged(NAMES[0], *second)] if second else [], known, True, "now")
    had = known[file_key(NAMES[0])].tags if known else ()
    fresh = {tag for tag, names in planned.fresh.items() if names}
    assert fresh == set(second) - set(had)
    assert bool(planned.untagged) == bool(had and not second)
    again = plan([tagged(NAMES[0], *second)] if second else [], planned.lines, True, "later")
    assert set(again.lines.values()) == set(planned.lines.values())


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "review.jsonl").write_text(json.dumps({"file_name": "a"}) + "\n")
    with pytest.raises(Exception, match=r"review.jsonl:1: is no line of a review"):
        TagFile(tmp_path / "review.jsonl").read()
