"""Where a frame is in CVAT: the address of its job, at that frame, for pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotator.change_rows import CHANGES_FILE, Row, read_changes
from annotator.report import Links
from cvat_export.push_record import PushRecord
from cvat_export.remote import RemoteFrame, RemoteJob
from cvat_export.server import CvatServer
from trainers.image_files import ImageRef


def job_address(host: str, task: int, job: int, frame: int) -> str:
    """CVAT's page of a job, opened at a frame. frame: its number in the task."""
    return f"{host.rstrip('/')}/tasks/{task}/jobs/{job}?frame={frame}"


def job_links(row: Mapping[str, Any]) -> Links:
    """Of a frame's row in changes.jsonl; none where it came out of a file, which does not say the job."""
    return job_link(row["job"], row.get("address"))


def job_link(job: int | None, address: str | None) -> Links:
    """To a job, as every page words it; none without an address."""
    return ((f"job {job} in CVAT", address),) if address else ()


def add_addresses(frames: list[Row], host: str) -> None:
    """Give rows of frames their `address`, None where no job has the frame."""
    for row in frames:
        known = row["job"] is not None
        row["address"] = job_address(host, row["task"], row["job"], row["frame"]) if known else None


def pulled_links(files: Mapping[str, ImageRef]) -> dict[str, Links]:
    """The links of those images that lie in folders which `annotator pull` wrote. Raises AnnotatorError."""
    folders = {ref.path.parent.parent for ref in files.values() if ref.member is None}
    links = {
        (folder, row["file_name"]): job_links(row)
        for folder in folders
        if (folder / CHANGES_FILE).is_file()
        for row in read_changes(folder)
    }
    return {name: links.get((ref.path.parent.parent, ref.path.name), ()) for name, ref in files.items()}


def pushed_links(server: CvatServer, record: PushRecord) -> dict[str, Links]:
    """The links of all images of a project that are on the server, by the images' names. Raises CvatExportError."""
    links: dict[str, Links] = {}
    there = {task.id for task in server.tasks(record.project_id)} if record.project_id is not None else set()
    for task in record.tasks.values():
        if task.id in there and task.filled:
            jobs = server.jobs(task.id)
            links |= {frame.name: _links(server, jobs, frame, task.id) for frame in server.frames(task.id)}
    return links


def _links(server: CvatServer, jobs: list[RemoteJob], frame: RemoteFrame, task: int) -> Links:
    return tuple(
        link
        for job in jobs
        if job.start_frame <= frame.number <= job.stop_frame
        for link in job_link(job.id, job_address(server.login.host, task, job.id, frame.number))
    )
