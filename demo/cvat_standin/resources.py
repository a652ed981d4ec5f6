"""Rows that are listed, made and changed: projects, labels, tasks, jobs, users, issues, comments, guides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from demo.cvat_standin import views
from demo.cvat_standin.labels import create_labels, view_label
from demo.cvat_standin.messages import Answer, ApiError, Call, as_json, not_found, paged
from demo.cvat_standin.rows import Comment, Guide, Issue, Job, Json, Label, Project, Task, User
from demo.cvat_standin.state import STAGES, STATES

if TYPE_CHECKING:
    from demo.cvat_standin.state import State


def list_users(state: State, call: Call, user: User) -> Answer:
    """Users whose name holds `search`."""
    wanted = call.query.get("search", "").casefold()
    rows = [
        one for one in state.users.values() if wanted in f"{one.username} {one.first_name} {one.last_name}".casefold()
    ]
    return paged(call, _latest(rows), lambda one: views.view_self(one, call.base, one is state.admin))


def create_project(state: State, call: Call, user: User) -> Answer:
    """A project with its labels."""
    spec = call.json()
    _require(spec, "name")
    labels = create_labels(state, spec.get("labels") or [])
    now = state.now()
    project = Project(state.new_id("project"), spec["name"], user, now, now, labels)
    project.bug_tracker = spec.get("bug_tracker") or ""
    state.projects[project.id] = project
    view = views.view_project(state, project, call.base)
    return as_json(view, 201, {"Location": view["url"]})


def list_projects(state: State, call: Call, user: User) -> Answer:
    """Projects by `name` and `search`."""
    rows = _named(state.projects.values(), call)
    return paged(call, rows, lambda row: views.view_project(state, row, call.base))


def get_project(state: State, call: Call, user: User, project_id: int) -> Answer:
    """One project."""
    return as_json(views.view_project(state, state.project(project_id), call.base))


def patch_project(state: State, call: Call, user: User, project_id: int) -> Answer:
    """Name, bug tracker, assignee, more labels; existing labels keep what they are."""
    project, spec = state.project(project_id), call.json()
    project.labels += create_labels(state, [one for one in spec.get("labels") or [] if "id" not in one], project.labels)
    _patch_common(state, project, spec)
    return get_project(state, call, user, project_id)


def delete_project(state: State, call: Call, user: User, project_id: int) -> Answer:
    """With all that is in it."""
    state.project(project_id)
    state.delete_project(project_id)
    return Answer(204)


def list_labels(state: State, call: Call, user: User) -> Answer:
    """Of the project, task or job that the query names."""
    query = call.query
    owner: Json
    rows: list[Label]
    if "project_id" in query:
        project = state.project(int(query["project_id"]))
        rows, owner = project.labels, {"project_id": project.id}
    elif "task_id" in query or "job_id" in query:
        task = state.task(int(query["task_id"]) if "task_id" in query else state.job(int(query["job_id"])).task_id)
        rows = state.labels_of(task)
        owner = {"task_id": task.id} if task.project_id is None else {"project_id": task.project_id}
    else:
        raise ApiError(400, ["The stand-in lists the labels of one project, task or job"])
    return paged(call, rows, lambda row: view_label(row, owner))


def create_task(state: State, call: Call, user: User) -> Answer:
    """A task without data; in a project it has that project's labels."""
    spec = call.json()
    _require(spec, "name")
    project_id = spec.get("project_id")
    if project_id is not None and project_id not in state.projects:
        raise ApiError(400, {"project_id": [f'Invalid pk "{project_id}" - object does not exist.']})
    if project_id is not None and spec.get("labels"):
        raise ApiError(400, {"non_field_errors": ["Labels cannot be set for a task inside a project"]})
    now = state.now()
    labels = create_labels(state, spec.get("labels") or [])
    task = Task(state.new_id("task"), spec["name"], user, now, now, project_id, labels)
    task.segment_size = spec.get("segment_size") or 0
    task.overlap = spec.get("overlap")
    task.subset = spec.get("subset") or ""
    task.bug_tracker = spec.get("bug_tracker") or ""
    task.assignee = _assignee(state, spec) if spec.get("assignee_id") else None
    state.tasks[task.id] = task
    view = views.view_task(state, task, call.base)
    return as_json(view, 201, {"Location": view["url"]})


def list_tasks(state: State, call: Call, user: User) -> Answer:
    """Tasks by `project_id`, `name` and `search`."""
    project_id = call.query.get("project_id")
    rows = [row for row in _named(state.tasks.values(), call) if project_id in (None, str(row.project_id))]
    return paged(call, rows, lambda row: views.view_task(state, row, call.base))


def get_task(state: State, call: Call, user: User, task_id: int) -> Answer:
    """One task."""
    return as_json(views.view_task(state, state.task(task_id), call.base))


def patch_task(state: State, call: Call, user: User, task_id: int) -> Answer:
    """Name, subset, bug tracker, assignee."""
    task, spec = state.task(task_id), call.json()
    task.subset = spec.get("subset", task.subset)
    _patch_common(state, task, spec)
    return get_task(state, call, user, task_id)


def delete_task(state: State, call: Call, user: User, task_id: int) -> Answer:
    """With its jobs."""
    state.task(task_id)
    state.delete_task(task_id)
    return Answer(204)


def list_jobs(state: State, call: Call, user: User) -> Answer:
    """Jobs by `task_id`, `project_id`, `state` and `stage`."""
    query = call.query

    def wanted(job: Job) -> bool:
        facts = {
            "task_id": str(job.task_id),
            "project_id": str(state.tasks[job.task_id].project_id),
            "state": job.state,
            "stage": job.stage,
        }
        return all(query.get(key, value) == value for key, value in facts.items())

    rows = [job for job in state.jobs.values() if wanted(job)]
    return paged(call, _latest(rows), lambda row: views.view_job(state, row, call.base))


def get_job(state: State, call: Call, user: User, job_id: int) -> Answer:
    """One job."""
    return as_json(views.view_job(state, state.job(job_id), call.base))


def patch_job(state: State, call: Call, user: User, job_id: int) -> Answer:
    """State, stage, assignee."""
    job, spec = state.job(job_id), call.json()
    for key, choices in (("state", STATES), ("stage", STAGES)):
        if key in spec and spec[key] not in choices:
            raise ApiError(400, {key: [f'"{spec[key]}" is not a valid choice.']})
    if "assignee" in spec:
        job.assignee, job.assignee_updated = _assignee(state, spec, "assignee"), state.now()
    state.set_job(job_id, state=spec.get("state"), stage=spec.get("stage"))
    return get_job(state, call, user, job_id)


def create_issue(state: State, call: Call, user: User) -> Answer:
    """An issue and its first comment."""
    spec = call.json()
    _require(spec, "frame", "position", "job", "message")
    job = state.job(spec["job"])
    now = state.now()
    position = [float(value) for value in spec["position"]]
    issue = Issue(state.new_id("issue"), job.id, spec["frame"], position, user, now, now)
    state.issues[issue.id] = issue
    _add_comment(state, issue, user, spec["message"])
    return as_json(views.view_issue(state, issue, call.base), 201)


def list_issues(state: State, call: Call, user: User) -> Answer:
    """Issues by `job_id`, `task_id` and `resolved`."""
    query = call.query

    def wanted(issue: Issue) -> bool:
        task_id = str(state.jobs[issue.job_id].task_id)
        facts = {"job_id": str(issue.job_id), "task_id": task_id, "resolved": str(issue.resolved).lower()}
        return all(query.get(key, value).lower() == value for key, value in facts.items())

    rows = _latest(issue for issue in state.issues.values() if wanted(issue))
    return paged(call, rows, lambda row: views.view_issue(state, row, call.base))


def get_issue(state: State, call: Call, user: User, issue_id: int) -> Answer:
    """One issue."""
    return as_json(views.view_issue(state, _issue(state, issue_id), call.base))


def patch_issue(state: State, call: Call, user: User, issue_id: int) -> Answer:
    """Resolved or not, and where."""
    issue, spec = _issue(state, issue_id), call.json()
    issue.resolved = spec.get("resolved", issue.resolved)
    issue.position = spec.get("position", issue.position)
    issue.updated = state.now()
    return get_issue(state, call, user, issue_id)


def create_comment(state: State, call: Call, user: User) -> Answer:
    """One more message."""
    spec = call.json()
    _require(spec, "issue", "message")
    comment = _add_comment(state, _issue(state, spec["issue"]), user, spec["message"])
    return as_json(views.view_comment(comment, call.base), 201)


def list_comments(state: State, call: Call, user: User) -> Answer:
    """Comments by `issue_id` and `job_id`."""
    query = call.query

    def wanted(comment: Comment) -> bool:
        facts = {"issue_id": str(comment.issue_id), "job_id": str(state.issues[comment.issue_id].job_id)}
        return all(query.get(key, value) == value for key, value in facts.items())

    rows = _latest(comment for comment in state.comments.values() if wanted(comment))
    return paged(call, rows, lambda row: views.view_comment(row, call.base))


def create_guide(state: State, call: Call, user: User) -> Answer:
    """The guide of a project or a task that has none."""
    spec = call.json()
    owner: Project | Task
    if spec.get("project_id") is not None:
        owner = state.project(spec["project_id"])
    elif spec.get("task_id") is not None:
        owner = state.task(spec["task_id"])
    else:
        raise ApiError(400, {"non_field_errors": ["One of project_id or task_id must be specified"]})
    if owner.guide_id is not None:
        raise ApiError(400, ["The guide exists already"])
    now = state.now()
    markdown = spec.get("markdown") or ""
    guide = Guide(state.new_id("guide"), spec.get("project_id"), spec.get("task_id"), markdown, now, now)
    state.guides[guide.id] = guide
    owner.guide_id = guide.id
    return as_json(views.view_guide(guide), 201)


def get_guide(state: State, call: Call, user: User, guide_id: int) -> Answer:
    """One guide."""
    return as_json(views.view_guide(_guide(state, guide_id)))


def patch_guide(state: State, call: Call, user: User, guide_id: int) -> Answer:
    """A new text."""
    guide = _guide(state, guide_id)
    guide.markdown = call.json().get("markdown", guide.markdown)
    guide.updated = state.now()
    return as_json(views.view_guide(guide))


def _latest(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: row.id, reverse=True)


def _named(rows: Iterable[Any], call: Call) -> list[Any]:
    """Those whose name is `name` and holds `search`, latest first; other filters are refused, not ignored."""
    if "filter" in call.query:
        raise ApiError(400, ["The stand-in knows no JSON filters"])
    name, search = call.query.get("name"), call.query.get("search", "").casefold()
    return _latest(row for row in rows if name in (None, row.name) and search in row.name.casefold())


def _patch_common(state: State, row: Project | Task, spec: Json) -> None:
    row.name = spec.get("name", row.name)
    row.bug_tracker = spec.get("bug_tracker", row.bug_tracker)
    if "assignee_id" in spec:
        row.assignee, row.assignee_updated = _assignee(state, spec), state.now()
    row.updated = state.now()


def _assignee(state: State, spec: Json, key: str = "assignee_id") -> User | None:
    if spec[key] is not None and spec[key] not in state.users:
        raise ApiError(400, {key: [f'Invalid pk "{spec[key]}" - object does not exist.']})
    return None if spec[key] is None else state.users[spec[key]]


def _require(spec: Json, *keys: str) -> None:
    if missing := {key: ["This field is required."] for key in keys if key not in spec}:
        raise ApiError(400, missing)


def _issue(state: State, issue_id: int) -> Issue:
    if issue_id not in state.issues:
        raise not_found("Issue")
    return state.issues[issue_id]


def _guide(state: State, guide_id: int) -> Guide:
    if guide_id not in state.guides:
        raise not_found("AnnotationGuide")
    return state.guides[guide_id]


def _add_comment(state: State, issue: Issue, user: User, message: str) -> Comment:
    now = state.now()
    comment = Comment(state.new_id("comment"), issue.id, user, message, now, now)
    state.comments[comment.id] = comment
    return comment
