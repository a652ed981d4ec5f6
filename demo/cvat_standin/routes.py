"""The API's addresses and what each of them does."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.cvat_standin import background, resources, task_routes, uploads
from demo.cvat_standin.messages import Answer, ApiError, Call, as_json
from demo.cvat_standin.rows import User
from demo.cvat_standin.views import view_self

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

Handler = Callable[..., Answer]  # (state, call, user, *numbers of the path)

ABOUT = {
    "name": "Computer Vision Annotation Tool",
    "description": "A stand-in for the tests",
    "version": "2.73.0",
    "subtitle": "Open Data Annotation Platform",
}


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler


def dispatch(state: State, call: Call) -> Answer:
    """Find the route, check who calls, act. Raises ApiError."""
    if call.path == "/api/server/about":
        return as_json({**ABOUT, "logo_url": f"{call.base}/static/logo.svg"})
    if (call.method, call.path.rstrip("/")) == ("POST", "/api/auth/login"):
        return _log_in(state, call)
    matches = [(route, match) for route in ROUTES if (match := route.pattern.fullmatch(call.path))]
    if not matches:
        raise ApiError(404, {"detail": "Not found."})
    user = _caller(state, call)
    for route, match in matches:
        if route.method == call.method:
            return route.handler(state, call, user, *map(_number, match.groups()))
    raise ApiError(405, {"detail": f'Method "{call.method}" not allowed.'})


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _caller(state: State, call: Call) -> User:
    kind, _, token = call.headers.get("authorization", "").partition(" ")
    if kind not in ("Bearer", "Token"):
        found = re.search(r"sessionid=(\w+)", call.headers.get("cookie", ""))
        token = found[1] if found else ""
        if call.method not in ("GET", "HEAD"):
            _check_csrf(call)
    if token not in state.tokens:
        detail = "Invalid token." if kind else "Authentication credentials were not provided."
        raise ApiError(401, {"detail": detail})
    return state.tokens[token]


def _check_csrf(call: Call) -> None:
    """Who is known by a cookie only must repeat another one in a header to change anything."""
    found = re.search(r"csrftoken=(\w+)", call.headers.get("cookie", ""))
    if found is None or call.headers.get("x-csrftoken") != found[1]:
        raise ApiError(403, {"detail": "CSRF Failed: CSRF token missing."})


def _log_in(state: State, call: Call) -> Answer:
    given = call.json()
    user = next((one for one in state.users.values() if one.username == given.get("username")), None)
    if user is None or state.passwords.get(user.username) != given.get("password"):
        raise ApiError(400, {"non_field_errors": ["Unable to log in with provided credentials."]})
    token = state.new_token(user)
    answer = as_json({"key": token})
    cookies = [
        f"csrftoken={secrets.token_hex(16)}; Path=/; SameSite=Lax",
        f"sessionid={token}; HttpOnly; Path=/; SameSite=Lax",
    ]
    return Answer(answer.status, answer.body, answer.content_type, cookies=cookies)


def _log_out(state: State, call: Call, user: User) -> Answer:
    found = re.search(r"sessionid=(\w+)", call.headers.get("cookie", ""))
    token = found[1] if found else call.headers.get("authorization", "").partition(" ")[2]
    state.tokens.pop(token, None)
    return as_json({"detail": "Successfully logged out."})


def _self(state: State, call: Call, user: User) -> Answer:
    return as_json(view_self(user, call.base, user is state.admin))


def _tus_append(state: State, call: Call, user: User, _: int, upload_id: str) -> Answer:
    return uploads.append(state, call, upload_id)


def _tus_offset(state: State, call: Call, user: User, _: int, upload_id: str) -> Answer:
    return uploads.offset(state, upload_id)


def _route(method: str, path: str, handler: Handler) -> Route:
    pattern = path.replace("N", r"(\d+)").replace("KEY", r"([^/]+)")
    return Route(method, re.compile(f"/api/{pattern}/?"), handler)


ROUTES = (
    _route("POST", "auth/logout", _log_out),
    _route("GET", "users/self", _self),
    _route("GET", "users", resources.list_users),
    _route("GET", "requests/KEY", background.retrieve),
    _route("POST", "projects", resources.create_project),
    _route("GET", "projects", resources.list_projects),
    _route("GET", "projects/N", resources.get_project),
    _route("PATCH", "projects/N", resources.patch_project),
    _route("DELETE", "projects/N", resources.delete_project),
    _route("POST", "projects/N/dataset/export", task_routes.export_project),
    _route("GET", "projects/N/dataset/download", task_routes.download),
    _route("GET", "labels", resources.list_labels),
    _route("POST", "tasks", resources.create_task),
    _route("GET", "tasks", resources.list_tasks),
    _route("GET", "tasks/N", resources.get_task),
    _route("PATCH", "tasks/N", resources.patch_task),
    _route("DELETE", "tasks/N", resources.delete_task),
    _route("POST", "tasks/N/data", task_routes.post_data),
    _route("GET", "tasks/N/data", task_routes.get_task_data),
    _route("GET", "tasks/N/data/meta", task_routes.get_task_meta),
    _route("PATCH", "tasks/N/data/meta", task_routes.patch_task_meta),
    _route("PATCH", "tasks/N/data/KEY", _tus_append),
    _route("HEAD", "tasks/N/data/KEY", _tus_offset),
    _route("GET", "tasks/N/annotations", task_routes.get_task_annotations),
    _route("PUT", "tasks/N/annotations", task_routes.put_task_annotations),
    _route("PATCH", "tasks/N/annotations", task_routes.patch_task_annotations),
    _route("DELETE", "tasks/N/annotations", task_routes.delete_task_annotations),
    _route("POST", "tasks/N/annotations", task_routes.import_into_task),
    _route("PATCH", "tasks/N/annotations/KEY", _tus_append),
    _route("HEAD", "tasks/N/annotations/KEY", _tus_offset),
    _route("POST", "tasks/N/dataset/export", task_routes.export_task),
    _route("GET", "tasks/N/dataset/download", task_routes.download),
    _route("GET", "jobs", resources.list_jobs),
    _route("GET", "jobs/N", resources.get_job),
    _route("PATCH", "jobs/N", resources.patch_job),
    _route("GET", "jobs/N/data", task_routes.get_job_data),
    _route("GET", "jobs/N/data/meta", task_routes.get_job_meta),
    _route("PATCH", "jobs/N/data/meta", task_routes.patch_job_meta),
    _route("GET", "jobs/N/annotations", task_routes.get_job_annotations),
    _route("PUT", "jobs/N/annotations", task_routes.put_job_annotations),
    _route("PATCH", "jobs/N/annotations", task_routes.patch_job_annotations),
    _route("DELETE", "jobs/N/annotations", task_routes.delete_job_annotations),
    _route("POST", "jobs/N/annotations", task_routes.import_into_job),
    _route("PATCH", "jobs/N/annotations/KEY", _tus_append),
    _route("HEAD", "jobs/N/annotations/KEY", _tus_offset),
    _route("POST", "jobs/N/dataset/export", task_routes.export_job),
    _route("GET", "jobs/N/dataset/download", task_routes.download),
    _route("POST", "issues", resources.create_issue),
    _route("GET", "issues", resources.list_issues),
    _route("GET", "issues/N", resources.get_issue),
    _route("PATCH", "issues/N", resources.patch_issue),
    _route("POST", "comments", resources.create_comment),
    _route("GET", "comments", resources.list_comments),
    _route("POST", "guides", resources.create_guide),
    _route("GET", "guides/N", resources.get_guide),
    _route("PATCH", "guides/N", resources.patch_guide),
)
