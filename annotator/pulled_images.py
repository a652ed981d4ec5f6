"""The images of pulled frames: from where they were pushed, from the server, or from a downloaded export."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from annotator.change_rows import Row
from cvat_export.atomic import write_bytes, write_text
from cvat_export.push_record import PushedImage, PushedTask, PushRecord
from cvat_export.safe_zip import open_zip
from cvat_export.server import CvatServer


def pull_images(
    folder: Path,
    origins: Path,
    frames: Mapping[str, Row],
    server: CvatServer,
    record: PushRecord | None,
    progress: Callable[[int], object],
) -> None:
    """Put each frame's image into the folder, under its key, where it is not there. Raises CvatExportError.

    origins: a file that says which frame's each image is, as a folder may have been pulled into from elsewhere.
    """
    wanted = {name: [server.login.host, frame["task"], frame["frame"]] for name, frame in frames.items()}
    known = json.loads(origins.read_text("utf-8")) if origins.exists() else {}
    for name, origin in wanted.items():
        if known.get(name) != origin:
            (folder / name).unlink(missing_ok=True)
    write_text(origins, json.dumps(wanted, ensure_ascii=False))
    pushed = record.images if record else {}
    for name, frame in frames.items():
        if not (folder / name).exists():
            content = _pushed_bytes(frame, pushed) or server.frame_bytes(frame["task"], frame["frame"])
            write_bytes(folder / name, content)
        progress(1)


def copy_images(folder: Path, names: Sequence[str], export_path: Path, proposals: Path | None) -> set[str]:
    """Put images into the folder, from the proposals' folder or the export; gives the names of those found nowhere."""
    local = {path.stem: path for path in (proposals / "images").iterdir()} if proposals else {}
    missing = set(names)
    for name in names:
        if source := local.get(PurePosixPath(name).stem):  # CVAT may have renamed its suffix
            write_bytes(folder / name, source.read_bytes())
            missing.discard(name)
    if missing and zipfile.is_zipfile(export_path):
        with open_zip(export_path) as archive:
            members = {PurePosixPath(member).name: member for member in archive.names}
            for name in missing & members.keys():
                write_bytes(folder / name, archive.read(members[name]))
            missing -= members.keys()
    return missing


def _pushed_bytes(frame: Row, pushed: Mapping[str, tuple[PushedTask, PushedImage]]) -> bytes | None:
    """The file that the frame was pushed from, if it is still there unchanged."""
    task, image = pushed.get(frame["file_name"], (None, None))
    if task is None or image is None or task.id != frame["task"] or not Path(image.path).is_file():
        return None
    content = Path(image.path).read_bytes()
    return content if hashlib.sha256(content).hexdigest() == image.sha256 else None
