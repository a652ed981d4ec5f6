"""The whole loop on a small film; and the same loop with its program killed again and again, which ends the same."""

import random
import re
import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.journal import Journal
from annotator.project_files import STATE_FOLDER
from cvat_export.coco import read_coco
from demo.footage import draw_footage
from demo.loop import Loop, first_to_last, run_loop
from demo.loop_film import random_scenes
from demo.truth import Truth

pytestmark = pytest.mark.slow

SCENES, ROUNDS, SEED = 3, 2, 1
SETTINGS = {
    "frames": {"pool": 40, "evaluation": 10, "a_round": 6, "apart_seconds": 0.3, "look_at": 20},
    "models": {"pose": None},
    "train": {"weights": None, "epochs": 4, "batch_size": 8, "input": {"width": 64, "height": 64}},
}
KILLS = {"train": 3, "push": 2, "pull": 2}  # of a step in a round; once in every other
AT_START = 2  # before the first word
LEAST_KILLS = 20
PEOPLE_SECONDS = 1.0  # of `correct`, whose time is mostly theirs
ANNOUNCED = re.compile(r"round (\d+): (\w+)\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("loop")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Of the program that is called: who else is at work on this machine changes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def loop(folder):
    draw_footage(folder / "walkers.mp4", folder / "truth.json", random_scenes(SCENES, SEED))
    init = ("--skeleton", "coco17", "--videos", str(folder / "walkers.mp4"))
    return Loop("walkers", Truth.of(read_coco(folder / "truth.json")), init, SETTINGS)


@pytest.fixture(scope="module")
def undisturbed(loop, folder):
    """The project's folder, and what the annotator did."""
    (folder / "undisturbed").mkdir()
    return folder / "undisturbed/walkers", run_loop(loop, folder / "undisturbed", ROUNDS, Program())


class Program:
    """Calls `annotator round next`, and kills it at moments of steps: (round, step) -> seconds since it was begun."""

    def __init__(self, moments=None, at_start=()):
        self.moments, self.at_start, self.killed = moments or {}, list(at_start), []

    def __call__(self, project):
        while not self._ends_well(project):
            pass

    def _ends_well(self, project):
        command = [str(Path(sys.executable).with_name("annotator")), "round", "next"]
        said, timers = [], []
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=project, text=True, **pipes) as process:
            if self.at_start:
                timers.append(self._kill(process, self.at_start.pop()))
            for line in process.stderr:
                said.append(line)
                if (match := ANNOUNCED.fullmatch(line)) and (left := self.moments.get((int(match[1]), match[2]))):
                    timers.append(self._kill(process, left.pop(0)))
        for timer in timers:
            timer.cancel()
        if process.returncode == -9:
            self.killed.append(next((line.strip() for line in reversed(said) if ANNOUNCED.fullmatch(line)), "at start"))
            return False
        assert process.returncode == 0, "".join(said)
        return True

    @staticmethod
    def _kill(process, seconds):
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        return timer


def moments(rows):
    """At least one a step that took any time, spread over it by lot."""
    dice, found = random.Random(SEED), defaultdict(list)
    for row in rows:
        if row.seconds is not None and (row.round, row.name) not in QUIET:
            seconds, count = min(row.seconds, PEOPLE_SECONDS if row.name == "correct" else 60), KILLS.get(row.name, 1)
            found[row.round, row.name] = [seconds * (part + dice.random()) / count for part in range(count)]
            dice.shuffle(found[row.round, row.name])
    return found


QUIET = {(number, name) for number in range(2, ROUNDS + 2) for name in ("pool", "evaluation")}  # which serve again


def journal(project):
    """Steps without what times and processes are; frames; what they look like."""
    opened = Journal(project / STATE_FOLDER)
    rows, frames, looks = opened.steps(), opened.frames(), opened.vectors()
    opened.close()
    return rows, frames, looks


def as_it_stands(row):
    """Without times, and CVAT's ids in what is waited for: a task whose upload died is made again."""
    error = row.error and re.sub(r"job \d+", "job", row.error)
    return replace(row, started=0.0, ended=None, process="", error=error)


def test_it_ends_with_figures_and_pages(undisturbed):
    project, work = undisturbed
    rows = [row for row in journal(project)[0] if row.state == "done"]
    gates = [row for row in rows if row.name == "gate"]
    assert [row.round for row in gates] == [1, 2]
    for row in gates:
        assert 0 <= row.figures["low"] <= row.figures["value"] <= row.figures["high"] <= 1
    assert gates[0].figures["accepted"] and gates[0].figures["reason"] == "the first model"
    assert gates[0].figures["evaluation"] == gates[1].figures["evaluation"]
    assert [row.figures["labels"] for row in gates] == [6, 12]
    assert re.search(r"[+-]\d\.\d{3} \[[+-].+\]: ", gates[1].figures["reason"])
    apart = first_to_last(project)
    assert apart.low <= apart.value <= apart.high
    (_, curve) = [row for row in rows if row.name == "curve"]
    assert "the next 100 labels" in curve.figures["advice"]
    (first, second) = [row for row in rows if row.name == "acceptance"]
    assert first.figures["saved"] is None and second.figures["proposals"] > 0
    assert "Learning curve" in (project / curve.folder / "report.html").read_text()
    assert "cceptance" in (project / second.folder / "report.html").read_text()
    assert work.frames == 10 + 3 * 6


def test_killed_at_any_moment_it_ends_the_same(undisturbed, loop, folder):
    calm, work = undisturbed
    rows, frames, looks = journal(calm)
    program = Program(moments(rows), [random.Random(SEED).uniform(0.1, 1.5) for _ in range(AT_START)])
    (folder / "killed").mkdir()
    assert run_loop(loop, folder / "killed", ROUNDS, program) == work
    print(f"killed {len(program.killed)} times: {program.killed}")
    assert len(program.killed) >= LEAST_KILLS
    killed = folder / "killed/walkers"
    others, other_frames, other_looks = journal(killed)
    assert list(map(as_it_stands, others)) == list(map(as_it_stands, rows))
    assert other_frames == frames
    assert other_looks[:2] == looks[:2]
    np.testing.assert_array_equal(other_looks[2], looks[2])
    for number in range(1, ROUNDS + 1):
        best = f"rounds/{number}/train/run/best.ckpt"
        assert (killed / best).read_bytes() == (calm / best).read_bytes()
