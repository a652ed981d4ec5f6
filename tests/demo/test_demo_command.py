"""python -m demo, as make demo calls it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.__main__ import main

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "run", "-o", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "$ annotator choose-frames" in done.stdout
    assert "$ annotator preannotate" in done.stdout
    for name in ("walkers.mp4", "frames/report.html", "out/report.html", "out.zip"):
        assert (tmp_path / name).stat().st_size > 1000, name
    recall, precision, pck = (
        float(share) for share in re.findall(r"(?:recall|precision|PCK@0\.1) (\d\.\d+)", done.stdout)
    )
    assert min(recall, precision) > 0.8
    assert pck > 0.7


def test_models_of_yours_are_for_a_video_of_yours(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "-o", str(tmp_path), "--pose", "pose.onnx"])
    assert result.exit_code == 2
    assert "for a --video of yours" in result.output


def test_a_missing_video_is_said_before_work(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "-o", str(tmp_path / "demo"), "--video", str(tmp_path / "none.mp4")])
    assert result.exit_code == 2
    assert "none.mp4" in result.output


def test_models_are_written_where_asked(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["models", str(tmp_path / "new")])
    assert result.exit_code == 0
    assert [Path(line).exists() for line in result.output.splitlines()] == [True, True]
