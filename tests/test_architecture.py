"""Imports point one way, and each giant is imported in one place, lazily."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "annotator": {"trainers", "cvat_export", "frame_tools"},
    "trainers": {"cvat_export", "frame_tools"},
    "cvat_export": set(),
    "frame_tools": set(),
}
GIANTS = {  # library -> the modules that may import it
    "ultralytics": {"trainers/runtimes/ultralytics_file.py", "trainers/ultralytics_training.py"},
    "fiftyone": {"annotator/review/fiftyone_dataset.py", "annotator/review/fiftyone_view.py"},
    "cvat_sdk": {"cvat_export/server.py", "annotator/cvat_function.py"},
    "av": {f"frame_tools/{name}.py" for name in ("decoding", "orientation", "thumbnail", "video", "video_writer")},
}
HEAVY = {"torch", "openvino", "onnxruntime", "ultralytics", "av", "cv2", "cvat_sdk", "fiftyone", "pycocotools"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager"}

MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def _imports(path: Path) -> set[str]:
    """The first words of everything that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_follow_the_arrows(path):
    package = path.relative_to(ROOT).parts[0]
    ours = _imports(path) & (set(PACKAGES) | {"tests", "benchmarks", "demo"})
    assert ours <= PACKAGES[package] | {package}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_giants_have_one_door(path):
    for giant in _imports(path) & set(GIANTS):
        assert _name(path) in GIANTS[giant]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_are_named_for_what_they_hold(path):
    assert path.stem not in FORBIDDEN_NAMES


@pytest.mark.parametrize("module", ["trainers.model_card", "trainers.codecs", "trainers.runtimes", "cvat_export.coco"])
def test_the_core_imports_without_torch(module):
    _in_new_python(f"import {module}, sys; assert not {{'torch', 'ultralytics', 'cvat_sdk'}} & set(sys.modules)")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from annotator.cli import COMMANDS, group\n"
        "for name in COMMANDS:\n"
        "    result = CliRunner().invoke(group, [name, '--help']); assert result.exit_code == 0, result.output\n"
        f"heavy = {HEAVY!r} & set(sys.modules); assert not heavy, heavy"
    )
    _in_new_python(code)


def _in_new_python(code: str) -> None:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
