"""Steps around people: proposals go to CVAT, people correct them, what they made comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from annotator.acceptance import measure_acceptance
from annotator.acceptance_advice import advise
from annotator.acceptance_files import read_round, write_acceptance
from annotator.acceptance_tables import format_share
from annotator.correction_cost import Costs
from annotator.credentials import find_login
from annotator.known_frames import file_key
from annotator.named_models import NO_MODEL
from annotator.proposal_outcomes import Round
from annotator.rounds.calling import call, options
from annotator.rounds.choosing import FRAMES, detection, evaluation_frames, model_hashes
from annotator.rounds.step import CurrentRound, Done, Step, Waiting
from cvat_export.coco import ANNOTATION_FILE, read_coco
from cvat_export.pulling import Finished, is_finished
from cvat_export.push_record import PushRecord, record_folder
from cvat_export.remote import RemoteJob
from cvat_export.server import CvatServer
from frame_tools.images import read_manifest

OUT, EVALUATION = "out", "evaluation"  # of `propose`: the datasets that are pushed
CORRECTED = "corrected"  # what people made of everything that was pushed, of all rounds
_NAMED = 3


def _propose_inputs(here: CurrentRound) -> dict[str, Any]:
    config = here.project.config
    return {
        "frames": here.done("choose").outputs,
        "models": model_hashes(here),
        "quality": config.models.quality,
        "skeleton": list(here.project.skeleton.joints),
        "category": config.category,
    }


def _propose(here: CurrentRound, folder: Path) -> Done:
    """Proposals of the model in use. Where there is none, and in what is kept for measuring, people begin with nothing:
    a truth that a model had a hand in would favour it.
    """
    model = here.model()
    found = _preannotate(here, here.folder("choose") / FRAMES, folder / OUT, model)
    bare = _preannotate(here, evaluation_frames(here), folder / EVALUATION, None)
    figures = {
        **{name: found[name] for name in ("images", "subjects", "skipped")},
        "without_proposals": bare["images"],
        "model": model is not None,
    }
    return Done(figures, [folder / OUT / ANNOTATION_FILE, folder / EVALUATION / ANNOTATION_FILE])


def _preannotate(here: CurrentRound, frames: Path, out: Path, model: str | None) -> dict[str, Any]:
    config = here.project.config
    words = {
        "output": out,
        "pose": model or NO_MODEL,
        "detection": detection(here) if model else None,
        "skeleton": here.project.skeleton_spec,
        "category": config.category,
        "quality": config.models.quality,
    }
    return call("preannotate", frames, *options(words))


def _push_inputs(here: CurrentRound) -> dict[str, Any]:
    return {"proposals": here.done("propose").outputs, "project": here.project.config.cvat.project}


def _push(here: CurrentRound, folder: Path) -> Done:
    """Everything of this round. A push goes on where it was stopped and sends nothing twice."""
    part, proposed = here.project.config.cvat, here.folder("propose")
    words = {
        **_server(here),
        "task_size": part.task_size,
        "segment_size": part.segment_size,
        "assignee": part.assignees,
    }
    for name in (OUT, EVALUATION):
        call("push", proposed / name, *options(words))
    images = sum(len(read_coco(proposed / name).images) for name in (OUT, EVALUATION))
    return Done({"project": part.project, "images": images})


def _server(here: CurrentRound) -> dict[str, Any]:
    part = here.project.config.cvat
    return {"project": part.project, "host": part.host, "org": part.organization, "state": here.project.state}


def _correct(here: CurrentRound, folder: Path) -> Done | Waiting:
    """Whether people are done with every job."""
    jobs = list(_jobs(here))
    rule = Finished(here.project.config.cvat.finished)
    open_jobs = [job for job in jobs if not is_finished(job, rule)]
    figures = {"jobs": len(jobs), "finished": len(jobs) - len(open_jobs)}
    if open_jobs and here.patient:
        return Waiting(figures, _awaited(open_jobs, len(jobs), rule, here.project.config.cvat.project))
    return Done(figures)


def _jobs(here: CurrentRound) -> Iterator[RemoteJob]:
    server, record = _open(here)
    there = {task.id for task in server.tasks(record.project_id)} if record.project_id is not None else set()
    for task in record.tasks.values():
        if task.id in there:
            yield from server.jobs(task.id)


def _open(here: CurrentRound) -> tuple[CvatServer, PushRecord]:
    part = here.project.config.cvat
    login = find_login(part.host, None, part.organization)
    return CvatServer(login), PushRecord(record_folder(here.project.state, login.host, part.project))


def _awaited(jobs: list[RemoteJob], total: int, rule: Finished, project: str) -> str:
    names = [f"job {job.id} of {job.assignee or 'nobody'}" for job in jobs[:_NAMED]]
    more = f", and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
    return (
        f"waiting for people: {total - len(jobs)} of {total} jobs of {project!r} are {rule.value}; open: "
        f"{', '.join(names)}{more}. annotator round next goes on when all are; with --now it takes what is there"
    )


def _pull_inputs(here: CurrentRound) -> dict[str, Any]:
    return {"jobs": here.done("correct").figures, "finished": here.project.config.cvat.finished}


def _pull(here: CurrentRound, folder: Path) -> Done:
    words = {**_server(here), "jobs": here.project.config.cvat.finished, "output": folder}
    found = call("pull", *options(words))
    figures = {name: found[name] for name in ("images", "fates", "not_finished", "notes")}
    return Done(figures, [folder / ANNOTATION_FILE])


def _acceptance(here: CurrentRound, folder: Path) -> Done:
    """Of all rounds so far; frames in which nothing was proposed say nothing of proposals."""
    rounds = list(_rounds(here))
    if not any(one.rows for one in rounds):
        return Done({"proposals": 0, "saved": None, "advice": []})
    costs = Costs()
    measured = measure_acceptance(rounds, costs)
    advice = advise(measured)
    write_acceptance(folder, measured, costs, advice)
    latest = measured.trend[-1]
    figures = {"proposals": _proposals(latest.fates), "saved": format_share(latest.saved), "advice": list(advice)}
    return Done(figures, [folder / "acceptance.json"])


def _rounds(here: CurrentRound) -> Iterator[Round]:
    """A value a round in which a model has proposed."""
    for row in here.every("choose"):
        if here.done("propose", row.round).figures["model"]:
            files = {file_key(entry.file) for entry in read_manifest(here.project.root / row.folder / FRAMES)}
            yield read_round(here.project.root / CORRECTED, f"round {row.round}", "auto", files)


def _proposals(fates: Mapping[Any, int]) -> int:
    return sum(count for fate, count in fates.items() if str(fate) != "added")


PROPOSE = Step("propose", _propose_inputs, _propose)
PUSH = Step("push", _push_inputs, _push)
CORRECT = Step("correct", lambda here: {"proposals": here.done("propose").outputs}, _correct)
PULL = Step("pull", _pull_inputs, _pull, folder=CORRECTED)
ACCEPTANCE = Step("acceptance", lambda here: {"labels": here.done("pull").outputs}, _acceptance)
