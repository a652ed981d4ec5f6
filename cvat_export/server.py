"""CVAT over its API: frozen values out, plain calls in. With annotator/cvat_function.py the only importer of cvat_sdk.

Reading is repeated here when the network fails. A call that changes something is not: whether it arrived is unknown, so
it raises `TransientError`, and the caller looks before it acts again (see `retrying.attempt`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote

from cvat_export.errors import CvatExportError
from cvat_export.remote import RemoteFrame, RemoteIssue, RemoteJob, RemoteProject, RemoteTask, RemoteUser
from cvat_export.retrying import Sleep, TransientError, attempt

IMAGE_QUALITY = 95  # of CVAT's compressed copy, which people see; the original stays as it is
_TIMEOUT_SECONDS = (10.0, 120.0)  # to connect, to read
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))

T = TypeVar("T")


@dataclass(frozen=True)
class Login:
    """Where and as whom. Neither appears in a representation: it may end in a log. organization: its slug."""

    host: str
    token: str | None = None
    user: str | None = None
    password: str | None = None
    organization: str | None = None

    def __repr__(self) -> str:
        return f"Login(host={self.host!r})"


class CvatServer:
    """One server, logged in. sleep: for tests. All methods raise CvatExportError; see the module for faults."""

    def __init__(self, login: Login, sleep: Sleep = time.sleep) -> None:
        import urllib3
        from cvat_sdk.core.client import AccessTokenCredentials, Client, Config, PasswordCredentials
        from cvat_sdk.core.exceptions import CvatSdkException

        self.login, self.sleep = login, sleep
        silent = logging.getLogger("cvat_export.server.sdk")
        silent.disabled = True  # what it logs may hold headers
        try:
            self._client = Client(login.host, logger=silent, config=Config(), check_server_version=False)
        except (CvatSdkException, ValueError) as error:
            raise CvatExportError(f"{login.host}: is no address of a CVAT server: {self._clean(error)}") from None
        self._client.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0, redirect=3)
        if login.organization is not None:
            self._client.organization_slug = login.organization
        if login.token:
            self._client.login(AccessTokenCredentials(login.token))
        elif login.user and login.password:
            credentials = PasswordCredentials(login.user, login.password)
            attempt(lambda: self._guarded("log in", lambda: self._client.login(credentials)), sleep)

    def version(self) -> str:
        """The server's version. The first call to make: it does not insist, as an address may be wrong."""
        about = attempt(lambda: self._decoded(self._request("GET", "server/about")), self.sleep, attempts=2)
        if not isinstance(about, Mapping) or "version" not in about:
            raise CvatExportError(f"{self.login.host}: is no CVAT server: /api/server/about names no version")
        return str(about["version"])

    def user(self) -> RemoteUser:
        """As whom the server knows us. Raises CvatExportError for wrong credentials."""
        return RemoteUser.from_row(self._get("users/self"))

    def find_user(self, name: str) -> int | None:
        """The id of the user with exactly that name."""
        return next((row["id"] for row in self._pages("users", search=name) if row["username"] == name), None)

    def find_projects(self, name: str) -> list[RemoteProject]:
        """All projects of exactly that name, oldest first."""
        rows = [row for row in self._pages("projects", name=name) if row["name"] == name]
        return sorted((RemoteProject.from_row(row) for row in rows), key=lambda project: project.id)

    def create_project(self, name: str, label: Mapping[str, Any]) -> RemoteProject:
        """A new project with one label, as `cvat_labels.label_specification` describes it."""
        return RemoteProject.from_row(self._write("POST", "projects", {"name": name, "labels": [label]}))

    def delete_project(self, project_id: int) -> None:
        """Delete a project with all that is in it."""
        self._write("DELETE", f"projects/{project_id}")

    def labels(self, *, project_id: int | None = None, task_id: int | None = None) -> list[dict[str, Any]]:
        """The labels of a project or task, as the server describes them."""
        query = {"project_id": project_id} if task_id is None else {"task_id": task_id}
        return list(self._pages("labels", **query))

    def create_guide(self, project_id: int, markdown: str) -> None:
        """Give the project an annotation guide."""
        self._write("POST", "guides", {"project_id": project_id, "markdown": markdown})

    def project(self, project_id: int) -> RemoteProject:
        """The project of that id."""
        return RemoteProject.from_row(self._get(f"projects/{project_id}"))

    def tasks(self, project_id: int) -> list[RemoteTask]:
        """The tasks of a project, oldest first."""
        return sorted(
            (RemoteTask.from_row(row) for row in self._pages("tasks", project_id=project_id)), key=lambda task: task.id
        )

    def task(self, task_id: int) -> RemoteTask:
        """The task of that id."""
        return RemoteTask.from_row(self._get(f"tasks/{task_id}"))

    def create_task(self, name: str, project_id: int, segment_size: int) -> RemoteTask:
        """A task without data."""
        return RemoteTask.from_row(
            self._write("POST", "tasks", {"name": name, "project_id": project_id, "segment_size": segment_size})
        )

    def delete_task(self, task_id: int) -> None:
        """Delete a task with all that is in it."""
        self._write("DELETE", f"tasks/{task_id}")

    def upload(self, task_id: int, paths: Sequence[Path]) -> None:
        """Give a task its images, in this order, and wait until the server has taken them in."""
        from cvat_sdk.core.uploading import DataUploader

        def send() -> str:
            response = DataUploader(self._client).upload_files(
                self._url(f"tasks/{task_id}/data/"),
                list(paths),
                image_quality=IMAGE_QUALITY,
                sorting_method="predefined",
            )
            return str(json.loads(response.data)["rq_id"])

        self._wait(self._guarded(f"upload to task {task_id}", send))

    def wait_for_data(self, task_id: int) -> None:
        """Wait for images that the server may be taking in, after an upload whose end was not seen."""
        try:
            self._wait(f"action=create&target=task&target_id={task_id}")
        except TransientError:
            raise
        except CvatExportError:  # nothing was begun, or it failed: the task stays empty
            return

    def frames(self, task_id: int) -> list[RemoteFrame]:
        """The frames of a task, by number; none as long as its data are not there."""
        meta = self._get(f"tasks/{task_id}/data/meta")
        deleted = set(meta.get("deleted_frames") or ())
        rows: Sequence[Mapping[str, Any]] = meta.get("frames") or ()
        if len(rows) == 1 and (meta.get("size") or 1) > 1:  # a video: one row for all of its frames
            stem = PurePosixPath(rows[0]["name"]).stem
            rows = [{**rows[0], "name": f"{stem}_{number:06}.png"} for number in range(meta["size"])]
        return [
            RemoteFrame(number, row["name"], row["width"], row["height"], number in deleted)
            for number, row in enumerate(rows)
        ]

    def frame_bytes(self, task_id: int, number: int) -> bytes:
        """A frame's file as it was uploaded."""
        query = {"type": "frame", "number": number, "quality": "original"}
        return self._read(f"tasks/{task_id}/data/", query)

    def jobs(self, task_id: int) -> list[RemoteJob]:
        """The annotation jobs of a task, by their frames."""
        rows = [row for row in self._pages("jobs", task_id=task_id) if row.get("type", "annotation") == "annotation"]
        return sorted(map(RemoteJob.from_row, rows), key=lambda job: (job.start_frame, job.id))

    def assign(self, job_id: int, user_id: int) -> None:
        """Give a job to a user."""
        self._write("PATCH", f"jobs/{job_id}", {"assignee": user_id})

    def set_job(self, job_id: int, stage: str, state: str) -> None:
        """Set a job's stage (annotation, validation, acceptance) and state (new, in progress, completed, rejected)."""
        self._write("PATCH", f"jobs/{job_id}", {"stage": stage, "state": state})

    def issues(self, job_id: int) -> list[RemoteIssue]:
        """The issues of a job, oldest first."""
        return sorted(map(RemoteIssue.from_row, self._pages("issues", job_id=job_id)), key=lambda issue: issue.id)

    def create_issue(self, job_id: int, frame: int, position: Sequence[float], message: str) -> RemoteIssue:
        """A remark on a frame. position: of a box (x1, y1, x2, y2) or a polygon, px; the page shows it there."""
        body = {"job": job_id, "frame": frame, "position": list(position), "message": message}
        return RemoteIssue.from_row(self._write("POST", "issues", body))

    def annotations(self, task_id: int) -> dict[str, Any]:
        """Everything in a task as the server describes it: tags, shapes, tracks."""
        content: dict[str, Any] = self._get(f"tasks/{task_id}/annotations/")
        return content

    def create_shapes(self, task_id: int, shapes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add shapes to a task, all of them or none; nothing that is there is touched. Gives them with their ids."""
        return self._patch_shapes(task_id, "create", shapes)

    def delete_shapes(self, task_id: int, shapes: Sequence[Mapping[str, Any]]) -> None:
        """Delete shapes, given as the server described them."""
        self._patch_shapes(task_id, "delete", shapes)

    def _patch_shapes(self, task_id: int, action: str, shapes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        body = {"version": 0, "tags": [], "tracks": [], "shapes": list(shapes)}
        answer = self._write("PATCH", f"tasks/{task_id}/annotations/?action={action}", body)
        return list(answer["shapes"])

    def _wait(self, request_id: str) -> None:
        """Poll a background request, less and less often. Raises CvatExportError with the last line of its message."""
        period = 0.1
        while True:
            request = self._get(f"requests/{quote(request_id, safe='')}")
            if request["status"] == "finished":
                return
            if request["status"] == "failed":
                lines = str(request.get("message") or "no reason given").strip().splitlines()
                raise CvatExportError(f"{self.login.host}: the server could not do it: {lines[-1]}")
            self.sleep(period)
            period = min(5.0, period * 1.5)

    def _pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            content = self._get(path, {**query, "page": page, "page_size": 100})
            yield from content["results"]
            if not content.get("next"):
                return
            page += 1

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        def step() -> Any:
            return self._decoded(self._request("GET", path, query=query))

        return attempt(step, self.sleep)

    def _read(self, path: str, query: Mapping[str, Any]) -> bytes:
        return attempt(lambda: self._request("GET", path, query=query), self.sleep)

    def _write(self, method: str, path: str, body: Any = None) -> Any:
        content = self._request(method, path, body=body)
        return self._decoded(content) if content else None

    def _decoded(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            raise TransientError(f"{self.login.host}: sent a broken answer, expected JSON") from None

    def _request(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> bytes:
        from cvat_sdk.core.helpers import make_request_headers

        api = self._client.api_client

        def send() -> bytes:
            headers = {**make_request_headers(api), "Accept": "application/vnd.cvat+json, */*"}
            fields = None if query is None else [(key, str(value)) for key, value in query.items()]
            response = api.rest_client.request(
                method, self._url(path), fields, headers, body, _request_timeout=_TIMEOUT_SECONDS
            )
            return bytes(response.data)

        return self._guarded(f"{method} {path}", send)

    def _url(self, path: str) -> str:
        return f"{self._client.api_map.base}{path}"

    def _guarded(self, what: str, call: Callable[[], T]) -> T:
        """The call with its failures as our errors. They are not chained: an SDK error carries what was sent."""
        import urllib3
        from cvat_sdk.api_client.exceptions import ApiException
        from cvat_sdk.core.exceptions import CvatSdkException

        try:
            return call()
        except ApiException as error:
            raise self._refusal(what, error) from None
        except (urllib3.exceptions.HTTPError, CvatSdkException, OSError) as error:
            raise TransientError(f"{self.login.host}: {what}: {self._clean(error)}") from None

    def _refusal(self, what: str, error: Any) -> CvatExportError:
        status, reason = error.status, self._clean(_reason(error))
        where = f"{self.login.host}: {what}: HTTP {status}: {reason}"
        if status in _PASSING:
            return TransientError(where, _seconds((error.headers or {}).get("Retry-After")))
        advice = {
            401: "; check CVAT_ACCESS_TOKEN, or the user and password",
            403: "; this user may not do that: ask for the rights, or for the quota to be raised",
        }
        return CvatExportError(where + advice.get(status, ""))

    def _clean(self, text: object) -> str:
        """Text of an error without our secrets, should a library have put them there."""
        cleaned = str(text)
        for secret in (self.login.token, self.login.password):
            if secret:
                cleaned = cleaned.replace(secret, "***")
        return cleaned


def _reason(error: Any) -> str:
    """What the server said, in one line."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else str(error.body or "")
    try:
        said = json.loads(body)
    except ValueError:
        said = "" if "<html" in body.lower() else body
    if isinstance(said, Mapping):
        said = "; ".join(str(value[0] if isinstance(value, list) and value else value) for value in said.values())
    elif isinstance(said, list):
        said = "; ".join(map(str, said))
    return " ".join(str(said or error.reason or "no reason given").split())[:500]


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdigit() else 0.0
