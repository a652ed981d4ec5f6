"""The journal: what is written is there, frames keep their roles, and a million of them are no burden."""

import sqlite3
import time

import numpy as np
import pytest

from annotator.errors import AnnotatorError
from annotator.journal import JOURNAL_FILE, FrameRow, Journal, StepRow


def step(name="choose", number=1, place=3, attempt=1):
    return StepRow(number, place, name, attempt, "running", "rounds/1/x", {"a": 1}, {}, {}, None, 5.0, None, "me")


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def test_a_step_is_written_before_and_after(journal, tmp_path):
    journal.begin(step())
    other = Journal(tmp_path)  # as another process would see it
    assert other.steps() == [step()]
    journal.end(step(), "done", {"file": "hash"}, {"frames": 3})
    (row,) = other.steps(1)
    assert (row.state, row.outputs, row.figures) == ("done", {"file": "hash"}, {"frames": 3})
    assert row.seconds > 0 and other.steps(2) == []
    other.close()


def test_beginning_the_same_attempt_again_makes_no_second_row(journal):
    journal.begin(step())
    journal.begin(step())
    assert len(journal.steps()) == 1
    journal.begin(step(attempt=2))
    assert [row.attempt for row in journal.steps()] == [1, 2]


def test_frames_keep_their_role_when_the_pool_is_looked_at_again(journal):
    journal.begin(step())
    pool = [FrameRow("ab", pts, f"{pts}.jpg", pts / 10) for pts in range(4)]
    journal.end(step(), "done", {}, {}, pool)
    journal.end(step(), "done", {}, {}, [FrameRow("ab", 2, "2.jpg", 0.2, "evaluation")])
    journal.end(step(), "done", {}, {}, [FrameRow("ab", 1, "1.jpg", 0.1, "selected", 1)])
    journal.end(step(), "done", {}, {}, pool)
    assert journal.frame_counts() == {"evaluation": 1, "pool": 2, "selected": 1}
    assert journal.frames("evaluation") == [FrameRow("ab", 2, "2.jpg", 0.2, "evaluation")]


def test_undoing_a_choice_gives_its_frames_back_and_no_others(journal):
    for number in (1, 2):
        journal.begin(step(number=number))
        journal.end(step(number=number), "done", {}, {}, [FrameRow("ab", number, "x.jpg", None, "selected", number)])
    journal.undo(journal.steps(2)[0])
    assert [(frame.role, frame.round) for frame in journal.frames()] == [("selected", 1), ("pool", None)]
    assert [row.state for row in journal.steps()] == ["done", "undone"]


def test_a_step_and_its_frames_are_written_both_or_neither(journal):
    def frames():
        yield FrameRow("ab", 1, "1.jpg", None)
        raise KeyboardInterrupt

    journal.begin(step())
    with pytest.raises(KeyboardInterrupt):
        journal.end(step(), "done", {}, {}, frames())
    assert journal.frames() == [] and journal.steps()[0].state == "running"


def test_what_frames_look_like_comes_back(journal):
    journal.begin(step())
    journal.end(step(), "done", {}, {}, [FrameRow("ab", pts, "x.jpg", None) for pts in range(3)])
    vectors = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float32)
    journal.put_vectors([("ab", 2), ("ab", 0)], vectors)
    keys, roles, found = journal.vectors()
    assert keys == [("ab", 0), ("ab", 2)] and roles == ["pool", "pool"]
    np.testing.assert_array_equal(found, vectors[::-1])


def test_something_else_is_refused(tmp_path):
    (tmp_path / JOURNAL_FILE).write_text("no database, but long enough to be taken for one" * 40)
    with pytest.raises(AnnotatorError, match="no journal, or damaged"):
        Journal(tmp_path)


def test_a_journal_of_a_later_version_is_refused(tmp_path):
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(AnnotatorError, match="another version"):
        Journal(tmp_path)


def test_counting_frames_takes_no_time(journal):
    journal.begin(step())
    journal.end(step(), "done", {}, {}, (FrameRow("ab", pts, "x.jpg", None) for pts in range(100_000)))
    started = time.perf_counter()
    assert journal.frame_counts() == {"pool": 100_000}
    assert time.perf_counter() - started < 0.2
