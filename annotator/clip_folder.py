"""Clips of a video as folders: frames, or one video, and a manifest each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.errors import AnnotatorError
from annotator.frame_folder import PictureFormat, Reason, frame_entry, write_manifest
from cvat_export.atomic import atomic_writer, write_bytes
from frame_tools.clips import Clip
from frame_tools.frame import Frame, frame_file_name
from frame_tools.images import ManifestEntry
from frame_tools.timing import Position, Span
from frame_tools.video import Video

if TYPE_CHECKING:
    from frame_tools.video_writer import VideoWriter

Progress = Callable[[], object]  # called once a clip

MOST_ENCODERS = 8  # at a time: clips that overlap more are written in several passes over the video


@dataclass(frozen=True)
class SpanFrames:
    """The frames of a video between two places: the first one's ordinal, and the time of each since the start."""

    first: int
    seconds: tuple[Fraction, ...]


@dataclass
class _OpenClip:
    clip: Clip
    folder: Path
    entries: list[ManifestEntry] = field(default_factory=list)
    writer: VideoWriter | None = None
    closing: ExitStack = field(default_factory=ExitStack)


def frames_in(video: Video, span: Span) -> SpanFrames:
    """Which frames lie in the span, by the container's list, or by decoding where it has no time stamps."""
    stamps = video.packet_pts() or [decoded.pts for decoded in video.pictures()]
    facts = video.facts
    inside = [
        (ordinal, seconds)
        for ordinal, pts in enumerate(stamps)
        if not span.is_before(seconds := (pts - facts.first_pts) * facts.time_base, ordinal)
        and not span.is_past(seconds, ordinal)
    ]
    if not inside:
        raise AnnotatorError(
            f"{video.path}: no frames between {span.start or 'the start'} and {span.end or 'the end'}; "
            "check --start and --end"
        )
    return SpanFrames(inside[0][0], tuple(seconds for _, seconds in inside))


def clip_folder(output: Path, clip: Clip) -> Path:
    """Where a clip goes."""
    return output / clip.name


def write_picture_clips(
    output: Path,
    video: Video,
    first: int,
    clips: Sequence[Clip],
    picture: PictureFormat,
    progress: Progress,
) -> int:
    """Write each clip as a folder of frames in one pass; each frame is decoded and encoded once. Gives their number."""
    written = 0
    for frame, members, ended in _assign(video, first, clips, output):
        if members:
            content = picture.encode(frame)
            name = frame_file_name(video.path.stem, frame.id, picture.suffix)
            for member in members:
                write_bytes(member.folder / name, content)
                member.entries.append(_entry(video, frame, member.clip, first, picture.suffix))
                written += 1
        for member in ended:
            write_manifest(member.folder, member.entries)
            progress()
    return written


def write_video_clips(
    output: Path, video: Video, first: int, clips: Sequence[Clip], suffix: str, progress: Progress
) -> int:
    """Write each clip as a folder with one MP4, and the manifest of its frames. Gives the number of frames."""
    from frame_tools.video_writer import video_writer

    passes = -(-_most_open(clips) // MOST_ENCODERS)
    written = 0
    for number in range(passes):
        with ExitStack() as opened:
            for frame, members, ended in _assign(video, first, clips[number::passes], output):
                for member in members:
                    if member.writer is None:
                        opened.push(member.closing)
                        path = member.folder / frame_file_name(video.path.stem, frame.id, ".mp4")
                        stream = member.closing.enter_context(atomic_writer(path))
                        member.writer = member.closing.enter_context(video_writer(stream))
                    member.writer.write(frame)
                    member.entries.append(_entry(video, frame, member.clip, first, suffix))
                    written += 1
                for member in ended:
                    member.closing.close()
                    write_manifest(member.folder, member.entries)
                    progress()
    return written


def _assign(
    video: Video, first: int, clips: Sequence[Clip], output: Path
) -> Iterator[tuple[Frame, list[_OpenClip], list[_OpenClip]]]:
    """Each frame that a clip wants, with the clips that do, and those that end with it or ended before it."""
    waiting, open_clips = list(reversed(clips)), list[_OpenClip]()
    last_frame: Frame | None = None
    span = Span(Position(ordinal=first), Position(ordinal=first + max(clip.frames[-1] for clip in clips) + 1))
    for decoded in video.pictures(span):
        index = decoded.ordinal - first
        while waiting and waiting[-1].frames.start <= index:
            clip = waiting.pop()
            folder = clip_folder(output, clip)
            folder.mkdir(exist_ok=True)
            open_clips.append(_OpenClip(clip, folder))
        members = [member for member in open_clips if index in member.clip.frames]
        ended = [member for member in open_clips if member.clip.frames[-1] <= index]
        open_clips = [member for member in open_clips if member not in ended]
        if members or ended:
            last_frame = video.to_frame(decoded)
            yield last_frame, members, ended
    if open_clips and last_frame is not None:  # damage has taken their last frames
        yield last_frame, [], open_clips


def _most_open(clips: Sequence[Clip]) -> int:
    """How many clips overlap at most."""
    edges = sorted([(clip.frames[0], 1) for clip in clips] + [(clip.frames[-1] + 1, -1) for clip in clips])
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def _entry(video: Video, frame: Frame, clip: Clip, first: int, suffix: str) -> ManifestEntry:
    place = clip.frames.index(frame.ordinal - first) + 1
    return frame_entry(video, frame, Reason(f"{clip.name}: frame {place} of {len(clip.frames)}"), suffix)


def describe_clips(clips: Iterable[Clip], frames: SpanFrames) -> Iterator[dict[str, object]]:
    """What each clip will hold: its frames as ordinals of the video, and its time."""
    for clip in clips:
        yield {
            "clip": clip.name,
            "first": frames.first + clip.frames[0],
            "last": frames.first + clip.frames[-1],
            "step": clip.frames.step,
            "frames": len(clip.frames),
            "start_seconds": round(float(frames.seconds[clip.frames[0]]), 6),
            "end_seconds": round(float(frames.seconds[clip.frames[-1]]), 6),
        }
