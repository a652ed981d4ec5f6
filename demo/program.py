"""The program, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run_annotator(*arguments: str, folder: Path | None = None) -> None:
    """In `folder`, or where this runs; what fails there ends this with the same code."""
    command = [str(Path(sys.executable).with_name("annotator")), *arguments]
    if code := subprocess.run(command, cwd=folder).returncode:
        sys.exit(code)
