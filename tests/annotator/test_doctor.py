"""The doctor's trials and its report on a model."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from annotator.commands.doctor import command
from annotator.doctor import TINY_ONNX, installed_packages, try_runtimes
from annotator.named_models import SHIPPED


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def run_python(code, *arguments):
    """In a process of its own, which has imported nothing yet."""
    command_line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command_line, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(TINY_ONNX)
    return path


def test_every_installed_runtime_is_tried_in_every_precision():
    trials = {(trial.runtime, trial.device, trial.precision): trial for trial in try_runtimes()}
    assert trials["openvino", "cpu", "f32"].milliseconds > 0
    for trial in trials.values():
        assert (trial.milliseconds is None) == bool(trial.problem)
    names = {package.name for package in installed_packages() if package.version}
    assert {"openvino"} | ({"torch", "onnxruntime"} & names) == {runtime for runtime, _, _ in trials}


def test_the_report_names_what_is_installed_and_what_a_missing_extra_brings(monkeypatch):
    from annotator import doctor

    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("fiftyone", "torch") else known(name))
    result = run()
    assert result.exit_code == 0, result.output
    assert "pip install 'cvat-pose-annotator[review]' brings looking through datasets in FiftyOne" in result.output
    assert "  openvino     cpu      f32   works" in result.output
    assert re.search("annotator-pose +openvino +cpu +[a-z0-9]+ +works", result.output)


def test_the_report_as_json():
    content = json.loads(run("--json").output)
    assert {"machine", "packages", "runtimes", "models"} == set(content)
    assert {one["name"]: one["problem"] for one in content["models"]} == dict.fromkeys(SHIPPED, "")
    assert {"name": "numpy", "extra": None} | {"version": content["packages"][0]["version"]} == content["packages"][0]


def test_the_tiny_network_is_what_its_comment_says(tiny):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert [
        dimension.dim_param or dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim
    ] == ["n", 3, "h", "w"]


def test_a_model_is_described_and_run_in_each_runtime(tiny):
    pytest.importorskip("onnxruntime")
    content = json.loads(run(tiny, "--json").output)
    assert content["format"] == "ONNX"
    assert content["size_bytes"] == len(TINY_ONNX)
    assert [one["runtime"] for one in content["runs"]] == ["openvino", "onnxruntime"]
    assert content["runs"][0]["inputs"] == [{"name": "images", "shape": [None, 3, None, None], "dtype": "float32"}]
    assert all(one["milliseconds"] > 0 for one in content["runs"])
    shown = run(tiny).output
    assert "input   images (?, 3, ?, ?) float32" in shown
    assert "carries no card" in shown


@pytest.mark.slow
def test_an_ultralytics_pickle_is_run_in_each_runtime_that_opens_it(tmp_path):
    pytest.importorskip("ultralytics")
    from tests.annotator.yolo_models import make_yolo

    content = json.loads(run(make_yolo("yolo11n", tmp_path / "yolo.pt"), "--json").output)
    assert [one["runtime"] for one in content["runs"]] == ["openvino", "torch"]
    assert all(one["milliseconds"] > 0 for one in content["runs"])


def test_a_damaged_card_is_said_and_hinders_no_run(tiny):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny)
    onnx.helper.set_model_props(model, {"model_card.json": "{"})
    onnx.save(model, tiny)
    result = run(tiny)
    assert result.exit_code == 0
    assert "its model_card.json: cannot be read as JSON" in result.output


def test_a_model_of_another_yolo_task_is_named(tiny):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(tiny)
    onnx.helper.set_model_props(model, {"task": "classify", "names": "{0: 'a'}"})
    onnx.save(model, tiny)
    assert "a model for the task 'classify', expected one for detect, pose, segment" in run(tiny).output


def test_what_is_no_model_exits_1_with_one_message(tmp_path):
    (tmp_path / "text.onnx").write_text("hello")
    code = "from annotator.cli import main; main()"
    result = run_python(code, "doctor", tmp_path / "text.onnx")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""


def test_torch_is_not_imported_for_a_model_that_does_not_need_it(tiny):
    code = (
        "import sys; from pathlib import Path; from annotator.model_inspection import inspect_model\n"
        "from trainers.runtimes import Execution\n"
        "inspect_model(Path(sys.argv[1]), Execution())\n"
        "assert not {'torch', 'ultralytics'} & set(sys.modules)"
    )
    result = run_python(code, tiny)
    assert result.returncode == 0, result.stderr


def test_openvino_reports_nothing_over_the_network():
    code = (
        "import sys; from trainers.runtimes.openvino_session import import_openvino; import_openvino()\n"
        "assert 'openvino_telemetry' not in sys.modules"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
