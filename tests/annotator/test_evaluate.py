"""annotator evaluate: figures against pycocotools and against answers known beforehand; what it says of odd files."""

import csv
import json
import re
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from annotator.calibration import store_calibration
from annotator.cli import KNOWN_ERRORS, group
from annotator.commands import evaluate
from cvat_export.skeleton import read_skeleton
from tests.trainers.coco_oracle import coco_verdict, random_people
from trainers.model_card import Calibration, read_card

COCO = read_skeleton("coco17")
CARDS = Path(__file__).parents[1] / "cards"
CATEGORY = {"id": 1, "name": "person", "keypoints": list(COCO.joints), "skeleton": []}


def _dataset(path, images, rows, category=CATEGORY, names="{:04}.jpg", size=(900, 900)):
    """A COCO file."""
    content = {
        "images": [
            {"id": n + 1, "file_name": names.format(n), "width": size[0], "height": size[1]} for n in range(images)
        ],
        "annotations": [{"id": number + 1, **row} for number, row in enumerate(rows)],
        "categories": [category],
    }
    path.write_text(json.dumps(content))
    return path


def _results(path, rows):
    path.write_text(json.dumps(rows))
    return path


def _run(*words):
    """As `main` runs it, which takes the exit code from what the command returns."""
    result = CliRunner().invoke(group, ["evaluate", *map(str, words)], standalone_mode=False)
    assert result.exception is None, result.output
    return result


def _error(*words):
    """The one message that a user sees; anything but a known error is a traceback, and fails the test."""
    with pytest.raises(KNOWN_ERRORS) as caught:
        group.main(["evaluate", *map(str, words)], standalone_mode=False)
    return str(caught.value)


def _figures(*words):
    result = _run(*words, "--json")
    assert result.return_value == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Truth, the same people estimated as a dataset and as results, and the rows themselves."""
    folder = tmp_path_factory.mktemp("people")
    truth, results = random_people(5, images=40)
    results = [row for row in results if row["image_id"] != 3]
    return {
        "truth": _dataset(folder / "truth.json", 40, truth),
        "dataset": _dataset(folder / "dataset.json", 40, results),
        "results": _results(folder / "results.json", results),
        "rows": (truth, results),
    }


@pytest.mark.parametrize("form", ["dataset", "results"])
def test_the_figures_are_those_of_pycocotools(people, form):
    wanted = coco_verdict(40, *people["rows"], np.array(COCO.sigmas))
    found = _figures("--truth", people["truth"], "--predicted", people[form])
    assert {name: found["figures"][name]["value"] for name in wanted} == pytest.approx(wanted, abs=1e-9)
    for name in ("AP", "AP50", "AP75", "AR", "PCK", "AUC", "OKS", "mean_error_px"):
        figure = found["figures"][name]
        assert figure["low"] < figure["value"] < figure["high"]


def test_perfect_poses_are_perfect_and_the_table_says_so(people, tmp_path):
    truth, _ = people["rows"]
    perfect = _results(tmp_path / "perfect.json", [{**row, "score": 0.5} for row in truth if row["num_keypoints"]])
    found = _figures("--truth", people["truth"], "--predicted", perfect, "--resamples", 0)
    assert found["figures"]["PCK"] == {"value": 1.0, "low": None, "high": None}
    assert found["figures"]["AP"]["value"] == pytest.approx(1)
    assert set(found["errors"]) == {"good", "jitter", "inversion", "swap", "miss"}
    assert found["errors"]["good"] == found["counts"]["joints"]
    text = _run("--truth", people["truth"], "--predicted", perfect).stdout
    assert re.search(r"^OKS AP +1\.000", text, re.M) and re.search(r"^left_wrist +\d+ +1\.000", text, re.M)


def test_what_is_missing_counts_as_missed_and_is_told(people, tmp_path):
    truth, _ = people["rows"]
    half = [{**row, "score": 1} for row in truth if row["image_id"] <= 20] + [{**truth[0], "image_id": 999}]
    result = _run("--truth", people["truth"], "--predicted", _results(tmp_path / "half.json", half))
    assert result.return_value == 0
    assert re.search(r"note: \d+ images of the truth have no estimate, and count as missed", result.stderr)
    assert "1 results of the estimates are not in the truth" in result.stderr
    found = _figures("--truth", people["truth"], "--predicted", tmp_path / "half.json")
    assert 0.2 < found["figures"]["found"]["value"] < 0.8
    assert found["figures"]["PCK"]["value"] < 0.8


def test_poses_without_scores_have_score_1_and_it_is_said(people, tmp_path):
    truth, _ = people["rows"]
    rows = [{key: value for key, value in row.items() if key != "score"} for row in truth]
    for path in (_results(tmp_path / "r.json", rows), _dataset(tmp_path / "d.json", 40, rows)):
        result = _run("--truth", people["truth"], "--predicted", path)
        assert result.return_value == 0 and "have no score: taken as 1" in result.stderr


def test_results_without_boxes_are_paired_by_their_joints(people, tmp_path):
    truth, _ = people["rows"]
    rows = [{"image_id": r["image_id"], "category_id": 1, "score": 1, "keypoints": r["keypoints"]} for r in truth]
    rows = [row for row in rows if any(row["keypoints"])]
    result = _run("--truth", people["truth"], "--predicted", _results(tmp_path / "r.json", rows), "--json")
    assert json.loads(result.stdout)["figures"]["found"]["value"] > 0.95
    assert "paired by OKS" in result.stderr


def test_images_are_found_by_base_name_and_by_stem(people, tmp_path):
    _, results = people["rows"]
    other = _dataset(tmp_path / "other.json", 40, results, names="elsewhere/{:04}.png")
    wanted = _figures("--truth", people["truth"], "--predicted", people["dataset"])
    assert _figures("--truth", people["truth"], "--predicted", other)["figures"] == wanted["figures"]


def test_joints_that_only_one_side_has_are_left_out_and_named(people, tmp_path):
    kept = [0, 5, 6, 11, 12]
    fewer = {**CATEGORY, "keypoints": [COCO.joints[j].upper().replace("_", " ") for j in kept]}
    _, results = people["rows"]
    rows = [{**r, "keypoints": np.reshape(r["keypoints"], (17, 3))[kept].ravel().tolist()} for r in results]
    result = _run("--truth", people["truth"], "--predicted", _dataset(tmp_path / "f.json", 40, rows, fewer), "--json")
    assert json.loads(result.stdout)["skeleton"]["joints"] == [COCO.joints[j] for j in kept]
    assert "left_eye" in result.stderr
    strangers = {**CATEGORY, "keypoints": [f"marker {j}" for j in kept]}
    unknown = _dataset(tmp_path / "s.json", 40, rows, strangers)
    assert "no joint in common" in _error("--truth", people["truth"], "--predicted", unknown)


def test_nothing_to_measure_by(people, tmp_path):
    truth, _ = people["rows"]
    bare = [{**row, "keypoints": [0] * 51, "num_keypoints": 0} for row in truth]
    path = _dataset(tmp_path / "bare.json", 40, bare)
    assert "none with a labelled joint" in _error("--truth", path, "--predicted", people["dataset"])
    other = _dataset(tmp_path / "other.json", 5, [], names="other-{}.jpg")
    assert "none of the 40 images" in _error("--truth", people["truth"], "--predicted", other)


@pytest.mark.parametrize(
    ("content", "words"),
    [("[1]", "row 0"), ('[{"image_id": 1, "keypoints": [1, 2, 3]}]', "17 joints"), ("[", "JSON"), ("{}", "expected")],
)
def test_broken_predictions_are_one_error(people, tmp_path, content, words):
    path = tmp_path / "broken.json"
    path.write_text(content)
    assert words in _error("--truth", people["truth"], "--predicted", path)


@pytest.mark.parametrize(
    "words", [[], ["model.onnx", "--predicted", "a.json"], ["--predicted", "a.json", "--calibrate"]]
)
def test_misuse(people, words):
    with pytest.raises(click.UsageError):
        group.main(["evaluate", "--truth", str(people["truth"]), *words], standalone_mode=False)


def test_skeletons_without_sigmas_are_told(people, tmp_path):
    truth, results = people["rows"]
    odd = {**CATEGORY, "keypoints": [f"point {n}" for n in range(17)]}
    files = [_dataset(tmp_path / f"{n}.json", 40, rows, odd) for n, rows in enumerate((truth, results))]
    result = _run("--truth", files[0], "--predicted", files[1], "--json")
    assert "no OKS sigmas: 0.08" in result.stderr
    assert json.loads(result.stdout)["skeleton"]["sigmas_measured"] is False


def test_two_are_compared_on_the_same_resamples(people, tmp_path):
    _, results = people["rows"]
    rng = np.random.default_rng(0)
    worse = []
    for row in results:
        noise = rng.normal(0, 6, (17, 3)) * (1, 1, 0)
        worse.append({**row, "keypoints": (np.reshape(row["keypoints"], (17, 3)) + noise).ravel().tolist()})
    other = _results(tmp_path / "worse.json", worse)
    found = _figures("--truth", people["truth"], "--predicted", people["results"], "--against", other)["against"]
    pck = found["differences"]["PCK"]
    assert pck["share_above_zero"] > 0.95 and 0 < pck["low"] < pck["value"] < pck["high"]
    same = _figures("--truth", people["truth"], "--predicted", other, "--against", other)["against"]
    assert same["differences"]["AP"] == {"value": 0, "low": 0, "high": 0, "share_above_zero": 0.5}


def test_groups_widen_the_interval_and_have_rows(people):
    words = ("--truth", people["truth"], "--predicted", people["dataset"])
    alone, together = _figures(*words), _figures(*words, "--group", "time:4")
    assert len(together["groups"]) == 4 and together["counts"]["groups"] == 4
    assert sum(g["joints"] for g in together["groups"]) == together["counts"]["joints"]
    assert alone["figures"]["PCK"]["value"] == together["figures"]["PCK"]["value"]
    one = _figures(*words, "--group", "file")
    assert one["figures"]["PCK"]["low"] is None and any("one group" in note for note in one["notes"])


def test_reference_threshold_and_hidden_joints_are_the_users(people, tmp_path):
    truth, _ = people["rows"]
    hidden = [
        {**r, "score": 1, "keypoints": (np.reshape(r["keypoints"], (17, 3)) * (1, 1, 0)).ravel().tolist()}
        for r in truth
    ]
    words = ("--truth", people["truth"], "--predicted", _dataset(tmp_path / "hidden.json", 40, hidden))
    assert _figures(*words)["figures"]["PCK"]["value"] == 0
    assert _figures(*words, "--all-coordinates")["figures"]["PCK"]["value"] == 1
    torso = _figures(*words, "--reference", "torso", "--all-coordinates", "--threshold", "0.2")
    assert "shoulder" in torso["options"]["reference_means"]
    assert any("lack the joints of reference 'torso'" in note for note in torso["notes"])
    assert "head_top" in _error(*words, "--reference", "head")


def test_sigmas_from_two_labellers(tmp_path):
    rng = np.random.default_rng(1)
    truth, _ = random_people(8, images=200)
    second = []
    for row in truth:
        noise = rng.normal(0, 1, (17, 2)) * np.sqrt(2 * row["area"]) * np.array(COCO.sigmas)[:, None]
        xyv = np.reshape(row["keypoints"], (17, 3)).copy()
        xyv[:, :2] += noise * (xyv[:, 2:] > 0)
        second.append({**row, "keypoints": xyv.ravel().tolist()})
    files = [_dataset(tmp_path / f"{n}.json", 200, rows) for n, rows in enumerate((truth, second))]
    found = json.loads(_run("--truth", files[0], "--estimate-sigmas", files[1], "--json").stdout)["sigmas"]
    assert [found[joint]["sigma"] for joint in COCO.joints] == pytest.approx(list(COCO.sigmas), rel=0.15)
    text = _run("--truth", files[0], "--estimate-sigmas", files[1]).stdout
    assert re.search(r"^  left_hip: +0\.1\d+  # \d+$", text, re.M)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with images, their truth, and a model that finds everything in them."""
    pytest.importorskip("torch", reason="the marker networks are built with torch: pip install -e '.[train]'")
    from tests.annotator.marker_networks import MARKERS, draw_markers, marker_card, save_marker_model

    folder = tmp_path_factory.mktemp("drawn")
    (folder / "images").mkdir()
    rng = np.random.default_rng(3)
    rows = []
    for number in range(6):
        xy = rng.uniform(20, 108, (7, 2)).round(2) * (0.75, 1)
        Image.fromarray(draw_markers((96, 128), xy, 4)).save(folder / "images" / f"{number:04}.png")
        keypoints = np.column_stack([xy, np.full(7, 2)]).ravel().tolist()
        box = {"bbox": [0, 0, 96, 128], "area": 96 * 128, "iscrowd": 0, "num_keypoints": 7}
        rows.append({"image_id": number + 1, "category_id": 1, "keypoints": keypoints, **box})
    category = {"id": 1, "name": "dots", "keypoints": list(MARKERS.joints), "skeleton": [[1, 2]]}
    _dataset(folder / "truth.json", 6, rows, category, "{:04}.png", (96, 128))
    save_marker_model(folder / "markers.onnx", "onnx", "half-pixel", marker_card("half-pixel"))
    return folder


def test_a_model_on_the_boxes_of_the_truth(drawn, tmp_path):
    out = tmp_path / "report"
    result = _run(drawn / "markers.onnx", "--data", drawn / "truth.json", "--precision", "f32", "-o", out)
    assert result.return_value == 0, result.output
    found = json.loads((out / "metrics.json").read_text())
    assert found["figures"]["found"]["value"] == 1
    assert found["figures"]["PCK"]["value"] > 0.8  # dots that overlap hide each other
    assert found["figures"]["median_error_px"]["value"] < 1
    with (out / "samples.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file_name"] for row in rows] == [f"{n:04}.png" for n in range(6)]
    assert all(sum(int(row[k]) for k in found["errors"]) == 7 for row in rows)
    with (out / "joints.csv").open() as stream:
        assert [row["name"] for row in csv.DictReader(stream)] == found["skeleton"]["joints"]
    page = (out / "report.html").read_text()
    pictures = re.findall(r'<img [^>]*src="(report_files/[^"]+)"', page)
    assert len(pictures) == 6 and all((out / name).is_file() for name in pictures)
    assert "http" not in re.sub(r"http://www.w3.org/\S+", "", page)


def test_an_xml_file_may_be_a_model_of_openvino(drawn, tmp_path):
    from tests.annotator.marker_networks import marker_card, save_marker_model

    ir = save_marker_model(tmp_path / "markers.xml", "openvino", "half-pixel", marker_card("half-pixel"))
    words = ("--data", drawn / "truth.json", "--precision", "f32", "--resamples", 9)
    found = _figures(ir, *words, "--against", drawn / "markers.onnx")
    assert found["figures"]["PCK"]["value"] > 0.8
    assert found["against"]["differences"]["PCK"]["value"] == 0


def test_images_that_cannot_be_read_are_left_out_and_the_exit_code_says_so(drawn, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(drawn, folder)
    (folder / "images" / "0002.png").unlink()
    result = _run(folder / "markers.onnx", "--data", folder / "truth.json", "--json")
    assert result.return_value == evaluate.EXIT_SKIPPED
    found = json.loads(result.stdout)
    assert found["counts"]["images"] == 5
    assert any("1 of 6 images" in note and "0002.png" in note for note in found["notes"])
    shutil.rmtree(folder / "images")
    assert "--images" in _error(folder / "markers.onnx", "--data", folder / "truth.json")


def test_a_detector_instead_of_the_truths_boxes(drawn):
    words = (drawn / "markers.onnx", "--data", drawn / "truth.json", "--precision", "f32")
    given, found = _figures(*words), _figures(*words, "--detection", drawn / "truth.json")
    assert found["figures"]["PCK"]["value"] == pytest.approx(given["figures"]["PCK"]["value"])


def test_calibration_goes_into_the_card_beside_a_model(drawn, tmp_path):
    from tests.annotator.marker_networks import marker_card

    card = tmp_path / "card.yaml"
    card.write_text(marker_card("half-pixel").model_dump_json())
    model = shutil.copy(drawn / "markers.onnx", tmp_path)
    written = store_calibration(Path(model), card, Calibration(temperature=1.5, bias=0.25))
    assert written == tmp_path / "markers.card.json"
    assert read_card(written).calibration == Calibration(temperature=1.5, bias=0.25)
    assert store_calibration(Path(model), None, Calibration(temperature=2.0, bias=0.0)) == written


def test_calibration_goes_into_a_checkpoint_of_ours(tmp_path):
    pytest.importorskip("torch")
    from tests.trainers.test_checkpoint import SPEC, card
    from trainers.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
    from trainers.networks import PoseNetwork, build_network

    path = tmp_path / "best.ckpt"
    own = card()
    joints = len(own.skeleton.joints)
    channels = joints * (1 + SPEC.predicts_visibility)
    body = build_network(SPEC.name, channels, own.input.size, SPEC.backbone, SPEC.options)
    weights = PoseNetwork(body, joints, SPEC.predicts_visibility).state_dict()
    write_checkpoint(path, Checkpoint(own, SPEC, weights, {"epoch": 3}))
    assert store_calibration(path, None, Calibration(temperature=0.7, bias=-0.1)) == path
    again = read_checkpoint(path)
    assert again.card.calibration == Calibration(temperature=0.7, bias=-0.1)
    assert again.origin == {"epoch": 3} and again.weights.keys() == weights.keys()


@pytest.mark.slow
@pytest.mark.shared_data
def test_movenet_on_real_people_and_its_calibration(shared_data, tmp_path):
    model = Path(shutil.copy(shared_data / "models" / "movenet_lightning_int8.tflite", tmp_path))
    truth = shared_data / "coco_people" / "annotations" / "person_keypoints_val.json"
    words = (model, "--data", truth, "--pose-card", CARDS / "movenet_lightning.yaml", "--precision", "f32")
    found = _figures(*words)
    assert found["figures"]["AP"]["value"] == pytest.approx(0.302, abs=0.01)
    assert found["figures"]["PCK"]["value"] == pytest.approx(0.682, abs=0.01)
    fitted = _figures(*words, "--calibrate")["calibration"]["fitted"]
    card = read_card(tmp_path / "movenet_lightning_int8.card.json")
    assert card.calibration.temperature == pytest.approx(fitted["temperature"])
    after = _figures(model, "--data", truth, "--precision", "f32")["calibration"]
    assert after["expected_calibration_error"] < 0.05 < found["calibration"]["expected_calibration_error"]
    assert after["expected_calibration_error"] == pytest.approx(fitted["expected_calibration_error"], abs=0.01)
