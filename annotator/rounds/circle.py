"""The rounds: the next steps are run until people are needed, each written down before and after."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from annotator.errors import AnnotatorError
from annotator.journal import Journal, StepRow, this_process
from annotator.project import Project
from annotator.rounds.choosing import CHOOSE, EVALUATION, POOL, chosen_frames
from annotator.rounds.correcting import ACCEPTANCE, CORRECT, PROPOSE, PULL, PUSH
from annotator.rounds.detecting import DETECTOR
from annotator.rounds.judging import CURVE, GATE
from annotator.rounds.learning import EXPORT, TRAIN, check_trainings
from annotator.rounds.sorting import CHECK, SORT
from annotator.rounds.step import CurrentRound, Done, Ended, Step, Waiting, hash_file
from annotator.rounds.words import WORDS

STEPS = (
    *(POOL, EVALUATION, CHOOSE, PROPOSE, PUSH, CORRECT, PULL),
    *(SORT, CHECK, ACCEPTANCE, TRAIN, EXPORT, GATE, DETECTOR, CURVE),
)
ROUNDS = "rounds"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reached:
    """Where `advance` stopped. waiting: for people; else there was nothing more to do. words: why."""

    round: int
    step: str
    waiting: bool
    words: str


def advance(project: Project, journal: Journal, say: Say, patient: bool = True) -> Reached:
    """Run the next steps. patient: whether to wait for people who are not done; only once, else.

    Raises AnnotatorError and what steps raise; the journal then says which step failed and why.
    """
    with journal.locked("annotator round next"):
        _check_ahead(project, journal.steps())
        while True:
            here = CurrentRound(project, journal, current_round(journal.steps()), patient, say)
            for place, step in enumerate(STEPS, start=1):
                stopped = _settle(here, step, place)
                if isinstance(stopped, Waiting | Ended):
                    return Reached(here.number, step.name, isinstance(stopped, Waiting), stopped.words)
                here = CurrentRound(project, journal, here.number, patient, say)
            patient = True


def _check_ahead(project: Project, rows: list[StepRow]) -> None:
    """Nobody is to label for days before it is known that a training cannot begin; then building networks is worth it.

    Raises AnnotatorError.
    """
    number = current_round(rows)
    if any(row.round == number and row.name == PUSH.name and row.state == "done" for row in rows):
        for part in project.training_parts:
            project.training(part)
    else:
        check_trainings(project)


def current_round(rows: list[StepRow]) -> int:
    """The first round that is not whole, counted from 1."""
    done = {(row.round, row.name) for row in rows if row.state == "done"}
    return next(number for number in count(1) if any((number, step.name) not in done for step in STEPS))


def _settle(here: CurrentRound, step: Step, place: int) -> Waiting | Ended | None:
    """See to it that a step is done: it was, or an earlier result serves, or it is run."""
    mine = [row for row in here.rows if row.round == here.number and row.name == step.name]
    if any(row.state == "done" for row in mine):
        return None
    inputs = _plain(step.inputs(here))
    if (earlier := _serving(here, step, mine, inputs)) is not None:
        _take_again(here, step, place, mine, earlier, inputs)
        return None
    return _run(here, step, place, mine, inputs)


def _serving(here: CurrentRound, step: Step, mine: list[StepRow], inputs: Mapping[str, Any]) -> StepRow | None:
    """A result of the same inputs whose files are as they were: one that was undone, or a lasting one."""
    candidates = [row for row in mine if row.state == "undone"]
    if step.lasting:
        candidates += [row for row in here.every(step.name) if row.round < here.number]
    if step.name in (PUSH.name, CORRECT.name, PULL.name):
        candidates = []  # what is in CVAT may have changed
    same = (row for row in reversed(candidates) if row.inputs == inputs and _intact(here.project, row))
    return next(same, None)


def _intact(project: Project, row: StepRow) -> bool:
    paths = {name: project.root / name for name in row.outputs}
    return all(path.is_file() and hash_file(path) == row.outputs[name] for name, path in paths.items())


def _take_again(
    here: CurrentRound, step: Step, place: int, mine: list[StepRow], earlier: StepRow, inputs: Mapping[str, Any]
) -> None:
    is_mine = earlier.round == here.number
    row = replace(earlier, state="running") if is_mine else _new_row(here, step, place, mine, inputs, earlier.folder)
    frames = chosen_frames(here, here.project.root / earlier.folder) if step is CHOOSE else []
    here.journal.begin(row)
    here.journal.end(row, "done", earlier.outputs, earlier.figures, frames)
    if is_mine:
        here.say(f"round {here.number}: {step.name}: as before: {WORDS[step.name](earlier.figures)}")


def _run(
    here: CurrentRound, step: Step, place: int, mine: list[StepRow], inputs: Mapping[str, Any]
) -> Waiting | Ended | None:
    row = _new_row(here, step, place, mine, inputs)
    if row.state != "waiting":
        here.say(f"round {here.number}: {step.name}")
    here.journal.begin(replace(row, state="running"))
    folder = here.project.root / row.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        result = step.run(here, folder)
    except Exception as error:
        here.journal.end(row, "failed", {}, {}, error=f"{type(error).__name__}: {error}")
        raise
    if isinstance(result, Done):
        outputs = {here.relative(path): hash_file(path) for path in result.outputs}
        here.journal.end(row, "done", outputs, _plain(result.figures), result.frames)
        here.say(f"round {here.number}: {step.name}: {WORDS[step.name](result.figures)}")
        return None
    figures = result.figures if isinstance(result, Waiting) else {}
    here.journal.end(row, "waiting", {}, _plain(figures), error=result.words)
    return result


def _new_row(
    here: CurrentRound,
    step: Step,
    place: int,
    mine: list[StepRow],
    inputs: Mapping[str, Any],
    folder: str | None = None,
) -> StepRow:
    """The attempt that is gone on with, if its inputs are the same, or the next one with a folder of its own."""
    last = mine[-1] if mine else None
    goes_on = last is not None and last.state in ("running", "waiting", "failed") and last.inputs == inputs
    attempt = last.attempt + (not goes_on) if last else 1
    own = f"{ROUNDS}/{here.number}/{step.name}" + (f"-{attempt}" if attempt > 1 else "")
    return StepRow(
        round=here.number,
        place=place,
        name=step.name,
        attempt=attempt,
        state=last.state if goes_on and last else "running",
        folder=folder or step.folder or own,
        inputs=inputs,
        outputs={},
        figures={},
        error=None,
        started=last.started if goes_on and last else time.time(),
        ended=None,
        process=this_process(),
    )


def undo(project: Project, journal: Journal, to: str | None = None) -> list[StepRow]:
    """Take back the last step that is done, or all up to the last one called `to`; nothing is deleted.

    Raises AnnotatorError where there is none, and for the evaluation set, which is what makes rounds comparable.
    """
    with journal.locked("annotator round undo"):
        taken: list[StepRow] = []
        while not taken or (to is not None and taken[-1].name != to):
            done = [row for row in journal.steps() if row.state == "done"]
            if not done:
                raise AnnotatorError(f"{journal.path}: no step {to or ''} is done that could be taken back")
            last = max(done, key=lambda row: (row.round, row.place, row.attempt))
            if last.name in (POOL.name, EVALUATION.name) and last.round == 1:
                raise AnnotatorError(
                    "the first round's pool and evaluation set stay: they are what rounds are compared by; begin "
                    "another project for others"
                )
            journal.undo(last)
            taken.append(last)
        return taken


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As the journal gives them back."""
    content: dict[str, Any] = json.loads(json.dumps(values))
    return content
