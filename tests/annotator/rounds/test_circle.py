"""The engine of the rounds, with steps that only write files: order, resuming, undoing, attempts, the lock."""

from dataclasses import replace

import pytest

from annotator.errors import AnnotatorError
from annotator.journal import Journal
from annotator.project import Project, ProjectConfig
from annotator.rounds import circle
from annotator.rounds.circle import advance, undo
from annotator.rounds.step import Done, Ended, Step, Waiting

NAMES = ("pool", "evaluation", "choose", "correct", "train", "curve")


class Recorded:
    """Steps that append to `ran`, fail where `fails` says so, and wait for `open` people."""

    def __init__(self):
        self.ran, self.fails, self.open, self.setting, self.rounds = [], None, 0, "as it was", 2

    def steps(self):
        return (
            self._step("pool", lasting=True),
            self._step("evaluation", lasting=True),
            self._step("choose"),
            Step("correct", lambda here: {}, self._correct),
            self._step("train", lambda here: {"before": here.done("choose").outputs, "setting": self.setting}),
            self._step("curve", lambda here: {"model": here.done("train").outputs}),
        )

    def _step(self, name, inputs=lambda here: {}, lasting=False):
        def run(here, folder):
            if name == "choose" and here.number > self.rounds:
                return Ended("no more frames")
            self.ran.append((here.number, name))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "result.txt").write_text(f"{here.number} {name} {self.setting}")
            if self.fails == (here.number, name):
                raise AnnotatorError(f"{name} broke")
            return Done({"n": here.number}, [folder / "result.txt"])

        return Step(name, inputs, run, lasting=lasting)

    def _correct(self, here, folder):
        waiting = self.open and here.patient
        return Waiting({"jobs": self.open}, f"waiting for {self.open} jobs") if waiting else Done({"jobs": 0})


@pytest.fixture
def recorded(monkeypatch):
    steps = Recorded()
    monkeypatch.setattr(circle, "STEPS", steps.steps())
    monkeypatch.setattr(circle, "WORDS", dict.fromkeys(NAMES, str))
    monkeypatch.setattr(circle, "CHOOSE", None)
    return steps


@pytest.fixture
def project(tmp_path):
    content = {
        "name": "p",
        "skeleton": "mouse4",
        "category": "mouse",
        "images": ("x",),
        "cvat": {"project": "p"},
        "detector": {},
    }
    return Project(tmp_path, ProjectConfig(**content))


def go(project, patient=True):
    journal = Journal(project.state)
    try:
        return advance(project, journal, lambda text: None, patient)
    finally:
        journal.close()


def rows(project):
    journal = Journal(project.state)
    found = journal.steps()
    journal.close()
    return [replace(row, started=0, ended=None, process="") for row in found]


def states(project, number):
    return {row.name: row.state for row in rows(project) if row.round == number}


def test_steps_run_in_order_until_there_is_nothing_more_to_do(project, recorded):
    reached = go(project)
    assert (reached.round, reached.step, reached.waiting, reached.words) == (3, "choose", False, "no more frames")
    first = [(1, name) for name in ("pool", "evaluation", "choose", "train", "curve")]
    assert recorded.ran == [*first, *((2, name) for name in ("choose", "train", "curve"))]  # pool serves again
    assert states(project, 2)["pool"] == "done"
    go(project)
    assert len(recorded.ran) == 8


def test_people_are_waited_for_and_may_be_left_waiting(project, recorded):
    recorded.open = 3
    assert go(project).waiting
    assert go(project).words == "waiting for 3 jobs"
    assert recorded.ran == [(1, name) for name in ("pool", "evaluation", "choose")]
    reached = go(project, patient=False)  # goes on now, and waits in the next round
    assert (reached.round, reached.step) == (2, "correct") and states(project, 1)["curve"] == "done"


@pytest.mark.parametrize("where", [(1, "pool"), (1, "choose"), (1, "train"), (2, "choose"), (2, "curve")])
def test_what_broke_goes_on_and_leaves_the_journal_of_an_unbroken_run(project, recorded, tmp_path, where):
    recorded.fails = where
    with pytest.raises(AnnotatorError, match="broke"):
        go(project)
    assert states(project, where[0])[where[1]] == "failed"
    recorded.fails = None
    go(project)
    unbroken = Project(tmp_path / "other", project.config)
    go(unbroken)
    assert rows(project) == rows(unbroken)


def test_a_step_that_was_taken_back_serves_again_if_nothing_has_changed(project, recorded):
    recorded.rounds = 1
    go(project)
    before = list(recorded.ran)
    journal = Journal(project.state)
    taken = [(row.round, row.name) for row in undo(project, journal, "train")]
    assert taken == [(2, "evaluation"), (2, "pool"), (1, "curve"), (1, "train")]
    journal.close()
    assert states(project, 1)["train"] == "undone"
    go(project)
    assert recorded.ran == before and states(project, 1)["train"] == "done"


def test_other_inputs_make_another_attempt_in_a_folder_of_its_own(project, recorded):
    recorded.rounds = 1
    go(project)
    journal = Journal(project.state)
    undo(project, journal, "train")
    journal.close()
    recorded.setting = "changed"
    go(project)
    attempts = [(row.attempt, row.state, row.folder) for row in rows(project) if row.name == "train"]
    assert attempts == [(1, "undone", "rounds/1/train"), (2, "done", "rounds/1/train-2")]
    assert (project.root / "rounds/1/train/result.txt").read_text().endswith("as it was")
    assert (project.root / "rounds/1/train-2/result.txt").read_text().endswith("changed")


def test_a_result_whose_file_was_changed_does_not_serve_again(project, recorded):
    recorded.rounds = 1
    go(project)
    journal = Journal(project.state)
    undo(project, journal, "train")
    journal.close()
    (project.root / "rounds/1/train/result.txt").write_text("somebody was here")
    go(project)
    assert recorded.ran.count((1, "train")) == 2


def test_the_evaluation_set_is_never_taken_back(project, recorded):
    recorded.rounds = 0
    go(project)
    journal = Journal(project.state)
    with pytest.raises(AnnotatorError, match="evaluation set stay"):
        undo(project, journal)
    journal.close()
    assert states(project, 1)["evaluation"] == "done"


def test_the_second_of_two_is_told_who_holds_the_lock(project, recorded):
    journal = Journal(project.state)
    with (
        journal.locked("annotator round next"),
        pytest.raises(AnnotatorError, match=r"in use by .*round next.*process \d+ of"),
    ):
        go(project)
    go(project)  # it was let go
