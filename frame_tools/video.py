"""Videos: what they are, and their frames, exactly timed, upright, with square pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from frame_tools.decoding import DamagedStretch, DecodedPicture, PictureStream, configure
from frame_tools.errors import FrameToolsError
from frame_tools.frame import Frame, FrameId, RgbImage
from frame_tools.orientation import Orientation, orientation_of_matrix, square_size
from frame_tools.thumbnail import checksum, thumbnail
from frame_tools.timing import WHOLE, Span

SEEK_SECONDS = 10  # decoding on is cheaper than seeking where the next wanted frame is nearer
MAX_THREADS = 8  # each decoder thread holds pictures of its own
NOT_VIDEO_FORMATS = ("image2", "_pipe", "tty", "concat", "hls", "ffmetadata")


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself. width, height: of the upright picture with square pixels.

    duration_seconds, frame_count, frame_rate (average): None where the container does not say.
    """

    width: int
    height: int
    time_base: Fraction
    first_pts: int
    frame_rate: Fraction | None
    frame_count: int | None
    duration_seconds: Fraction | None
    codec: str
    pixel_format: str
    sample_aspect: Fraction
    orientation: Orientation
    full_range: bool  # whether luma 0 is black, not 16


@dataclass(frozen=True)
class FrameMark:
    """A frame of an earlier pass that is to be decoded again. checksum: of its thumbnail, to know it by."""

    pts: int
    ordinal: int
    checksum: int


@dataclass(frozen=True)
class PacketFacts:
    """A frame as the container knows it. pts, dts: None where it does not say."""

    pts: int | None
    dts: int | None
    is_keyframe: bool


class PictureReader:
    """A video file kept open, from which pictures can be read beginning at any keyframe."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, frame_step: int) -> None:
        self._container, self._stream, self._frame_step = container, stream, frame_step

    def pictures_from(self, pts: int) -> PictureStream:
        """The good pictures from the keyframe on that the container finds at or before `pts`; ends the stream before.

        Their ordinals count from there. What comes before the first keyframe need not be right: it may be predicted
        from pictures that were not read.
        """
        self._container.seek(pts, stream=self._stream)
        return PictureStream(self._container, self._stream, self._frame_step)

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def open_video(path: str | Path, threads: int = 0) -> Video:
    """The video at `path`, probed. threads: for decoding, 0 for one more than there are cores, as FFmpeg does: they
    go on while the caller looks at a picture.

    Raises FrameToolsError when there is no such file, or nothing in it can be decoded as video.
    """
    return Video(Path(path), threads or min(MAX_THREADS, (os.cpu_count() or 1) + 1))


class Video:
    """A video file. Each method that yields opens the file anew, so that passes do not disturb one another.

    damage, repaired_pts: what the latest pass over its pictures has noticed, as far as it went.
    Times count from the first good frame.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self.path = path
        self.damage: tuple[DamagedStretch, ...] = ()
        self.repaired_pts = 0
        self._threads = threads
        self._reformatter = VideoReformatter()
        _check_file(path)
        self.facts = self._probe()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes; read once, when first asked for."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def frame_id(self, pts: int) -> FrameId:
        """The identity of this video's frame with that time stamp."""
        return FrameId(self.sha256, pts)

    def frames(self, span: Span = WHOLE) -> Iterator[Frame]:
        """The good frames in order of presentation, one in memory at a time."""
        for decoded in self.pictures(span):
            yield self.to_frame(decoded)

    def pictures(self, span: Span = WHOLE) -> Iterator[DecodedPicture]:
        """The good pictures as the decoder gave them: the cheap way to look at every frame."""
        with _open(self.path) as container:
            pictures = self._decode(container)
            try:
                for decoded in pictures:
                    if span is WHOLE:
                        yield decoded
                        continue
                    seconds = (decoded.pts - self.facts.first_pts) * self.facts.time_base
                    if span.is_past(seconds, decoded.ordinal):
                        return
                    if not span.is_before(seconds, decoded.ordinal):
                        yield decoded
            finally:
                self.damage, self.repaired_pts = tuple(pictures.damage), pictures.repaired_pts

    def frames_at(self, marks: Sequence[FrameMark]) -> Iterator[Frame]:
        """The marked frames again, in order of pts, with the pixels of the sequential pass.

        Seeks where that is faster and the file is sound. A frame that seeking does not bring back as it was makes the
        rest be decoded from the start. Raises FrameToolsError when even that does not bring it.
        """
        wanted = sorted(set(marks), key=lambda mark: mark.pts)
        found = 0
        if not self.damage and not self.repaired_pts:
            for frame in self._sought(wanted):
                yield frame
                found += 1
        remaining = {mark.pts: mark for mark in wanted[found:]}
        if not remaining:
            return
        with _open(self.path) as container:
            for decoded in self._decode(container):
                mark = remaining.get(decoded.pts)
                if mark and mark.checksum == picture_checksum(decoded):
                    del remaining[decoded.pts]
                    yield self.to_frame(decoded)
                    if not remaining:
                        return
        raise FrameToolsError(
            f"{self.path}: the frame with pts {min(remaining)} is not what it was in the pass before; "
            "has the file been changed meanwhile? Run the command again."
        )

    def packet_pts(self) -> list[int]:
        """The time stamps of all frames, sorted, from the container alone: fast, and blind to damage.

        Empty where the container has no time stamps.
        """
        stamps = [packet.pts for packet in self.packets()]
        return [] if None in stamps else sorted({stamp for stamp in stamps if stamp is not None})

    def packets(self) -> Iterator[PacketFacts]:
        """What the container says of each frame, in order of decoding, without those that are not to be shown."""
        with _open(self.path) as container:
            for packet in container.demux(_video_stream(container, self.path)):
                if packet.size and not packet.is_discard:
                    yield PacketFacts(packet.pts, packet.dts, packet.is_keyframe)

    @property
    def hides_gaps(self) -> bool:
        """Whether the container's reader passes over what it does not understand without a word."""
        with _open(self.path) as container:
            return "matroska" in container.format.name

    def reader(self) -> PictureReader:
        """The file, kept open to be read from many places."""
        container = _open(self.path)
        stream = _video_stream(container, self.path)
        configure(stream, self._threads)
        return PictureReader(container, stream, self._frame_step(stream))

    def twin(self) -> Video:
        """The same video for another thread: what is known of it is shared, what a pass changes is not."""
        other = copy(self)
        other.damage, other.repaired_pts = (), 0
        other._reformatter = VideoReformatter()
        return other

    def to_frame(self, decoded: DecodedPicture) -> Frame:
        """The decoded picture upright, in RGB."""
        image = self._to_rgb(decoded.picture)
        return Frame(image, self.frame_id(decoded.pts), self.facts.time_base, decoded.ordinal)

    def _sought(self, marks: Sequence[FrameMark]) -> Iterator[Frame]:
        """The marked frames as long as seeking finds each as it was; ends early at the first that it does not."""
        with _open(self.path) as container:
            stream = _video_stream(container, self.path)
            configure(stream, self._threads)
            pictures: Iterator[av.VideoFrame] = iter(())
            position = None
            for mark in marks:
                if position is None or (mark.pts - position) * self.facts.time_base > SEEK_SECONDS:
                    container.seek(mark.pts, stream=stream)
                    pictures = container.decode(stream)
                picture = _decode_until(pictures, mark.pts)
                if picture is None:
                    return
                decoded = DecodedPicture(mark.pts, mark.ordinal, picture)
                if picture_checksum(decoded) != mark.checksum:
                    return
                position = mark.pts
                yield self.to_frame(decoded)

    def _decode(self, container: av.container.InputContainer) -> PictureStream:
        stream = _video_stream(container, self.path)
        configure(stream, self._threads)
        return PictureStream(container, stream, self._frame_step(stream))

    def _to_rgb(self, picture: av.VideoFrame) -> RgbImage:
        width, height = square_size(picture.width, picture.height, self.facts.sample_aspect)
        interpolation = "BICUBIC" if (width, height) != (picture.width, picture.height) else None
        rgb = self._reformatter.reformat(picture, width, height, "rgb24", interpolation=interpolation).to_ndarray()
        return self.facts.orientation.apply(np.asarray(rgb, dtype=np.uint8))

    def _probe(self) -> VideoFacts:
        with _open(self.path) as container:
            stream = _video_stream(container, self.path)
            configure(stream, self._threads)
            first = next(iter(PictureStream(container, stream, 1)), None)
            if first is None:
                raise FrameToolsError(f"{self.path}: not one of its frames can be decoded (codec {stream.name})")
            return _facts(container, stream, first)

    def _frame_step(self, stream: av.VideoStream) -> int:
        rate = stream.average_rate or stream.guessed_rate
        return round(1 / (rate * self.facts.time_base)) if rate else 1


def picture_checksum(decoded: DecodedPicture) -> int:
    """By which a picture is known again, see FrameMark."""
    return checksum(thumbnail(decoded.planes()))


def _facts(container: av.container.InputContainer, stream: av.VideoStream, first: DecodedPicture) -> VideoFacts:
    picture = first.picture
    side_data: Iterable[Any] = picture.side_data
    matrix = next((bytes(data) for data in side_data if data.type.name == "DISPLAYMATRIX"), None)
    time_base = stream.time_base or Fraction(1, av.time_base)
    orientation = orientation_of_matrix(matrix) if matrix else Orientation()
    sample_aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = square_size(picture.width, picture.height, sample_aspect)
    duration = None if stream.duration is None else Fraction(stream.duration * time_base)
    if duration is None and container.duration is not None:
        duration = Fraction(container.duration, av.time_base)
    return VideoFacts(
        width=height if orientation.transpose else width,
        height=width if orientation.transpose else height,
        time_base=time_base,
        first_pts=first.pts,
        frame_rate=stream.average_rate,
        frame_count=stream.frames or None,
        duration_seconds=duration,
        codec=stream.codec_context.name,
        pixel_format=picture.format.name,
        sample_aspect=sample_aspect,
        orientation=orientation,
        full_range=picture.color_range == av.video.reformatter.ColorRange.JPEG or "yuvj" in picture.format.name,
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise FrameToolsError(f"{path}: a folder, expected a video file")
    if not path.is_file():
        raise FrameToolsError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise FrameToolsError(f"{path}: the file is empty (0 bytes), expected a video; copy it again")


def _open(path: Path) -> av.container.InputContainer:
    try:
        # The absolute path keeps names such as "concat:a.mp4" from being taken as protocols.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    except PermissionError as error:
        raise FrameToolsError(f"{path}: no permission to read it") from error
    except av.error.FFmpegError as error:
        raise FrameToolsError(
            f"{path}: cannot be read as a video ({error.strerror}); expected a file that ffprobe can read. "
            "A recording that was cut off may lack its index: repair or re-encode it first"
        ) from error
    if any(name in container.format.name for name in NOT_VIDEO_FORMATS):
        kind = container.format.long_name or container.format.name
        container.close()
        raise FrameToolsError(f"{path}: not a video but {kind!r}; expected a video file")
    return container


def _video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The first stream of moving pictures: a cover picture is not one."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise FrameToolsError(f"{path}: holds no video stream (but {kinds}); expected a video file")
    return streams[0]


def _decode_until(pictures: Iterator[av.VideoFrame], pts: int) -> av.VideoFrame | None:
    """The picture with exactly that time stamp, or None when the decoder passes over it or fails."""
    try:
        for picture in pictures:
            if picture.pts is None or picture.is_corrupt or picture.pts > pts:
                return None
            if picture.pts == pts:
                return picture
    except av.error.FFmpegError:
        return None
    return None
