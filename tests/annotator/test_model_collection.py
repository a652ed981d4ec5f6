"""annotator models: listing, adding and removing."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from annotator.cli import KNOWN_ERRORS, group
from annotator.detector import DetectionOptions, load_detector
from annotator.estimators import EstimatorOptions, load_estimator
from annotator.named_models import SHIPPED, added_folder, added_models
from annotator.pose_model import load_pose_model
from demo.marker_models import write_models
from trainers.runtimes import Execution
from trainers.runtimes.formats import identify, model_parts

CARDS = Path(__file__).parents[1] / "cards"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A user who has added nothing."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def markers(tmp_path):
    return write_models(tmp_path / "markers")


def _run(*words):
    return CliRunner().invoke(group, ["models", *map(str, words)])


def _json(*words):
    result = _run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _refusal(*words):
    result = _run(*words)
    assert isinstance(result.exception, KNOWN_ERRORS), result.output
    return str(result.exception)


def test_the_table():
    lines = [line.split() for line in _run().output.splitlines()]
    assert lines[0] == ["name", "kind", "input", "finds", "size", "licence"]
    assert [line[0] for line in lines[1:]] == list(SHIPPED)
    assert lines[1][1] == "detector" and lines[1][3] == "person"
    assert lines[3][1] == "pose" and lines[3][3:5] == ["17", "joints"]


def test_the_same_as_json():
    rows = {row["name"]: row for row in _json()}
    assert list(rows) == list(SHIPPED)
    assert rows["annotator-person"]["finds"] == ["person"] and len(rows["annotator-pose"]["finds"]) == 17
    for name, row in rows.items():
        assert row["shipped"] and row["path"] == str(SHIPPED[name]) and len(row["sha256"]) == 64
        assert row["size_bytes"] == sum(part.stat().st_size for part in model_parts(identify(SHIPPED[name])))
        assert row["licence"] and min(row["input_size"]) > 0
        assert "runs" not in row


def test_speed_is_measured():
    for row in _json("--speed"):
        others = ["onnxruntime"] if row["path"].endswith(".onnx") else []
        assert [run["runtime"] for run in row["runs"]] == ["openvino", *others]
        assert row["runs"][0]["milliseconds"] > 0
    shown = _run("--speed").output
    assert shown.count(" images a second") == 2 and shown.count(" people a second") == 3


def test_added_models_work_like_those_of_the_install(markers):
    detector, pose = markers
    assert _run("add", detector, "--name", "suits").output == "suits\n"
    assert _json("add", pose)["name"] == "marker_pose"
    assert added_models() == ["marker_pose", "suits"]
    for file in (*detector.rglob("*.*"), *pose.parent.glob("*.*")):
        if file.is_file():
            file.unlink()  # the copies are whole
    rows = {row["name"]: row for row in _json()}
    assert (rows["suits"]["kind"], rows["suits"]["finds"]) == ("detector", ["person"])
    assert (rows["marker_pose"]["kind"], len(rows["marker_pose"]["finds"])) == ("pose", 17)
    assert rows["marker_pose"]["licence"] == "Apache-2.0" and not rows["suits"]["shipped"]
    estimator = load_estimator(EstimatorOptions("suits", "marker_pose"))
    assert (estimator.detection.name, estimator.pose.name) == ("suits", "marker_pose")
    assert estimator.pose.sha256 == rows["marker_pose"]["sha256"]
    assert load_estimator(EstimatorOptions(pose="marker_pose")).detection.name == "annotator-person"


def test_removing(markers):
    _run("add", markers[1], "--name", "mine")
    assert _run("remove", "mine").exit_code == 0
    assert added_models() == [] and list(added_folder().iterdir()) == []
    assert "mine: no model of that name was added; those that were: none" in _refusal("remove", "mine")
    assert "comes with the install and cannot be removed" in _refusal("remove", "annotator-pose")


@pytest.mark.parametrize("name", ["annotator-person", "annotator-person-large", "annotator-pose", "hog", "full-frame"])
def test_what_comes_with_the_install_cannot_be_shadowed(markers, name):
    assert "comes with the install" in _refusal("add", markers[1], "--name", name)
    assert added_models() == []
    (added_folder() / name).mkdir(parents=True)  # by hand
    (added_folder() / name / "model.json").write_text("{}")
    assert load_detector("hog", DetectionOptions(), Execution()).name == "hog"
    assert load_pose_model(Path("annotator-pose"), None, Execution()).name == "annotator-pose"


@pytest.mark.parametrize("name", ["a/b", "..", "", "-x", "x.onnx", "two words"])
def test_names_are_plain(markers, name):
    assert "expected letters, digits, - and _" in _refusal("add", markers[1], "--name", name)


def test_a_taken_name_and_what_is_no_model(markers, tmp_path):
    _run("add", markers[1], "--name", "mine")
    assert "is taken" in _refusal("add", markers[0], "--name", "mine")
    (tmp_path / "boxes.json").write_text("{}")
    assert "holds labels, and no model" in _refusal("add", tmp_path / "boxes.json")
    (tmp_path / "text.onnx").write_text("hello")
    assert "not a model" in _refusal("add", tmp_path / "text.onnx")
    assert added_models() == ["mine"] and [path.name for path in added_folder().iterdir()] == ["mine"]


def test_a_damaged_entry_is_said_and_can_be_removed(markers):
    _run("add", markers[1], "--name", "mine")
    (added_folder() / "mine" / "model.json").write_text("{")
    assert "annotator models remove mine" in _refusal()
    assert _run("remove", "mine").exit_code == 0
    assert len(_json()) == len(SHIPPED)


@pytest.mark.shared_data
def test_a_foreign_pose_model_with_its_card(shared_data):
    model = shared_data / "models" / "movenet_lightning_int8.tflite"
    assert "a pose model without a card" in _refusal("add", model)
    row = _json("add", model, "--name", "movenet", "--card", CARDS / "movenet_lightning.yaml")
    assert (row["kind"], row["input_size"]) == ("pose", [192, 192])
    assert load_pose_model(Path("movenet"), None, Execution()).name == "movenet"


@pytest.mark.shared_data
def test_a_foreign_detector(shared_data):
    row = _json("add", shared_data / "models" / "fastestdet.onnx")
    assert (row["name"], row["kind"], len(row["finds"])) == ("fastestdet", "detector", 80)
    assert "person, bicycle, car and 77 more" in _run().output
    assert load_detector("fastestdet", DetectionOptions(), Execution()).name == "fastestdet"


def test_a_card_where_there_is_one_already(markers):
    card = markers[1].with_name("marker_pose.card.json")
    assert "carries a card already, so leave --card out" in _refusal("add", markers[1], "--card", card)
