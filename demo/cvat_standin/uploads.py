"""Files that come in pieces: the resumable protocol (tus 1.0.0) as CVAT speaks it."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

from demo.cvat_standin.messages import Answer, ApiError, Call
from demo.cvat_standin.rows import TusUpload, User

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

RESUMABLE = {"Tus-Resumable": "1.0.0"}


def start(state: State, call: Call, user: User, task_id: int | None = None) -> Answer:
    """POST with Upload-Length: where to send the pieces. task_id: whose images they are."""
    name = _metadata(call.headers.get("upload-metadata", "")).get("filename", "")
    if task_id is not None and name in state.task(task_id).uploaded:
        return Answer(409, b"File with same name already exists")
    upload = TusUpload(f"{user.id}_{uuid.uuid4()}", name, int(call.headers["upload-length"]), task_id)
    state.uploads[upload.id] = upload
    location = f"{call.base}{call.path.rstrip('/')}/{upload.id}"
    shown = upload.id if task_id is None else name
    return Answer(201, headers={**RESUMABLE, "Location": location, "Upload-Filename": shown})


def append(state: State, call: Call, upload_id: str) -> Answer:
    """PATCH: the next piece. 409 where it is not the next one."""
    upload = _find(state, upload_id)
    if int(call.headers.get("upload-offset", -1)) != len(upload.content):
        return Answer(409, headers={**RESUMABLE, "Upload-Offset": str(len(upload.content))})
    upload.content += call.body
    if upload.task_id is not None and len(upload.content) >= upload.length:
        state.task(upload.task_id).uploaded[upload.name] = bytes(upload.content)
    return Answer(204, headers={**RESUMABLE, "Upload-Offset": str(len(upload.content))})


def offset(state: State, upload_id: str) -> Answer:
    """HEAD: how much has arrived."""
    upload = _find(state, upload_id)
    lengths = {"Upload-Offset": str(len(upload.content)), "Upload-Length": str(upload.length)}
    return Answer(200, headers={**RESUMABLE, **lengths})


def take(state: State, upload_id: str) -> bytes:
    """The complete file, which is then forgotten. Raises ApiError 400 where there is none."""
    upload = state.uploads.get(upload_id)
    if upload is None or len(upload.content) != upload.length:
        raise ApiError(400, ["No such file were uploaded"])
    del state.uploads[upload_id]
    return bytes(upload.content)


def accepted() -> Answer:
    """What Upload-Start gets."""
    return Answer(202)


def _find(state: State, upload_id: str) -> TusUpload:
    if upload_id not in state.uploads:
        raise ApiError(404, {"detail": "Not found."})
    return state.uploads[upload_id]


def _metadata(text: str) -> dict[str, str]:
    pairs = (part.split(" ", 1) for part in text.split(",") if " " in part)
    return {key.strip(): base64.b64decode(value).decode() for key, value in pairs}
