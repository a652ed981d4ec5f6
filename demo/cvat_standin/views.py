"""Rows as the API shows them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from demo.cvat_standin.rows import Background, Comment, Guide, Issue, Job, Json, Project, Task, User

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

CHUNK_SIZE = 72  # frames that are downloaded together
DATA_KEYS: Json = {
    "data_chunk_size": CHUNK_SIZE,
    "data_original_chunk_type": "imageset",
    "data_compressed_chunk_type": "imageset",
}
NO_ORGANIZATION: Json = {"organization": None, "target_storage": None, "source_storage": None}


def view_user(user: User, base: str) -> Json:
    """The short form that stands in other rows."""
    return {
        "url": f"{base}/api/users/{user.id}",
        "id": user.id,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }


def view_self(user: User, base: str, is_admin: bool) -> Json:
    """What users learn about themselves, and admins about everybody."""
    return {
        **view_user(user, base),
        "email": f"{user.username}@localhost",
        "groups": ["admin"] if is_admin else ["worker"],
        "is_staff": is_admin,
        "is_superuser": is_admin,
        "is_active": True,
        "last_login": None,
        "date_joined": "2026-11-20T21:00:00Z",
        "has_analytics_access": is_admin,
    }


def view_project(state: State, project: Project, base: str) -> Json:
    """A project."""
    tasks = [task for task in state.tasks.values() if task.project_id == project.id]
    return {
        "url": f"{base}/api/projects/{project.id}",
        "id": project.id,
        "name": project.name,
        **_people(project, base),
        "guide_id": project.guide_id,
        "bug_tracker": project.bug_tracker,
        **_dates(project),
        "status": "annotation",
        "dimension": "2d" if any(task.frames for task in tasks) else None,
        **NO_ORGANIZATION,
        "organization_id": None,
        "tasks": {"count": len(tasks), "url": f"{base}/api/tasks?project_id={project.id}"},
        "labels": {"url": f"{base}/api/labels?project_id={project.id}"},
        "task_subsets": sorted({task.subset for task in tasks} - {""}),
    }


def view_task(state: State, task: Task, base: str) -> Json:
    """A task; one without data lacks the keys that describe them."""
    jobs = state.jobs_of(task.id)
    summary = {
        "count": len(jobs),
        "completed": sum(job.stage == "acceptance" and job.state == "completed" for job in jobs),
        "validation": sum(job.stage == "validation" for job in jobs),
        "url": f"{base}/api/jobs?task_id={task.id}",
    }
    return {
        "url": f"{base}/api/tasks/{task.id}",
        "id": task.id,
        "name": task.name,
        "project_id": task.project_id,
        "project_name": state.projects[task.project_id].name if task.project_id is not None else None,
        **_people(task, base),
        "bug_tracker": task.bug_tracker,
        **_dates(task),
        "overlap": task.overlap,
        "segment_size": task.segment_size,
        "status": _task_status(jobs),
        "guide_id": task.guide_id,
        **_view_data(task),
        "subset": task.subset,
        **NO_ORGANIZATION,
        "organization_id": None,
        "jobs": summary,
        "labels": {"url": f"{base}/api/labels?task_id={task.id}"},
        "validation_mode": None,
        "consensus_enabled": False,
    }


def view_meta(task: Task, start: int, stop: int) -> Json:
    """The frames from `start` to `stop`, both included."""
    assert task.frames is not None and task.frames_updated is not None
    return {
        "chapters": None,
        "chunks_updated_date": moment(task.frames_updated),
        "chunk_size": CHUNK_SIZE,
        "size": stop - start + 1,
        "image_quality": task.image_quality,
        "start_frame": start,
        "stop_frame": stop,
        "frame_filter": "",
        "frames": [
            {
                "width": frame.width,
                "height": frame.height,
                "name": frame.name,
                "related_files": 0,
                "has_related_context": False,
            }
            for frame in task.frames[start : stop + 1]
        ],
        "deleted_frames": sorted(number for number in task.deleted_frames if start <= number <= stop),
        "included_frames": None,
        "storage": "local",
        "cloud_storage_id": None,
    }


def view_job(state: State, job: Job, base: str) -> Json:
    """A job."""
    task = state.tasks[job.task_id]
    project = state.projects.get(task.project_id) if task.project_id is not None else None
    return {
        "url": f"{base}/api/jobs/{job.id}",
        "id": job.id,
        "task_id": job.task_id,
        "task_name": task.name,
        "project_id": task.project_id,
        "project_name": project.name if project else None,
        "assignee": view_user(job.assignee, base) if job.assignee else None,
        "assignee_updated_date": moment(job.assignee_updated),
        "guide_id": project.guide_id if project else task.guide_id,
        "dimension": "2d",
        "mode": "annotation",
        "media_type": "image",
        "bug_tracker": project.bug_tracker if project else task.bug_tracker,
        "status": job.status,
        "stage": job.stage,
        "state": job.state,
        "frame_count": job.stop_frame - job.start_frame + 1,
        "start_frame": job.start_frame,
        "stop_frame": job.stop_frame,
        **DATA_KEYS,
        **_dates(job),
        "issues": {
            "url": f"{base}/api/issues?job_id={job.id}",
            "count": sum(issue.job_id == job.id for issue in state.issues.values()),
        },
        "labels": {"url": f"{base}/api/labels?job_id={job.id}"},
        "type": "annotation",
        **NO_ORGANIZATION,
        "parent_job_id": None,
        "replicas_count": 0,
        "consensus_replicas": 0,
    }


def view_issue(state: State, issue: Issue, base: str) -> Json:
    """An issue."""
    count = sum(comment.issue_id == issue.id for comment in state.comments.values())
    return {
        "id": issue.id,
        "frame": issue.frame,
        "position": issue.position,
        "job": issue.job_id,
        "owner": view_user(issue.owner, base),
        "assignee": view_user(issue.assignee, base) if issue.assignee else None,
        **_dates(issue),
        "resolved": issue.resolved,
        "comments": {"count": count, "url": f"{base}/api/comments?issue_id={issue.id}"},
    }


def view_comment(comment: Comment, base: str) -> Json:
    """A comment."""
    return {
        "id": comment.id,
        "issue": comment.issue_id,
        "owner": view_user(comment.owner, base),
        "message": comment.message,
        **_dates(comment),
    }


def view_guide(guide: Guide) -> Json:
    """A guide."""
    return {
        "id": guide.id,
        "task_id": guide.task_id,
        "project_id": guide.project_id,
        **_dates(guide),
        "markdown": guide.markdown,
    }


def view_background(row: Background, status: str, owner: User, base: str) -> Json:
    """A background request that is `status` now."""
    ended = row.created + timedelta(seconds=1) if status in ("finished", "failed") else None
    started = row.created + timedelta(milliseconds=20) if status != "queued" else None
    result_url = None
    if status == "finished" and row.result is not None:
        number = {"project": row.project_id, "task": row.task_id, "job": row.job_id}[row.target]
        result_url = f"{base}/api/{row.target}s/{number}/dataset/download?{urlencode({'rq_id': row.id})}"
    return {
        "status": status,
        "message": row.message if status == "failed" else "",
        "id": row.id,
        "operation": {
            "type": row.type,
            "target": row.target,
            "project_id": row.project_id,
            "task_id": row.task_id,
            "job_id": row.job_id,
            "org_id": None,
            "format": row.format,
            "lightweight": None,
        },
        "progress": 0.0,
        "created_date": moment(row.created),
        "started_date": moment(started),
        "finished_date": moment(ended),
        "expiry_date": moment(ended + timedelta(hours=1)) if ended else None,
        "owner": {"id": owner.id, "username": owner.username},
        "result_url": result_url,
        "result_id": None,
    }


def moment(value: datetime | None) -> str | None:
    """A date as the API writes it."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value else None


def _people(row: Project | Task, base: str) -> Json:
    return {
        "owner": view_user(row.owner, base),
        "assignee": view_user(row.assignee, base) if row.assignee else None,
        "assignee_updated_date": moment(row.assignee_updated),
    }


def _dates(row: Project | Task | Job | Issue | Comment | Guide) -> Json:
    return {"created_date": moment(row.created), "updated_date": moment(row.updated)}


def _view_data(task: Task) -> Json:
    if task.frames is None:
        return {"data": None, "dimension": "", "mode": "", "media_type": ""}
    described = {"size": len(task.frames), "image_quality": task.image_quality, "data_cloud_storage_id": None}
    return {
        **DATA_KEYS,
        **described,
        "data": task.id,
        "dimension": "2d",
        "mode": "annotation",
        "media_type": "image",
    }


def _task_status(jobs: list[Job]) -> str:
    statuses = {job.status for job in jobs}
    return next((status for status in ("annotation", "validation") if status in statuses), _only(statuses))


def _only(statuses: set[str]) -> str:
    return "completed" if statuses == {"completed"} else "annotation"
