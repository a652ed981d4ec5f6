"""annotator init, and annotator.yaml: what is wrong in it is said before anything is begun."""

import re
from pathlib import Path
from types import UnionType
from typing import get_args

import pytest
import yaml

from annotator.project import ProjectConfig, open_project
from tests.annotator.rounds.tiny_project import (
    call,
    change,
    done,
)
from tests.cvat_export.cvat_datasets import writes


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
    assert config.train["weights"] == "annotator-pose" and config.detector["weights"] == "annotator-person"
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
    assert content["train"]["weights"] == "annotator-pose" and content["detector"] is None


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
        ({"frames": {"strategy": "best"}}, "frames.strategy: got 'best', expected '"),
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
        ({"train": {"weights": "nothing.ckpt"}}, "train.weights: 'nothing.ckpt' is neither"),
        ({"train": {"network": "lite-fnp"}}, "network 'lite-fnp': there is none.*did you mean 'lite-fpn'"),
        ({"models": {"detection": None}}, "detector: is null, and so is models.detection"),
        ({"detector": {"epoch": 3}}, "detector.epoch: unknown key.*did you mean 'epochs'"),
        ({"detector": {"data": {"train": "x"}}}, "detector.data: is decided by the rounds"),
        ({"detector": {"weights": "nothing.ckpt"}}, "detector.weights: 'nothing.ckpt' is neither"),
        (
            {"detector": {"network": "lite-detektor"}},
            "network 'lite-detektor': no detector.*did you mean 'lite-detector'",
        ),
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
