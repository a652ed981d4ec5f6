"""What people tagged in review, as rounds take it."""

import time
from types import SimpleNamespace

import pytest

from annotator.journal import Journal, StepRow
from annotator.review.tags import BAD_FRAME, HARD, TAG_FILE, TagFile, TaggedFrame, tag_file
from annotator.rounds.choosing import _hard, _write_hard
from annotator.rounds.step import CurrentRound


@pytest.fixture
def project(tmp_path):
    (tmp_path / "annotator.yaml").write_text("name: tags\n")
    return SimpleNamespace(root=tmp_path, state=tmp_path / ".annotator")


def tag(project, **tags):
    tag_file(project.root).write(TaggedFrame(f"{name}.jpg", tuple(given), "now") for name, given in tags.items())


def chosen(journal, number, like):
    row = StepRow(number, 3, "choose", 1, "running", "x", {"like": like}, {}, {}, None, time.time(), None, "test")
    journal.begin(row)
    journal.end(row, "done", {}, {})


def test_a_hard_frame_is_followed_once(project):
    tag(project, a=[HARD], b=[HARD, BAD_FRAME], c=[BAD_FRAME])
    journal = Journal(project.state)
    assert _hard(CurrentRound(project, journal, 1)) == ["a.jpg", "b.jpg"]
    chosen(journal, 1, ["a.jpg"])
    assert _hard(CurrentRound(project, journal, 1)) == ["a.jpg", "b.jpg"], "the same round begun again"
    assert _hard(CurrentRound(project, journal, 2)) == ["b.jpg"]
    (written,) = _write_hard(CurrentRound(project, journal, 2), project.root / "choose")
    assert written.name == TAG_FILE and TagFile(written).names(HARD) == ["b.jpg"]


def test_a_project_without_tags_chooses_as_before(project, tmp_path):
    assert _write_hard(CurrentRound(project, Journal(project.state), 1), tmp_path / "choose") == []
