"""A folder of chosen frames: pictures, manifest, list of damage."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError
from annotator.report import REPORT_FILE
from annotator.run_folder import RunFolder
from cvat_export.atomic import write_bytes, write_text
from frame_tools.frame import Frame, frame_file_name
from frame_tools.images import DEFAULT_QUALITY, MANIFEST_FILE, ManifestEntry, encode_image, manifest_text, shrink
from frame_tools.video import FrameMark, Video

ERRORS_FILE = "errors.jsonl"
FRAME_NAME = re.compile(r".+-[0-9a-f]{8}--?\d+\.(jpg|png)")


@dataclass(frozen=True)
class PictureFormat:
    """How frames are written. suffix: with its dot. max_side_px: longer ones are scaled down."""

    suffix: str = ".jpg"
    quality: int = DEFAULT_QUALITY
    max_side_px: int | None = None

    def encode(self, frame: Frame) -> bytes:
        """The bytes of the frame's file."""
        pixels = frame.image if self.max_side_px is None else shrink(frame.image, self.max_side_px)
        return encode_image(pixels, self.suffix, self.quality)


@dataclass(frozen=True)
class Reason:
    """Why a frame is taken, and its figures: what its manifest line says beside where it comes from."""

    text: str
    quality: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TakenFrame:
    """A frame to be written: where it lies, and why it is taken."""

    mark: FrameMark
    reason: Reason


def frames_run(folder: Path, plan: Mapping[str, Any], extra_outputs: Sequence[str] = ()) -> RunFolder:
    """The folder as a run that may be repeated, or replaced with its frames by --overwrite."""
    written = [path for path in sorted(folder.iterdir()) if FRAME_NAME.fullmatch(path.name)] if folder.is_dir() else []
    names = (MANIFEST_FILE, ERRORS_FILE, REPORT_FILE, *extra_outputs)
    return RunFolder(folder, plan, (*(folder / name for name in names), *written))


def refuse_twins(videos: Sequence[Video]) -> None:
    """Two videos of the same bytes would give frames of one name. Raises AnnotatorError."""
    seen: dict[str, Path] = {}
    for video in videos:
        if video.sha256 in seen:
            raise AnnotatorError(f"{video.path}: the same video as {seen[video.sha256]} (equal bytes); leave one out")
        seen[video.sha256] = video.path


def write_frame(folder: Path, video: Video, frame: Frame, reason: Reason, picture: PictureFormat) -> ManifestEntry:
    """Write one frame's picture and give its line of the manifest."""
    entry = frame_entry(video, frame, reason, picture.suffix)
    write_bytes(folder / entry.file, picture.encode(frame))
    return entry


def frame_entry(video: Video, frame: Frame, reason: Reason, suffix: str) -> ManifestEntry:
    """A frame's line of the manifest. suffix: of its file, with the dot."""
    return ManifestEntry(
        file=frame_file_name(video.path.stem, frame.id, suffix),
        source=video.path.name,
        sha256=frame.id.source_sha256,
        pts=frame.id.pts,
        time_base=frame.time_base,
        ordinal=frame.ordinal,
        reason=reason.text,
        quality=reason.quality,
    )


def write_manifest(folder: Path, entries: Iterable[ManifestEntry]) -> None:
    """Write a folder's manifest: last, since it tells that all its frames are there."""
    write_text(folder / MANIFEST_FILE, manifest_text(entries))


def remove_others(folder: Path, entries: Iterable[ManifestEntry]) -> None:
    """Remove frames that an earlier run has written and that are taken no more."""
    kept = {entry.file for entry in entries}
    for path in folder.iterdir():
        if FRAME_NAME.fullmatch(path.name) and path.name not in kept:
            path.unlink()


def write_damage(folder: Path, videos: Iterable[Video]) -> int:
    """List damaged stretches in errors.jsonl, or remove an older list; gives their number."""
    lines = [json.dumps(line, ensure_ascii=False) for video in videos for line in _damage_lines(video)]
    if lines:
        write_text(folder / ERRORS_FILE, "".join(line + "\n" for line in lines))
    else:
        (folder / ERRORS_FILE).unlink(missing_ok=True)
    return len(lines)


def describe_damage(video: Video) -> Iterator[str]:
    """Each damaged stretch in words."""
    for stretch in video.damage:
        start = "the start" if stretch.start_pts is None else f"after pts {stretch.start_pts}"
        end = "the end" if stretch.end_pts is None else f"pts {stretch.end_pts}"
        yield f"{stretch.lost_frames} frames lost from {start} to {end}: {stretch.reason}"


def _damage_lines(video: Video) -> Iterator[dict[str, Any]]:
    for stretch, words in zip(video.damage, describe_damage(video), strict=True):
        yield {"file": str(video.path), "error": words, **vars(stretch)}
