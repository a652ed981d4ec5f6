"""review.jsonl: what people tagged, frame by frame, and what was done about it. Nothing here knows FiftyOne."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError
from annotator.known_frames import FrameKey, file_key
from annotator.project_files import PROJECT_FILE, STATE_FOLDER
from cvat_export.atomic import write_json_lines

REDO, BAD_FRAME, HARD, GOOD = "redo", "bad-frame", "hard", "good"
TAGS = (REDO, BAD_FRAME, HARD, GOOD)
TAG_FILE = "review.jsonl"


@dataclass(frozen=True)
class Tagged:
    """A frame that carries tags now. places_xyxy: boxes of its tagged subjects, px; none where it is tagged itself.

    width, height: px. words: what is known to be wrong with it.
    """

    file_name: str
    tags: tuple[str, ...]
    width: int
    height: int
    places_xyxy: tuple[tuple[float, float, float, float], ...] = ()
    words: str = ""

    @property
    def key(self) -> FrameKey:
        """By which the frame is known in every folder."""
        return file_key(self.file_name)


@dataclass(frozen=True)
class TaggedFrame:
    """A line of review.jsonl. tags: those of `TAGS`, each once. when: of the last change, in UTC.

    issue: of a frame that was tagged `redo`, once its job is open again: CVAT's number.
    """

    file_name: str
    tags: tuple[str, ...]
    when: str
    issue: int | None = None

    @property
    def key(self) -> FrameKey:
        """By which the frame is known in every folder."""
        return file_key(self.file_name)


@dataclass(frozen=True)
class TagFile:
    """The file of a folder or a project; there need not be one."""

    path: Path

    def read(self) -> dict[FrameKey, TaggedFrame]:
        """Its lines by frame. Raises AnnotatorError with file and line."""
        if not self.path.exists():
            return {}
        lines = enumerate(self.path.read_text("utf-8").splitlines(), start=1)
        frames = [_parse(line, f"{self.path}:{number}") for number, line in lines]
        return {frame.key: frame for frame in frames}

    def names(self, tag: str) -> list[str]:
        """The file names of frames with this tag, in order. Raises AnnotatorError."""
        return sorted(frame.file_name for frame in self.read().values() if tag in frame.tags)

    def write(self, frames: Iterable[TaggedFrame]) -> None:
        """All lines anew, by name, atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json_lines(self.path, (asdict(frame) for frame in sorted(frames, key=lambda frame: frame.file_name)))


def tag_file(folder: Path) -> TagFile:
    """Where the tags of a folder, or of a project, are kept."""
    is_project = (folder / PROJECT_FILE).is_file()
    return TagFile((folder / STATE_FOLDER if is_project else folder) / TAG_FILE)


def _parse(line: str, where: str) -> TaggedFrame:
    try:
        row: Mapping[str, Any] = json.loads(line)
        return TaggedFrame(row["file_name"], tuple(row["tags"]), row["when"], row["issue"])
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotatorError(
            f"{where}: is no line of a review: {error!r}; delete the file and collect again"
        ) from error
