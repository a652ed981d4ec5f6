"""Requests that a worker handles while the client asks again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.etree import ElementTree

from demo.cvat_standin.coco_import import ImportFailedError
from demo.cvat_standin.messages import Answer, ApiError, Call, as_json
from demo.cvat_standin.rows import Background, Json, User
from demo.cvat_standin.task_data import DataRefusedError
from demo.cvat_standin.views import view_background

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

EXPECTED_FAILURES = (ImportFailedError, DataRefusedError, KeyError, ElementTree.ParseError)


def enqueue(
    state: State,
    rq_id: str,
    kind: str,
    target: str,
    number: int,
    work: Callable[[], bytes | None],
    *,
    format_name: str | None = None,
    file_name: str = "",
) -> Answer:
    """Do the work now, tell the client of it later. An older request of the same id is forgotten."""
    row = Background(rq_id, kind, target, None, None, None, format_name, state.now(), state.polls)
    row.file_name = file_name
    _aim(state, row, target, number)
    try:
        row.result = work()
    except EXPECTED_FAILURES as error:
        row.message = str(error) if isinstance(error, ImportFailedError | DataRefusedError) else _traceback(error)
    state.background[rq_id] = row
    return as_json({"rq_id": rq_id}, 202)


def retrieve(state: State, call: Call, user: User, rq_id: str) -> Answer:
    """GET /api/requests/ID: queued once, then started, then how it ended."""
    row = state.background.get(unquote(rq_id))
    if row is None:
        raise ApiError(404, {"detail": "Not found."})
    status = "failed" if row.message else "finished"
    if row.polls_left > 0:
        status = "started" if row.polled else "queued"
    row.polled += 1
    row.polls_left -= 1
    return as_json(view_background(row, status, user, call.base))


def _aim(state: State, row: Background, target: str, number: int) -> None:
    if target == "project":
        row.project_id = number
        return
    if target == "job":
        row.job_id = number
    row.task_id = state.job(number).task_id if target == "job" else number
    row.project_id = state.task(row.task_id).project_id


def _traceback(error: Exception) -> str:
    """As the server words what it did not foresee: a whole traceback, the error last."""
    names: Json = {"ParseError": "xml.etree.ElementTree.ParseError"}
    name = type(error).__name__
    last = f"{names.get(name, name)}: {error}"
    return (
        f'Traceback (most recent call last):\n  File "cvat/apps/dataset_manager/views.py", line 1, in export\n{last}\n'
    )
