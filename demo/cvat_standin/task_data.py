"""The images of a task: gathered, put in order, cut into jobs."""

from __future__ import annotations

import io
import posixpath
import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from demo.cvat_standin.messages import ServerError
from demo.cvat_standin.rows import Frame, Job, Json, Task

if TYPE_CHECKING:
    from demo.cvat_standin.state import State

ORIENTATION_TAG = 0x0112


class DataRefusedError(Exception):
    """The text is what the background request says."""


def gather(task: Task, files: Sequence[tuple[str, bytes]]) -> None:
    """Keep the files under their base names. Raises ServerError, and keeps none, where two share one."""
    gathered = dict(task.uploaded)
    for path, content in files:
        name = posixpath.basename(path)
        if name in gathered:
            raise ServerError(f"a file {name} is there already")
        gathered[name] = content
    task.uploaded = gathered


def finish(state: State, task: Task, fields: Json) -> None:
    """Make frames and jobs of what was gathered. Raises DataRefusedError."""
    if not task.uploaded:
        raise DataRefusedError("ValueError: No media data found\n")
    names = _ordered(list(task.uploaded), fields)
    frames = [_read_frame(name, task.uploaded[name]) for name in names]
    step = int((re.fullmatch(r"step=(\d+)", fields.get("frame_filter") or "step=1") or "1")[1])
    stop = fields.get("stop_frame")
    frames = frames[int(fields.get("start_frame") or 0) : None if stop is None else int(stop) + 1 : step]
    task.frames, task.uploaded = frames, {}
    task.image_quality = int(fields.get("image_quality", 70))
    task.overlap = 0
    task.updated = task.frames_updated = state.now()
    size = task.segment_size or len(frames)
    task.segment_size = size
    for start in range(0, len(frames), size):
        moment = state.now()
        job = Job(state.new_id("job"), task.id, start, min(start + size, len(frames)) - 1, moment, moment)
        state.jobs[job.id] = job


def _ordered(names: list[str], fields: Json) -> list[str]:
    method = str(fields.get("sorting_method") or "lexicographical").lower()
    if method == "natural":
        return sorted(names, key=_natural_key)
    if method == "random":
        return random.Random(0).sample(names, len(names))
    if method != "predefined":
        return sorted(names)
    wanted = fields.get("upload_file_order") or names
    if sorted(wanted) != sorted(names):
        raise DataRefusedError(
            "rest_framework.exceptions.ValidationError: upload_file_order does not match the files\n"
        )
    return list(wanted)


def _natural_key(name: str) -> list[Any]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _read_frame(name: str, content: bytes) -> Frame:
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION_TAG, 1) >= 5
    except (UnidentifiedImageError, OSError) as error:
        raise DataRefusedError(f"PIL.UnidentifiedImageError: cannot identify image file '{name}'\n") from error
    return Frame(name, content, *((height, width) if turned else (width, height)))
