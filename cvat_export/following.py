"""How far people are with the jobs of a push."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cvat_export.changes import Fate, compare
from cvat_export.pulling import Finished, PulledFrame, pull_task
from cvat_export.push_record import PushRecord
from cvat_export.server import CvatServer


@dataclass(frozen=True)
class JobStatus:
    """One job. skeletons: there now. edited, added, deleted: against the proposals. updated: its last change."""

    project_id: int
    task: str
    task_id: int
    job: int
    stage: str
    state: str
    assignee: str | None
    frames: int
    skeletons: int
    edited: int
    added: int
    deleted: int
    updated: str


def job_statuses(server: CvatServer, record: PushRecord) -> Iterator[JobStatus]:
    """The jobs of all tasks of a record that are on the server. Raises CvatExportError."""
    if record.project_id is None:
        return
    there = {task.id for task in server.tasks(record.project_id)}
    for task in record.tasks.values():
        if task.id is None or task.id not in there or not task.filled:
            continue
        frames = pull_task(server, task.id, record, Finished.ALL).frames
        for job in server.jobs(task.id):
            mine = [frame for frame in frames if frame.job_id == job.id]
            counts = _fates(mine, record)
            yield JobStatus(
                project_id=record.project_id,
                task=task.name,
                task_id=task.id,
                job=job.id,
                stage=job.stage,
                state=job.state,
                assignee=job.assignee,
                frames=job.stop_frame - job.start_frame + 1,
                skeletons=sum(i.corrected is not None for frame in mine for i in frame.instances),
                edited=counts[Fate.EDITED],
                added=counts[Fate.ADDED],
                deleted=counts[Fate.DELETED],
                updated=job.updated,
            )


def _fates(frames: list[PulledFrame], record: PushRecord) -> Counter[Fate]:
    """What would come out if all jobs were finished now."""
    assert record.skeleton is not None
    return Counter(
        compare(i.proposal.instance, i.corrected, record.skeleton, finished=True).fate if i.proposal else Fate.ADDED
        for frame in frames
        for i in frame.instances
    )
