"""annotator evaluate --detection: the boxes of detectors against labels."""

import json

import pytest
from click.testing import CliRunner

from annotator.cli import group
from tests.trainers.boxed_pictures import write_pictures


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("labels"), 12, seed=5)


def _run(*words):
    return CliRunner().invoke(group, ["evaluate", *map(str, words)], standalone_mode=False)


def _json(*words):
    result = _run(*words, "--json")
    assert result.return_value == 0, result.output
    return json.loads(result.stdout)


def _moved(labels, name, change):
    content = json.loads(labels.read_text())
    content["annotations"] = [new for row in content["annotations"] for new in change(row)]
    path = labels.with_name(name)
    path.write_text(json.dumps(content))
    return path


def test_boxes_of_the_truth_are_perfect(labels):
    found = _json("--detection", labels, "--data", labels)
    figures = found["figures"]
    assert figures["AP"]["value"] == figures["recall"]["value"] == figures["empty_kept_empty"]["value"] == 1
    assert figures["false_boxes"]["value"] == 0
    assert found["counts"]["images"] == 12 and found["counts"]["empty_images"] == 3


def test_missed_and_invented_boxes_are_counted(labels):
    half = _moved(labels, "half.json", lambda row: [row] if row["id"] % 2 else [])
    beside = _moved(labels, "beside.json", lambda row: [row, {**row, "id": row["id"] + 900, "bbox": [0, 0, 3, 3]}])
    subjects = len(json.loads(labels.read_text())["annotations"])
    missed = _json("--detection", half, "--data", labels)["figures"]
    assert missed["recall"]["value"] == pytest.approx(((subjects + 1) // 2) / subjects)
    assert missed["recall"]["low"] < missed["recall"]["value"] < missed["recall"]["high"]
    assert _json("--detection", beside, "--data", labels)["figures"]["false_boxes"]["value"] == subjects / 12


def test_two_detectors_are_compared_on_the_same_resamples(labels):
    half = _moved(labels, "half.json", lambda row: [row] if row["id"] % 2 else [])
    apart = _json("--detection", labels, "--data", labels, "--against", half)["against"]["differences"]
    assert apart["recall"]["low"] > 0 and apart["recall"]["share_above_zero"] == 1
    text = _run("--detection", labels, "--data", labels, "--against", half).stdout
    assert "false boxes an image" in text and "100.0%" in text


def test_the_figures_are_written_where_that_is_wanted(labels, tmp_path):
    found = _json("--detection", labels, "--data", labels, "-o", tmp_path / "report")
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "x.json"], "--detection for boxes alone"),
        (["--data", "x.json", "--detection", "hog", "--predicted", "y.json"], "--predicted has found them"),
        (["--data", "x.json", "--detection", "hog", "--calibrate"], "are for a MODEL"),
    ],
)
def test_misuse(words, said):
    result = CliRunner().invoke(group, ["evaluate", *words])
    assert result.exit_code == 2 and said in result.output
