"""A detector of the project's own: trained with the pose model, and in use once it is better than the one before."""

import json

import pytest

from annotator.journal import Journal
from annotator.project import open_project
from annotator.project_files import STATE_FOLDER
from annotator.rounds.step import CurrentRound
from cvat_export.atomic import write_bytes
from cvat_export.coco import encode_coco
from cvat_export.dataset import Category, Dataset
from tests.annotator.rounds.tiny_project import MOUSE, begin, change, done, frames, go, rows, write_dot_finder

SETTINGS = {"epochs": 2, "batch_size": 4, "input": {"width": 64, "height": 64}, "weights": None}


@pytest.fixture
def detecting(pictures, tmp_path, monkeypatch, quick):
    """A project whose first detector is trained in its first round."""
    folder = begin("--images", tmp_path / "pictures", "--pose", "none", detector=SETTINGS)
    monkeypatch.chdir(folder)
    return folder


def in_use(project):
    journal = Journal(project / STATE_FOLDER)
    found = CurrentRound(open_project(project), journal, 2).detector()
    journal.close()
    return found


@pytest.mark.slow
def test_the_first_detector_is_taken_and_proposes(detecting, truth, tmp_path):
    done("round", "next")
    assert in_use(detecting) is None
    go(truth)
    (row,) = rows(detecting, "detector")
    assert row.figures["accepted"] and row.figures["reason"] == "the first model"
    model = detecting / "rounds/1/detector/model.xml"
    assert in_use(detecting) == str(model) and model.is_file()
    assert set(row.outputs) == {f"rounds/1/detector/{name}" for name in ("model.xml", "model.bin", "gate.json")}
    assert str(detecting) not in (detecting / "rounds/1/detector/gate.json").read_text()
    assert "detector" in done("round", "status").out

    change(detecting, models={"detection": "full-frame", "pose": str(write_dot_finder(tmp_path / "dots.xml"))})
    go(truth)
    proposed = rows(detecting, "propose")[-1]
    plan = json.loads((detecting / proposed.folder / "out/run.json").read_text())["plan"]
    assert proposed.round == 3 and "model.xml" in json.dumps(plan) and "full-frame" not in json.dumps(plan)


@pytest.mark.slow
def test_a_detector_that_is_not_better_is_refused(detecting, pictures, truth, tmp_path):
    """Than one that knows the truth."""
    oracle = tmp_path / "oracle.json"
    write_bytes(oracle, encode_coco(Dataset((Category("mouse4", MOUSE),), tuple(pictures))))
    change(detecting, models={"detection": str(oracle)})
    done("round", "next")
    go(truth)
    (row,) = rows(detecting, "detector")
    assert not row.figures["accepted"] and "box AP" in row.figures["reason"]
    assert in_use(detecting) == str(oracle)
    verdict = json.loads((detecting / row.folder / "gate.json").read_text())
    assert verdict["verdict"]["accepted"] is False and verdict["against"]["detector"] == str(oracle)
    assert verdict["counts"]["images"] == len(frames(detecting, "evaluation"))


def test_without_one_nothing_is_trained(project, truth):
    done("round", "next")
    go(truth)
    (row,) = rows(project, "detector")
    assert row.figures == {"trained": False, "accepted": False} and not (project / row.folder).exists()
