"""Where a project's files lie: known without reading them."""

from __future__ import annotations

from pathlib import Path

PROJECT_FILE = "annotator.yaml"
STATE_FOLDER = ".annotator"  # records of pushes, and the journal


def find_project(start: Path) -> Path | None:
    """The project file in a folder or above it."""
    candidates = (folder / PROJECT_FILE for folder in (start.absolute(), *start.absolute().parents))
    return next((path for path in candidates if path.is_file()), None)
