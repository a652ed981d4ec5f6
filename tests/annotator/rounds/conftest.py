"""What tests of rounds begin from: a project of pictures, with or without a model that proposes."""

import pytest

from annotator.rounds import circle
from tests.annotator.rounds.tiny_project import (
    COUNT,
    begin,
    change,
    quick_steps,
    truth_of,
    write_dot_finder,
    write_pictures,
)


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
