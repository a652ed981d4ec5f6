"""Somebody who knows the truth corrects proposals in CVAT, over its API as the web page does: no person is needed.

python -m demo.simulated_annotator --project NAME --truth truth.json
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from annotator.correction_cost import Costs
from cvat_export.cvat_labels import joint_ids, label_problems
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.remote import RemoteFrame, RemoteJob
from cvat_export.retrying import attempt
from cvat_export.server import CvatServer
from cvat_export.shapes import decode_shape, encode_shape
from demo.correction import Work, correct_image
from demo.hand import Hand
from demo.truth import Truth, read_truth

DONE = {"stage": "acceptance", "state": "completed"}
Shape = dict[str, Any]


class AnnotatingServer(CvatServer):
    """A server on which people's work is done too."""

    def update_shapes(self, task_id: int, shapes: Sequence[Shape]) -> None:
        """Change shapes, given as the server described them; their ids stay."""
        self._patch_shapes(task_id, "update", shapes)

    def accept(self, job_id: int) -> None:
        """Say that a job is done, and right."""
        self._write("PATCH", f"jobs/{job_id}", DONE)


@dataclass(frozen=True)
class _Label:
    """A category in a project. joints: id of a sublabel -> index of its joint."""

    id: int
    category: str
    joints: Mapping[int, int]


def annotate(
    server: AnnotatingServer, project: str, truth: Truth, hand: Hand | None = None, costs: Costs | None = None
) -> Work:
    """Correct and accept all jobs of the project that are not completed, oldest task first; what was done.

    Stopped anywhere and started again, it ends with the same labels, and only what was left to do counts. Raises
    CvatExportError, before the job is touched, where the truth lacks one of its images or the project's label differs.
    """
    return sum((_annotate_task(server, task, truth, hand or Hand(), costs) for task in _tasks(server, project)), Work())


def _tasks(server: AnnotatingServer, project: str) -> list[int]:
    found = server.find_projects(project)
    if len(found) != 1:
        raise CvatExportError(f"project {project!r}: {server.login.host} has {len(found)} of this name, expected one")
    return [task.id for task in server.tasks(found[0].id)]


def _annotate_task(server: AnnotatingServer, task_id: int, truth: Truth, hand: Hand, costs: Costs | None) -> Work:
    waiting = [job for job in server.jobs(task_id) if job.state != DONE["state"]]
    if not waiting:
        return Work()
    desk = _Desk(server, task_id, _labels(server, task_id, truth), truth, hand, costs)
    frames = server.frames(task_id)
    return sum((desk.finish(job, frames) for job in waiting), Work())


def _labels(server: AnnotatingServer, task_id: int, truth: Truth) -> tuple[_Label, ...]:
    rows = server.labels(task_id=task_id)
    if problems := [p for category, one in truth.skeletons.items() for p in label_problems(one, category, rows)]:
        raise CvatExportError(f"task {task_id} is not for this truth: " + "; ".join(problems))
    named = {str(row["name"]): row for row in rows}
    return tuple(
        _Label(int(named[category]["id"]), category, joint_ids(named[category], skeleton))
        for category, skeleton in truth.skeletons.items()
    )


@dataclass(frozen=True)
class _Desk:
    """One task, and who works on it."""

    server: AnnotatingServer
    task_id: int
    labels: Sequence[_Label]
    truth: Truth
    hand: Hand
    costs: Costs | None

    def finish(self, job: RemoteJob, frames: Sequence[RemoteFrame]) -> Work:
        """Correct the job's frames, one after the other, and accept it. After a fault it looks what has arrived."""
        mine = [frame for frame in frames[job.start_frame : job.stop_frame + 1] if not frame.deleted]
        for frame in mine:
            self.truth.image(frame.name)
        done: dict[int, Work] = {}
        attempt(lambda: self._correct(mine, done), self.server.sleep)
        attempt(lambda: self.server.accept(job.id), self.server.sleep)
        return sum(done.values(), Work())

    def _correct(self, frames: Sequence[RemoteFrame], done: dict[int, Work]) -> None:
        """done: what each frame took, as it was met first; filled."""
        there = self._skeletons()
        for frame in frames:
            shapes = there.get(frame.number, [])
            correction = correct_image(
                self.truth.image(frame.name), [one for _, one in shapes], self.truth.skeletons, self.hand, self.costs
            )
            done.setdefault(frame.number, correction.work)
            if correction.deleted:
                self.server.delete_shapes(self.task_id, [shapes[position][0] for position in correction.deleted])
            if edited := list(filter(None, (self._edited(*shapes[n], after) for n, after in correction.kept.items()))):
                self.server.update_shapes(self.task_id, edited)
            if correction.added:
                self.server.create_shapes(self.task_id, [self._drawn(one, frame.number) for one in correction.added])

    def _skeletons(self) -> dict[int, list[tuple[Shape, Instance]]]:
        """The task's skeletons of our labels by frame, in an order that CVAT's ids have no part in."""
        labels = {label.id: label for label in self.labels}
        found: dict[int, list[tuple[Shape, Instance]]] = {}
        for shape in self.server.annotations(self.task_id)["shapes"]:
            label = labels.get(shape["label_id"])
            if shape["type"] == "skeleton" and label is not None:
                instance = decode_shape(shape, label.category, label.joints)
                found.setdefault(shape["frame"], []).append((shape, instance))
        for shapes in found.values():
            shapes.sort(key=lambda pair: (pair[1].category, pair[1].xy.tolist(), pair[1].visibility.tolist()))
        return found

    def _edited(self, shape: Shape, before: Instance, after: Instance) -> Shape | None:
        """The shape with what has changed in it; None where nothing has."""
        joints = self._label(before.category).joints
        elements = []
        for element in shape["elements"]:
            joint = joints[element["label_id"]]
            elements.append(element | _changes(before, after, joint))
        return None if elements == shape["elements"] else {**shape, "elements": elements}

    def _drawn(self, instance: Instance, frame: int) -> Shape:
        label = self._label(instance.category)
        shape = encode_shape(instance, frame, label.id, label.joints, ())
        manual = {"source": "manual"}
        return {**shape, **manual, "elements": [{**element, **manual} for element in shape["elements"]]}

    def _label(self, category: str) -> _Label:
        return next(label for label in self.labels if label.category == category)


def _changes(before: Instance, after: Instance, joint: int) -> Shape:
    """What is to be said of a joint: a drag, and the keys O and Q."""
    changes: Shape = {}
    if (before.xy[joint] != after.xy[joint]).any():
        changes["points"] = after.xy[joint].astype(float).round(2).tolist()
    if before.visibility[joint] != after.visibility[joint]:
        changes["outside"] = not after.labelled[joint]
        changes["occluded"] = bool(after.visibility[joint] == 1)
    return changes


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--project", required=True, help="Name of the project in CVAT.")
@click.option("--truth", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, help="COCO file.")
@click.option(
    "--tolerance", type=click.FloatRange(0), default=1.0, show_default=True, help="Sigmas a joint may be off."
)
@click.option("--noise", type=click.FloatRange(0), default=0.3, show_default=True, help="Sigmas a hand is off.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the hand.")
def main(project: str, truth: Path, tolerance: float, noise: float, seed: int) -> None:
    """Correct the proposals in a project by the truth, and accept its jobs.

    The server is that of CVAT_HOST and CVAT_ACCESS_TOKEN.
    """
    from annotator.credentials import find_login

    server = AnnotatingServer(find_login(None, None, None))
    click.echo(annotate(server, project, read_truth(truth), Hand(tolerance, noise, seed)))


if __name__ == "__main__":
    from annotator.cli import KNOWN_ERRORS

    try:
        main()
    except KNOWN_ERRORS as error:
        sys.exit(f"error: {error}")
