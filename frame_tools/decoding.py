"""One pass of a decoder over a video stream, in which damage is noticed, skipped and counted.

What counts as damage: the decoder marks a picture corrupt or raises, the demuxer marks a packet corrupt or raises, the
file ends before the number of frames it promises. VP9 has no means to notice damage inside a packet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

RESYNC_FRAMES = 300  # intra-refresh streams have no further key frames; encoders refresh within 250 frames
DEMUX_ERRORS = 100  # in a row, before the rest of the file is given up
CLOCK_RESET_SECONDS = 1  # a time stamp further back than this begins a new clock: joined recordings
CONSTANT_STEPS = 48  # so many equal distances in a row make a constant rate
LAST_FRAME_STEPS = 15  # Matroska's end is rounded, and a last frame may be long: a shorter rest is no loss
PLANAR_FORMATS = frozenset(f"yuv{j}{sampling}p" for j in ("", "j") for sampling in (420, 422, 444, 440, 411))
STRICT_CODECS = ("hevc", "mjpeg", "vvc")  # do not mark the pictures they conceal unless told to raise


@dataclass(frozen=True)
class DamagedStretch:
    """Frames that could not be decoded rightly and were left out.

    start_pts: the last good frame before (None: damaged from the start). end_pts: the first good one after (None: to
    the end). lost_frames: how many, as far as the container tells.
    """

    start_pts: int | None
    end_pts: int | None
    lost_frames: int
    reason: str


Plane = npt.NDArray[np.uint8]  # (height, width)


@dataclass(frozen=True, eq=False)
class DecodedPicture:
    """A picture as the decoder gave it, not yet upright RGB. ordinal counts lost frames too."""

    pts: int
    ordinal: int
    picture: av.VideoFrame

    def planes(self) -> tuple[Plane, ...]:
        """Luma and two chroma planes of 8 bits, chroma possibly smaller; grey video has luma only.

        Views, valid as long as the picture is, unless its format has to be converted.
        """
        if self.picture.format.name == "gray":
            return (_view(self.picture.planes[0]),)
        picture = self.picture
        if picture.format.name not in PLANAR_FORMATS:
            picture = picture.reformat(format="yuv420p")
        return tuple(_view(plane) for plane in picture.planes)


@dataclass(eq=False)
class _Held:
    order: int | None  # place of its packet in the file; None where no packet has its pts
    pts: int
    ordinal: int
    picture: av.VideoFrame


class GapWatch:
    """Notices a missing frame in a stream that has had a constant rate so far; a varying rate has no gaps."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._step = 0
        self._steps_alike = 0

    def missing_before(self, pts: int) -> int:
        """How many frames are missing between the time stamp given before and this one."""
        step = 0 if self._last is None else pts - self._last
        self._last = pts
        if abs(step - self._step) <= 1:  # Matroska rounds to milliseconds
            self._steps_alike += 1
            return 0
        if self._steps_alike >= CONSTANT_STEPS and step >= 2 * self._step - 1:
            return round(step / self._step) - 1
        self._step, self._steps_alike = step, 0
        return 0


class PictureStream:
    """Iterate once: the good pictures of a stream, in order of presentation. Then see `damage` and `repaired_pts`.

    A picture is held back until all packets before its own have come out, because damage in one of them, seen only
    when it is shown, is damage of every picture predicted from it.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, frame_step: int) -> None:
        """frame_step: usual distance of two frames in units of the time base, for frames without a time stamp."""
        self.damage: list[DamagedStretch] = []
        self.repaired_pts = 0
        self._container, self._stream, self._frame_step = container, stream, max(1, frame_step)
        self._time_base = stream.time_base or Fraction(1)
        self._clock_shift = 0
        self._packets = 0
        self._waiting: dict[int, int] = {}  # pts -> order, of packets whose picture has not come out
        self._held: list[_Held] = []
        self._last_pts: int | None = None
        self._delivered_pts: int | None = None
        self._position = 0  # of the next picture in order of presentation
        self._damaged_order: int | None = None  # while in a damaged stretch: its last packet known to be bad
        self._stretch_lost = self._since_damage = 0
        self._reason = ""
        # Matroska's reader passes over bytes that it does not understand without a word.
        self._gap_watch = GapWatch() if "matroska" in container.format.name else None

    def __iter__(self) -> Iterator[DecodedPicture]:
        for packet in self._demux():
            for picture in self._decode(packet):
                self._accept(picture)
                yield from self._release()
        yield from self._release(final=True)
        self._finish()

    def _demux(self) -> Iterator[av.Packet[Any]]:
        failures = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.InvalidDataError, av.error.OSError) as error:
                failures += 1
                self._mark_damage(self._packets, f"unreadable data: {error.strerror}")
                if failures >= DEMUX_ERRORS:
                    yield av.Packet()  # flushes the decoder
                    return
                packets = self._container.demux(self._stream)
                continue
            failures = 0
            if packet.size:
                self._register(packet)
            if packet.size or packet.dts is None:  # AVI has empty packets for repeated pictures
                yield packet

    def _register(self, packet: av.Packet[Any]) -> None:
        if packet.pts is not None and not packet.is_discard:
            self._waiting.setdefault(packet.pts, self._packets)
        if packet.is_corrupt:
            self._mark_damage(self._packets, "the container marks a packet as corrupt")
        self._packets += 1

    def _decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        codec = self._stream.codec_context
        try:
            return codec.decode(packet if packet.size else None)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            # With frame threads, an error comes out as many packets late as there are threads.
            self._mark_damage(max(0, self._packets - codec.thread_count), f"decoder: {error.strerror}")
            return []

    def _accept(self, picture: av.VideoFrame) -> None:
        pts = self._time_stamp(picture)
        if pts is None:
            self._lose(1)
            return
        order = self._arrive(picture)
        missing = 0 if self._gap_watch is None else self._gap_watch.missing_before(pts)
        if missing:
            place = (self._packets if order is None else order) - 1
            self._mark_damage(place, "a gap in time between frames of constant rate")
            self._lose(missing)
        if picture.is_corrupt:
            self._mark_damage(self._packets if order is None else order, "the decoder marks a picture as corrupt")
        if self._damaged_order is not None and not self._recovers(picture, order):
            self._lose(1)
            return
        self._held.append(_Held(order, pts, self._position, picture))
        self._position += 1

    def _arrive(self, picture: av.VideoFrame) -> int | None:
        """The place of the picture's packet in the file. Forgets the packets whose pictures will not come any more."""
        if picture.pts is None:
            return None
        order = self._waiting.pop(picture.pts, None)
        for late in [waiting for waiting in self._waiting if waiting < picture.pts]:
            del self._waiting[late]  # pictures come out in order of pts
            self._lose(self._damaged_order is not None)
        return order

    def _lose(self, count: int) -> None:
        self._stretch_lost += count
        self._position += count

    def _time_stamp(self, picture: av.VideoFrame) -> int | None:
        """The picture's pts, strictly after the last one's; None for a picture that damage put out of order."""
        last = self._last_pts
        stamp = picture.pts if picture.pts is not None else picture.dts
        if stamp is None:
            pts = 0 if last is None else last + self._frame_step
        else:
            pts = stamp + self._clock_shift
        if last is not None and pts <= last:
            if self._damaged_order is not None:
                return None
            if (last - pts) * self._time_base > CLOCK_RESET_SECONDS:
                self._clock_shift += last + self._frame_step - pts
                self._waiting.clear()
            pts = max(last + 1, (stamp or 0) + self._clock_shift)
        self.repaired_pts += pts != picture.pts
        self._last_pts = pts
        return pts

    def _recovers(self, picture: av.VideoFrame, order: int | None) -> bool:
        """Whether this picture, the first good one after damage, ends the damaged stretch."""
        self._since_damage += 1
        after = order is None or self._damaged_order is None or order > self._damaged_order
        fresh = picture.key_frame or self._since_damage > RESYNC_FRAMES
        if picture.is_corrupt or not (after and fresh):
            return False
        self._close_stretch(self._last_pts)
        return True

    def _mark_damage(self, order: int, reason: str) -> None:
        if self._damaged_order is None:
            self._reason = reason
        self._damaged_order = max(order, self._damaged_order or 0)
        self._since_damage = 0
        good = [held for held in self._held if held.order is None or held.order < order]
        self._stretch_lost += len(self._held) - len(good)
        self._held = good

    def _release(self, final: bool = False) -> Iterator[DecodedPicture]:
        while self._held:
            held = self._held[0]
            if not final and held.order is not None and any(o < held.order for o in self._waiting.values()):
                return
            del self._held[0]
            yield DecodedPicture(held.pts, held.ordinal, held.picture)
            self._delivered_pts = held.pts

    def _close_stretch(self, end_pts: int | None) -> None:
        if self._stretch_lost:
            start = self._held[-1].pts if self._held else self._delivered_pts
            self.damage.append(DamagedStretch(start, end_pts, self._stretch_lost, self._reason))
        self._damaged_order, self._stretch_lost = None, 0

    def _finish(self) -> None:
        if self._damaged_order is not None:
            self._stretch_lost += len(self._waiting)
            self._close_stretch(None)
        if (missing := self._missing_at_end()) > 0:
            reason = "the file ends before its last frame: it was cut off"
            self.damage.append(DamagedStretch(self._delivered_pts, None, missing, reason))

    def _missing_at_end(self) -> int:
        """Frames that the container promises and does not hold."""
        if "mp4" in self._container.format.name:
            return self._stream.frames - self._packets if self._stream.frames else 0
        end = _tagged_end(self._stream)
        if end is None or self._last_pts is None:
            return 0
        missing = round((end / self._time_base - Fraction(self._last_pts)) / self._frame_step) - 1
        return missing if missing > LAST_FRAME_STEPS else 0


def configure(stream: av.VideoStream, threads: int) -> None:
    """Set a stream's decoder up, before its first packet."""
    codec = stream.codec_context
    codec.thread_type = "AUTO"
    codec.thread_count = threads
    if codec.name in STRICT_CODECS:
        codec.options = {"err_detect": "explode"}


def _tagged_end(stream: av.VideoStream) -> Fraction | None:
    """Where Matroska's statistics tag says that the track ends, in seconds."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _view(plane: av.video.plane.VideoPlane) -> Plane:
    buffer: Any = plane
    return np.ndarray((plane.height, plane.width), np.uint8, buffer, strides=(plane.line_size, 1))
