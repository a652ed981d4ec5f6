"""The loop without any person: a project's rounds against the stand-in server, corrected by one who knows the truth."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import yaml

from annotator.credentials import find_login
from cvat_export.coco import read_coco
from cvat_export.dataset import Dataset
from demo.correction import Work
from demo.cvat_standin import StandInServer
from demo.program import run_annotator
from demo.simulated_annotator import AnnotatingServer, annotate
from demo.truth import Truth
from trainers.metrics.bootstrap import Interval, interval

PROJECT = "loop"
BROKEN_LABEL = "train_137.jpg"  # of the cats: all its joints lie in one point


@dataclass(frozen=True)
class Loop:
    """What is labelled, and how. init: words for `annotator init`; settings: what differs from what that writes."""

    name: str
    truth: Truth
    init: tuple[str, ...]
    settings: Mapping[str, Any]


def film_loop(folder: Path, scenes: int = 12, seed: int = 1) -> Loop:
    """Of footage that the project draws."""
    from demo.footage import draw_footage
    from demo.loop_film import random_scenes

    video, truth = folder / "walkers.mp4", folder / "walkers_truth.json"
    if not truth.exists():
        draw_footage(video, truth, random_scenes(scenes, seed))
    settings = {
        "frames": {"pool": 400, "evaluation": 40, "a_round": 24, "apart_seconds": 0.4},
        "train": {"epochs": 24},
    }
    init = ("--skeleton", "coco17", "--videos", str(video))
    return Loop("walkers", Truth.of(read_coco(truth)), init, settings)


def cat_loop(folder: Path, data: Path) -> Loop:
    """Of photographs of cats, 16 joints, beginning without a model: DATA is the folder that holds cats/."""
    images = folder / "cats"
    images.mkdir(exist_ok=True)
    parts = [read_coco(data / "cats/annotations" / f"cat_keypoints_{part}.json") for part in ("train", "test")]
    labelled = [image for part in parts for image in part.images if image.file_name != BROKEN_LABEL]
    for image in labelled:
        shutil.copy(data / "cats/images" / image.file_name, images)
    settings = {
        "frames": {"evaluation": 40, "a_round": 30},
        "train": {
            "epochs": 120,
            "input": {"width": 128, "height": 128},
            "optimizer": {"learning_rate": 0.001},
        },
        "detector": {"input": {"width": 256, "height": 256}},
    }
    init = ("--skeleton", "cat16", "--category", parts[0].categories[0].name, "--images", str(images))
    return Loop("cats", Truth.of(Dataset(parts[0].categories, tuple(labelled))), init, settings)


def run_loop(loop: Loop, folder: Path, rounds: int, step: Callable[[Path], None] | None = None) -> Work:
    """Go round so often, in a project's folder that is made here. step: how `annotator round next` is called."""
    project = folder / loop.name
    with served():
        begin(loop, project)
        work = Work()
        while finished_rounds(project) < rounds:
            (step or _next)(project)
            work += annotate(AnnotatingServer(find_login(None, None, None)), PROJECT, loop.truth)
    return work


def begin(loop: Loop, project: Path) -> None:
    """Make the project, with the settings."""
    run_annotator("init", str(project), *loop.init, "--cvat-project", PROJECT)
    path = project / "annotator.yaml"
    content = yaml.safe_load(path.read_text("utf-8"))
    for part, values in loop.settings.items():
        content[part] |= values
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")


@contextmanager
def served() -> Any:
    """A stand-in server, which this process and its children take for CVAT."""
    names = ("CVAT_HOST", "CVAT_ACCESS_TOKEN")
    before = {name: os.environ.get(name) for name in names}
    with StandInServer() as server:
        os.environ |= dict(zip(names, (server.url, server.token), strict=True))
        try:
            yield server
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                os.environ |= {name: value} if value is not None else {}


def finished_rounds(project: Path) -> int:
    """How many rounds have been judged and drawn."""
    return sum(row["name"] == "curve" and row["state"] == "done" for row in journal_rows(project))


def journal_rows(project: Path) -> list[dict[str, Any]]:
    """The journal's steps."""
    from annotator.journal import Journal
    from annotator.project_files import STATE_FOLDER
    from annotator.rounds.status import status

    journal = Journal(project / STATE_FOLDER)
    rows: list[dict[str, Any]] = status(journal)["steps"]
    journal.close()
    return rows


def first_to_last(project: Path) -> Interval:
    """By how much the last round's model is better than the first one's, on the same resamples of the same frames."""
    gates = [row for row in journal_rows(project) if row["name"] == "gate" and row["state"] == "done"]
    found = [json.loads((project / row["folder"] / "gate.json").read_text("utf-8"))["resampled"] for row in gates]
    first, last = (np.array(one, float) for one in (found[0], found[-1]))
    value = gates[-1]["figures"]["value"] - gates[0]["figures"]["value"]
    return interval(value, last - first, len(first))


def report(project: Path, work: Work, seconds: float) -> None:
    """Print what came of it."""
    for row in journal_rows(project):
        if row["name"] == "gate":
            figures = row["figures"]
            click.echo(
                f"round {row['round']}: {figures['labels']} labelled frames, mean OKS {figures['value']:.3f} "
                f"[{figures['low']:.3f}, {figures['high']:.3f}]; {figures['reason']}"
            )
    apart = first_to_last(project)
    click.echo(f"last round over the first: {apart.value:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]")
    click.echo(f"the simulated annotator: {work}")
    latest = max(row["round"] for row in journal_rows(project) if row["name"] == "curve")
    for page in ("curve/report.html", "acceptance/report.html"):
        click.echo(f"look at {project / 'rounds' / str(latest) / page}")
    click.echo(f"  ({seconds / 60:.1f} min)")


def timed(loop: Loop, folder: Path, rounds: int) -> None:
    """Run and report."""
    started = time.monotonic()
    work = run_loop(loop, folder, rounds)
    report(folder / loop.name, work, time.monotonic() - started)


def _next(project: Path) -> None:
    click.secho("$ annotator round next", bold=True)
    run_annotator("round", "next", folder=project)
