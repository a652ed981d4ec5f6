"""The models that come with the install: what the wheel holds, and what it does offline, right after installing."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from annotator.detector import DetectionOptions, load_detector
from annotator.errors import AnnotatorError
from annotator.estimators import EstimatorOptions, OneStage, TwoStage, load_estimator
from annotator.named_models import DEFAULT_DETECTOR, DEFAULT_POSE, LARGER_INPUT, SHIPPED
from annotator.pose_model import load_pose_model
from annotator.predictions import read_predictions
from cvat_export.coco import read_coco
from cvat_export.skeleton import read_skeleton
from demo.film import Moment, scenes
from trainers.runtimes import Execution
from trainers.runtimes.formats import hash_model, identify, model_parts

ROOT = Path(__file__).parents[2]
MOST_BYTES = 16_000_000
MOST_BYTES_WITH_CHECKPOINTS = 17_000_000

# The installed program, on a machine without a network, and without whatever the core does not bring.
OFFLINE = """
import socket, sys
def refuse(*_): raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = refuse
for name in ("torch", "ultralytics", "onnxruntime", "onnx", "timm", "lightning"):
    sys.modules[name] = None
import annotator.cli
assert annotator.cli.__file__.startswith(sys.argv.pop(1)), annotator.cli.__file__
annotator.cli.main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The files of a wheel built of this tree, unpacked."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if name.split("/")[0] not in ("tests", "docs", "benchmarks"):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "source" / name)
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", code, str(folder)]
    built = subprocess.run(command, cwd=folder / "source", capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (archive,) = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as files:
        files.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two drawn images, and one without anybody."""
    folder = tmp_path_factory.mktemp("drawn")
    for number, seconds in enumerate((1.0, 2.5)):
        moment = Moment(scenes()[0], scenes()[0].scenery(), seconds)
        Image.fromarray(moment.expose()).save(folder / f"drawn_{number}.png")
    Image.fromarray(np.full((240, 320, 3), 90, np.uint8)).save(folder / "empty.png")
    return folder


def _annotator(*arguments, code=0):
    command = [sys.executable, "-c", "from annotator.cli import main; main()", *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_the_wheel_holds_every_model_with_its_card_and_training(wheel):
    for path in SHIPPED.values():
        inside = wheel / path.relative_to(ROOT)
        for part in model_parts(identify(path)):
            assert inside.with_name(part.name).read_bytes() == part.read_bytes()
        for name in ("README.md", "config.yaml", f"{path.parent.name}.csv"):
            assert inside.with_name(name).stat().st_size > 0
    packed = {file.relative_to(wheel) for file in (wheel / "annotator" / "models").rglob("*") if file.is_file()}
    here = {file.relative_to(ROOT) for file in (ROOT / "annotator" / "models").rglob("*") if file.is_file()}
    assert packed == here
    sizes = {name: (ROOT / name).stat().st_size for name in here}
    assert sum(size for name, size in sizes.items() if name.suffix != ".ckpt") <= MOST_BYTES
    assert sum(sizes.values()) <= MOST_BYTES_WITH_CHECKPOINTS


@pytest.mark.parametrize("pose", [(), ("--pose", "annotator-pose-int8")])
def test_right_after_installing_without_network_or_torch(wheel, drawn, tmp_path, pose):
    command = [sys.executable, "-P", "-c", OFFLINE, str(wheel)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(wheel)}
    run = [*command, "preannotate", str(drawn), "-o", "out", "--json", *pose]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 3
    (category,) = read_coco(tmp_path / "out").categories
    assert (category.name, category.skeleton.joints) == ("person", read_skeleton("coco17").joints)


def test_records_name_the_models_and_not_where_they_lie(drawn, tmp_path):
    _annotator("preannotate", drawn, "-o", tmp_path / "out")
    plan = json.loads((tmp_path / "out" / "run.json").read_text())["plan"]
    for role, name in (("detection", DEFAULT_DETECTOR), ("pose", DEFAULT_POSE)):
        assert plan[role] == {"name": name, "sha256": hash_model(identify(SHIPPED[name]))}
    line = json.loads((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()[0])
    assert (line["detection"], line["pose"]) == (plan["detection"], plan["pose"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"{DEFAULT_POSE} ({plan['pose']['sha256'][:8]})" in page
    for file in (tmp_path / "out").glob("*.*"):
        assert b"annotator/models" not in file.read_bytes()


@pytest.mark.shared_data
def test_two_photographs(shared_data, tmp_path):
    images = sorted((shared_data / "coco_people" / "images").glob("*.jpg"))[:2]
    _annotator("preannotate", *images, "-o", tmp_path / "out")
    predictions = list(read_predictions(tmp_path / "out" / "predictions.jsonl"))
    assert len(predictions) == 2 and all(len(one.boxes) > 0 for one in predictions)
    assert predictions[0].keypoints.xy.shape[1:] == (17, 2)


def test_best_is_the_flip_test_and_the_larger_input(drawn, tmp_path):
    fast, best = (load_estimator(EstimatorOptions(quality=quality)) for quality in ("fast", "best"))
    assert isinstance(fast, TwoStage) and isinstance(best, TwoStage)
    assert (fast.model.flip_test, best.model.flip_test) == (False, True)
    assert best.detection.name == LARGER_INPUT[DEFAULT_DETECTOR]
    assert min(np.subtract(best.detector.input_size, fast.detector.input_size)) > 0
    assert best.detection.sha256 != fast.detection.sha256
    _annotator("preannotate", drawn, "-o", tmp_path / "out", "--quality", "best")
    refused = _annotator("preannotate", drawn, "-o", tmp_path / "out", code=1)
    assert 'quality: was "best", is "fast"' in refused.stderr


def test_best_leaves_other_detectors_and_cards_without_flip_test_alone(tmp_path):
    from demo.marker_models import write_models

    detector, pose = write_models(tmp_path)
    estimator = load_estimator(EstimatorOptions(str(detector), str(pose), quality="best"))
    assert isinstance(estimator, TwoStage)
    assert estimator.detection.name == detector.name
    assert not estimator.model.flip_test


def test_a_top_down_model_gets_the_detector_of_the_install(tmp_path):
    from demo.marker_models import write_models

    _, pose = write_models(tmp_path)
    assert load_estimator(EstimatorOptions(pose=str(pose))).detection.name == DEFAULT_DETECTOR
    pose.with_name("marker_pose.card.json").unlink()  # the card in the file does as well
    assert load_estimator(EstimatorOptions(pose=str(pose))).detection.name == DEFAULT_DETECTOR


def test_a_model_that_finds_people_by_itself_needs_no_detector(tmp_path):
    from tests.annotator.yolo_models import make_yolo

    path = make_yolo("yolo11n-pose", tmp_path / "pose.pt")
    estimator = load_estimator(EstimatorOptions(pose=str(path), quality="best"))
    assert isinstance(estimator, OneStage) and estimator.detection.name == "pose.pt"


def test_names_work_wherever_a_model_is_named():
    detector = load_detector("annotator-person", DetectionOptions(), Execution())
    pose = load_pose_model(Path("annotator-pose"), None, Execution())
    assert (detector.name, pose.name) == ("annotator-person", "annotator-pose")
    with pytest.raises(AnnotatorError, match="annotator-poze: no such file, and no model of that name; there are ann"):
        load_pose_model(Path("annotator-poze"), None, Execution())
    shown = _annotator("doctor", "annotator-pose", "--json").stdout
    assert json.loads(shown)["sha256"] == pose.sha256


def test_evaluate_takes_names_and_leaves_the_install_as_it_is(drawn, tmp_path):
    _annotator("preannotate", drawn, "-o", tmp_path / "truth", "--min-score", "0.05")
    found = _annotator(
        *("evaluate", "annotator-pose", "--data", tmp_path / "truth", "--against", "annotator-pose", "--json"),
        *("--resamples", "0"),
    )
    assert "annotator-pose" in found.stdout
    refused = _annotator("evaluate", "annotator-pose", "--data", tmp_path / "truth", "--calibrate", code=1)
    assert "annotator-pose: comes with the install and stays as it is" in refused.stderr
    assert not SHIPPED["annotator-pose"].with_name("annotator-pose.card.json").exists()


def test_subjects_and_joints_that_the_models_do_not_know(drawn, tmp_path):
    said = _annotator("preannotate", drawn / "empty.png", "-o", tmp_path / "cats", "--category", "cat").stderr
    assert "annotator-pose knows people; each is labelled 'cat'" in said
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump({"name": "odd", "joints": ["antenna", "sting"]}))
    refused = _annotator(
        *("preannotate", drawn, "-o", tmp_path / "odd", "--skeleton", tmp_path / "odd.yaml"), code=1
    ).stderr
    assert "annotator-pose: none of its joints" in refused and "another pose model" in refused
    _annotator("preannotate", drawn, "-o", tmp_path / "lsp", "--skeleton", "lsp14")
    (category,) = read_coco(tmp_path / "lsp").categories
    assert category.skeleton.joints == read_skeleton("lsp14").joints
