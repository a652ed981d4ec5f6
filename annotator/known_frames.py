"""Which frames are labelled already, or kept for measuring: named by a frames folder, or by labels of any format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from annotator.errors import AnnotatorError
from cvat_export.export_reading import read_export
from frame_tools.frame import HASH_DIGITS
from frame_tools.images import MANIFEST_FILE, ManifestEntry, read_manifest
from trainers.image_files import ImageRef, image_places
from trainers.source_reading import label_root

FrameKey = tuple[str, int] | str  # first digits of the source's hash and pts; of an image that is no frame its stem
_FRAME_STEM = re.compile(rf".*-([0-9a-f]{{{HASH_DIGITS}}})-(-?\d+)")


def entry_key(entry: ManifestEntry) -> FrameKey:
    """A frame by what its manifest says, whatever its file is called."""
    return entry.sha256[:HASH_DIGITS], entry.pts


def file_key(file_name: str) -> FrameKey:
    """A frame by its file's name, which label files keep; folders and suffix count nothing."""
    stem = Path(file_name).stem
    match = _FRAME_STEM.fullmatch(stem)
    return (match[1], int(match[2])) if match else stem


def read_known_frames(path: Path) -> Mapping[FrameKey, ImageRef | None]:
    """The frames of a frames folder, its manifest, or labels, with their pictures where these can be found.

    Raises AnnotatorError, CvatExportError or FrameToolsError where it is none of these.
    """
    if not path.exists():
        raise AnnotatorError(f"{path}: no such file or folder; expected a frames folder, or labels")
    folder = path.parent if path.name == MANIFEST_FILE else path
    if (folder / MANIFEST_FILE).is_file():
        return {entry_key(entry): _existing(folder / entry.file) for entry in read_manifest(folder)}
    root = label_root(path)
    places = image_places(root, root.is_file() and root.suffix.lower() == ".zip", None)
    images = read_export(root, needs_joints=False).dataset.images
    return {file_key(image.file_name): places.find(image.file_name, image.extra.get("subset")) for image in images}


def _existing(path: Path) -> ImageRef | None:
    return ImageRef(path) if path.is_file() else None
