"""What a project is to commands: one at a time, defaults inside its folder, answers at once."""

import json
import subprocess
import sys

import pytest

from annotator.journal import FrameRow, Journal, StepRow
from annotator.project_files import STATE_FOLDER
from cvat_export.coco import read_coco
from tests.annotator.rounds.tiny_project import (
    COUNT,
    SERVER_PROJECT,
    call,
    change,
    done,
    write_dot_finder,
)
from tests.cvat_export.cvat_datasets import finish_all

_HOLDER = """
import sys
from pathlib import Path
from annotator.journal import Journal
with Journal(Path(sys.argv[1])).locked("annotator round next"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_of_two_says_who_is_at_work(project):
    command = [sys.executable, "-c", _HOLDER, str(project / STATE_FOLDER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        for words in (("next",), ("undo",), ("import", project / "annotator.yaml")):
            called = call("round", *words)
            assert called.code == 1
            assert f"in use by `annotator round next`, process {holder.pid} of" in called.words
        assert done("round", "status").out.startswith("nothing has been done yet")
        holder.stdin.close()
    assert done("round", "next").out.startswith("round 1: waiting")
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    assert done("round", "next").out.startswith("round 1: waiting")  # whoever was killed holds nothing


def test_commands_inside_a_project_take_its_defaults(proposing, server, tmp_path, monkeypatch):
    done("preannotate", tmp_path / "pictures", "-o", "out")
    labelled = read_coco(proposing / "out")
    assert labelled.categories[0].name == "mouse4"
    assert sum(len(image.instances) for image in labelled.images) == COUNT
    plan = done("push", "out", "--dry-run", "--json").json
    assert plan["project"] == SERVER_PROJECT and plan["tasks"][0]["images"] == COUNT
    (proposing / "below").mkdir()
    monkeypatch.chdir(proposing / "below")
    done("push", "../out")
    finish_all(server)
    (job,) = done("status", "--json").json
    assert job["frames"] == COUNT and job["state"] == "completed"
    assert done("pull", "-o", "pulled", "--json").json["images"] == COUNT
    assert (proposing / STATE_FOLDER).is_dir() and not (proposing / "below" / STATE_FOLDER).exists()
    monkeypatch.chdir(tmp_path)
    assert "--project" in call("push", proposing / "out", "--dry-run").words
    assert call("pull", "-o", "elsewhere").code == 2
    assert "has no record of a push" in call("status").words


def test_an_export_is_read_inside_a_project_too(proposing, tmp_path):
    """It names no project, and the default is not meant."""
    done("preannotate", tmp_path / "pictures", "-o", "out")
    called = done("pull", "--from-zip", "out.zip", "--finished", "yes", "--proposals", "out", "-o", "pulled", "--json")
    assert called.json["images"] == COUNT
    assert call("pull", "--from-zip", "out.zip", "--finished", "yes", "--project", "x", "-o", "again").code == 2


def test_select_inside_a_project_asks_the_model_if_there_is_one(project, tmp_path):
    done("round", "next")
    pool = "rounds/1/pool/images"
    found = done("select", pool, "-n", 3, "-o", "by_looks", "--json").json
    assert found["frames"] == 3
    change(project, models={"pose": str(write_dot_finder(tmp_path / "dots.xml"))})
    done("select", pool, "-n", 3, "-o", "by_pose")
    assert json.loads((project / "by_pose/run.json").read_text())["plan"]["strategy"] == "diverse"


@pytest.mark.parametrize("command", ["push", "pull", "status", "preannotate", "select", "round", "init"])
@pytest.mark.parametrize("broken", ["file", "journal"])
def test_help_works_in_a_broken_project(project, command, broken):
    if broken == "file":
        (project / "annotator.yaml").write_text("frames: {pol: 3}")
    else:
        (project / STATE_FOLDER / "journal.sqlite").write_bytes(b"no database, but long enough for one" * 99)
    assert "Usage" in done(command, "--help").out
    assert "Usage" in done(command, "-h").out
    if command in ("push", "pull", "status"):
        words = {"push": [project]}.get(command, ["-o", "x"] if command == "pull" else [])
        called = call(command, *words)
        assert called.code == 1 and ("annotator.yaml" in called.words or "journal.sqlite" in called.words)


MILLION = 1_000_000


@pytest.mark.slow
def test_status_of_a_million_frames_is_quick_and_light(project):
    journal = Journal(project / STATE_FOLDER)
    row = StepRow(1, 1, "pool", 1, "running", "rounds/1/pool", {}, {}, {}, None, 5.0, None, "me")
    journal.begin(row)
    figures = {"frames": MILLION, "videos": 1, "images": 0, "skipped": 0}
    pool = (FrameRow("ab" * 32, pts, f"film-abababab-{pts}.jpg", pts / 25) for pts in range(MILLION))
    journal.end(row, "done", {}, figures, pool)
    journal.close()
    code = (
        "import resource, sys; from annotator.cli import group\n"
        "for words in (['round', 'status'], ['init', '--help']):\n"
        "    group.main(words, standalone_mode=False)\n"
        "heavy = {'torch', 'openvino', 'cv2', 'av', 'cvat_sdk', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "1000000 pool" in result.stdout
    assert float(result.stderr.splitlines()[-1]) < 0.5
