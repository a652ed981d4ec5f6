"""Images, annotations, imports and exports of tasks, jobs and projects."""

from __future__ import annotations

import io
import mimetypes
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from demo.cvat_standin import job_annotations, task_data, uploads
from demo.cvat_standin.background import enqueue
from demo.cvat_standin.coco_import import import_coco
from demo.cvat_standin.export import export_coco
from demo.cvat_standin.messages import Answer, ApiError, Call, as_json
from demo.cvat_standin.rows import Job, Json, Task, User
from demo.cvat_standin.views import CHUNK_SIZE, view_meta

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

FORMAT = "COCO Keypoints 1.0"


def post_data(state: State, call: Call, user: User, task_id: int) -> Answer:
    """The steps of an upload, told apart by their headers."""
    task = state.task(task_id)
    if task.frames is not None:
        raise ApiError(400, ["Adding more data is not supported"])
    if "upload-start" in call.headers:
        return uploads.accepted()
    if "upload-length" in call.headers:
        return uploads.start(state, call, user, task_id)
    if "upload-multiple" in call.headers:
        task_data.gather(task, call.files())
        return Answer(200)
    fields = _fields(call)
    rq_id = f"action=create&target=task&target_id={task_id}"
    return enqueue(state, rq_id, "create:task", "task", task_id, lambda: task_data.finish(state, task, fields))


def get_task_data(state: State, call: Call, user: User, task_id: int) -> Answer:
    """One frame's bytes, whatever `quality` asks for."""
    task = state.task(task_id)
    return _frame(call, task, 0, len(task.frames or ()) - 1)


def get_job_data(state: State, call: Call, user: User, job_id: int) -> Answer:
    """The same for a job; frames are counted as in the task."""
    job = state.job(job_id)
    return _frame(call, state.tasks[job.task_id], job.start_frame, job.stop_frame)


def get_task_meta(state: State, call: Call, user: User, task_id: int) -> Answer:
    """GET /api/tasks/ID/data/meta."""
    task = _with_data(state.task(task_id))
    return as_json(view_meta(task, 0, len(task.frames or ()) - 1))


def get_job_meta(state: State, call: Call, user: User, job_id: int) -> Answer:
    """GET /api/jobs/ID/data/meta."""
    job = state.job(job_id)
    return as_json(view_meta(state.tasks[job.task_id], job.start_frame, job.stop_frame))


def patch_task_meta(state: State, call: Call, user: User, task_id: int) -> Answer:
    """Which frames are deleted, all over the task."""
    task = _with_data(state.task(task_id))
    _set_deleted(state, task, call.json(), 0, len(task.frames or ()) - 1)
    return get_task_meta(state, call, user, task_id)


def patch_job_meta(state: State, call: Call, user: User, job_id: int) -> Answer:
    """Which of the job's frames are deleted."""
    job = state.job(job_id)
    _set_deleted(state, state.tasks[job.task_id], call.json(), job.start_frame, job.stop_frame)
    state.touch(job)
    return get_job_meta(state, call, user, job_id)


def get_task_annotations(state: State, call: Call, user: User, task_id: int) -> Answer:
    """All jobs' annotations."""
    _with_data(state.task(task_id))
    return as_json(job_annotations.read(state.jobs_of(task_id), state.newest_first))


def get_job_annotations(state: State, call: Call, user: User, job_id: int) -> Answer:
    """One job's annotations."""
    return as_json(job_annotations.read([state.job(job_id)], state.newest_first))


def put_task_annotations(state: State, call: Call, user: User, task_id: int) -> Answer:
    """Everything anew."""
    _with_data(state.task(task_id))
    return as_json(job_annotations.replace(state, state.jobs_of(task_id), call.json(), split=True))


def put_job_annotations(state: State, call: Call, user: User, job_id: int) -> Answer:
    """The job anew."""
    return as_json(job_annotations.replace(state, [state.job(job_id)], call.json(), split=False))


def patch_task_annotations(state: State, call: Call, user: User, task_id: int) -> Answer:
    """Create, update or delete rows of the task."""
    _with_data(state.task(task_id))
    return as_json(job_annotations.patch(state, state.jobs_of(task_id), call.json(), _action(call), split=True))


def patch_job_annotations(state: State, call: Call, user: User, job_id: int) -> Answer:
    """Create, update or delete rows of the job."""
    return as_json(job_annotations.patch(state, [state.job(job_id)], call.json(), _action(call), split=False))


def delete_task_annotations(state: State, call: Call, user: User, task_id: int) -> Answer:
    """Take all away."""
    for job in state.jobs_of(_with_data(state.task(task_id)).id):
        job_annotations.clear(state, job)
    return Answer(204)


def delete_job_annotations(state: State, call: Call, user: User, job_id: int) -> Answer:
    """Take the job's away."""
    job_annotations.clear(state, state.job(job_id))
    return Answer(204)


def import_into_task(state: State, call: Call, user: User, task_id: int) -> Answer:
    """The steps of an import, told apart by their headers."""
    _with_data(state.task(task_id))
    return _import(state, call, user, "task", task_id, state.jobs_of(task_id))


def import_into_job(state: State, call: Call, user: User, job_id: int) -> Answer:
    """The same for a job."""
    return _import(state, call, user, "job", job_id, [state.job(job_id)])


def export_task(state: State, call: Call, user: User, task_id: int) -> Answer:
    """Start an export."""
    _with_data(state.task(task_id))
    return _export(state, call, user, "task", task_id, state.jobs_of(task_id))


def export_job(state: State, call: Call, user: User, job_id: int) -> Answer:
    """Start an export."""
    return _export(state, call, user, "job", job_id, [state.job(job_id)])


def export_project(state: State, call: Call, user: User, project_id: int) -> Answer:
    """Start an export of all tasks."""
    state.project(project_id)
    tasks = [task.id for task in state.tasks.values() if task.project_id == project_id]
    return _export(state, call, user, "project", project_id, [job for task in tasks for job in state.jobs_of(task)])


def download(state: State, call: Call, user: User, _: int) -> Answer:
    """What an export made."""
    row = state.background.get(call.query.get("rq_id", ""))
    if row is None or row.result is None:
        raise ApiError(404, {"detail": "Not found."})
    disposition = f'attachment; filename="{row.file_name}"'
    return Answer(200, row.result, "application/zip", {"Content-Disposition": disposition})


def _import(state: State, call: Call, user: User, target: str, number: int, jobs: Sequence[Job]) -> Answer:
    if "upload-start" in call.headers:
        return uploads.accepted()
    if "upload-length" in call.headers:
        return uploads.start(state, call, user)
    if call.query.get("format") != FORMAT:
        raise ApiError(400, [f"Unknown input format '{call.query.get('format')}'"])
    content = uploads.take(state, call.query.get("filename", ""))
    append = call.query.get("import_mode") == "append"
    rq_id = f"action=import&target={target}&target_id={number}&subresource=annotations"

    def work() -> None:
        import_coco(state, jobs, content, append=append)

    return enqueue(state, rq_id, "import:annotations", target, number, work)


def _export(state: State, call: Call, user: User, target: str, number: int, jobs: Sequence[Job]) -> Answer:
    if call.query.get("format") != FORMAT:
        raise ApiError(400, [f"Unknown format specified for the request: {call.query.get('format')}"])
    with_images = call.query.get("save_images", "").lower() == "true"
    what = "dataset" if with_images else "annotations"
    rq_id = (
        f"action=export&target={target}&target_id={number}&user_id={user.id}"
        f"&format=COCO_Keypoints_1~0&subresource={what}"
    )
    stamp = state.now().strftime("%Y_%m_%d_%H_%M_%S")
    return enqueue(
        state,
        rq_id,
        f"export:{what}",
        target,
        number,
        lambda: export_coco(state, jobs, with_images=with_images),
        format_name=FORMAT,
        file_name=f"{target}_{number}_{what}_{stamp}_{FORMAT.lower()}.zip",
    )


def _chunk(task: Task, number: int) -> bytes:
    """The originals of a chunk's frames, numbered, as a zip."""
    frames = (task.frames or [])[number * CHUNK_SIZE : (number + 1) * CHUNK_SIZE]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for index, frame in enumerate(frames):
            archive.writestr(f"{index:06}{PurePosixPath(frame.name).suffix}", frame.content)
    return stream.getvalue()


def _frame(call: Call, task: Task, start: int, stop: int) -> Answer:
    number = call.query.get("number", "")
    if call.query.get("type") == "chunk" and number.isdecimal():
        return Answer(200, _chunk(task, int(number)), "application/zip")
    if call.query.get("type") != "frame" or not number.isdecimal():
        raise ApiError(400, ["The stand-in sends single frames and chunks only"])
    if not start <= int(number) <= stop:
        raise ApiError(400, [f"The frame number {number} is not in the range {start}..{stop}"])
    frame = (task.frames or [])[int(number)]
    return Answer(200, frame.content, mimetypes.guess_type(frame.name)[0] or "application/octet-stream")


def _set_deleted(state: State, task: Task, data: Json, start: int, stop: int) -> None:
    if "deleted_frames" not in data:
        return
    inside = {number for number in data["deleted_frames"] if start <= number <= stop}
    task.deleted_frames = {number for number in task.deleted_frames if not start <= number <= stop} | inside
    task.updated = state.now()


def _with_data(task: Task) -> Task:
    if task.frames is None:
        raise ApiError(400, ["The task has no data"])
    return task


def _action(call: Call) -> str:
    action = call.query.get("action", "")
    if action not in job_annotations.ACTIONS:
        raise ApiError(400, [f"Please specify a correct 'action' for the request: {action!r}"])
    return action


def _fields(call: Call) -> dict[str, Any]:
    """The values of a JSON body, or of a form."""
    if call.headers.get("content-type", "").startswith("application/json"):
        return dict(call.json())
    raise ApiError(415, {"detail": "Unsupported media type in request."})
