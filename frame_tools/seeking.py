"""Any frame of a video at once, exactly as a pass from the start gives it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from frame_tools.decoding import DecodedPicture, GapWatch, PictureStream
from frame_tools.errors import FrameToolsError
from frame_tools.frame import Frame
from frame_tools.video import PacketFacts, PictureReader, Video, picture_checksum

LONG_GROUP_SECONDS = 10  # a group of pictures longer than this makes seeking slow
CACHE_BYTES = 192 * 2**20  # of decoded pictures: 64 of 1920×1080

_NEAR = 16  # frames ahead: decoding on is cheaper than a seek, whatever lies between
_ATTEMPTS = 3  # keyframes that are tried before everything is decoded from the start
_VERSION = 1  # of the file that an index is kept in


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Where the frames of a video lie. pts: (n,) int64, strictly rising. keyframes: (k,) places among them.

    A frame's place is its ordinal in a video without damage. obstacle: why the video cannot be read from the middle,
    in words; then `keyframes` is empty.
    """

    pts: npt.NDArray[np.int64]
    keyframes: npt.NDArray[np.int64]
    time_base: Fraction
    obstacle: str = ""

    def __len__(self) -> int:
        return len(self.pts)

    def place(self, pts: int) -> int | None:
        """The place of the frame with that time stamp; None where there is none."""
        place = int(np.searchsorted(self.pts, pts))
        return place if place < len(self.pts) and self.pts[place] == pts else None

    def keyframes_back(self, place: int, count: int) -> list[int]:
        """The last keyframes at or before a place, at most `count`, nearest first."""
        end = int(np.searchsorted(self.keyframes, place, side="right"))
        return self.keyframes[max(0, end - count) : end][::-1].tolist()

    def among(self, pts: npt.NDArray[np.int64]) -> FrameIndex:
        """The index of those frames only, such as a pass has found to be good."""
        keyframes = np.flatnonzero(np.isin(pts, self.pts[self.keyframes]))
        return FrameIndex(pts, keyframes, self.time_base, self.obstacle)

    @property
    def longest_group_seconds(self) -> float:
        """The most time between a keyframe and the next, or the end."""
        if not len(self.pts):
            return 0.0
        starts = [self.pts[0], *self.pts[self.keyframes], self.pts[-1]]
        return float(int(np.diff(starts).max()) * self.time_base)

    @property
    def warning(self) -> str:
        """Why seeking is slow, in words; empty where it is not."""
        if self.obstacle:
            return f"{self.obstacle}: every step back decodes from the start"
        if self.longest_group_seconds > LONG_GROUP_SECONDS:
            longest = self.longest_group_seconds
            return f"up to {longest:.0f} s between two keyframes: a jump decodes all frames from the one before"
        return ""


def index_of(video: Video) -> FrameIndex:
    """The index of a video, from its packets alone.

    Where they do not tell, or some of them are missing, all pictures are decoded for it.
    """
    packets = list(video.packets())
    obstacle = _obstacle(packets)
    if obstacle:
        return sequential_index([decoded.pts for decoded in video.pictures()], video.facts.time_base, obstacle)
    pts = np.array([packet.pts for packet in packets], np.int64)
    order = np.argsort(pts)
    keyframes = np.flatnonzero(np.array([packet.is_keyframe for packet in packets], bool)[order])
    index = FrameIndex(pts[order], keyframes, video.facts.time_base)
    if not video.hides_gaps or not _has_gap(index.pts):
        return index
    return index.among(np.array([decoded.pts for decoded in video.pictures()], np.int64))


def sequential_index(pts: Sequence[int] | npt.NDArray[np.int64], time_base: Fraction, obstacle: str) -> FrameIndex:
    """An index of frames that only a pass from the start can reach."""
    return FrameIndex(np.asarray(pts, np.int64), np.zeros(0, np.int64), time_base, obstacle)


def kept_index(video: Video, folder: Path) -> FrameIndex:
    """The index of a video, read from `folder` if an earlier call has left it there and the file is still the same."""
    stat = video.path.stat()
    facts = {"version": _VERSION, "sha256": video.sha256, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    path = folder / f"{video.sha256[:16]}.npz"
    index = _read_index(path, facts, video.facts.time_base)
    if index is None:
        index = index_of(video)
        _write_index(path, facts, index)
    return index


class Seeker:
    """Gives any frame of a video. Not for two threads at once.

    A picture counts as found only where it came behind a keyframe, with every frame of the index in between and no
    damage: then it is that of a pass from the start. Where that cannot be had, everything is decoded from the start.
    checksums: pts -> what an earlier pass saw there (see FrameMark), against which each picture is held.
    """

    def __init__(self, video: Video, index: FrameIndex, cache_bytes: int = CACHE_BYTES) -> None:
        self.index = index
        self.checksums: Mapping[int, int] = {}
        self._video, self._keyframes = video, frozenset(index.keyframes.tolist())
        facts = video.facts
        self._capacity = max(2, cache_bytes // max(1, facts.width * facts.height * 3 // 2))
        self._cache: OrderedDict[int, DecodedPicture] = OrderedDict()
        self._reader: PictureReader | None = None
        self._run: _Run | None = None

    def frame(self, place: int) -> Frame:
        """The frame at a place of the index, upright, in RGB. Raises FrameToolsError where it cannot be had exactly."""
        if not 0 <= place < len(self.index):
            raise FrameToolsError(f"{self._video.path}: no frame {place}, expected 0 to {len(self.index) - 1}")
        found = self._cached(place) or self._go_on_to(place) or self._seek(place) or self._from_the_start(place)
        return self._video.to_frame(DecodedPicture(found.pts, place, found.picture))

    def close(self) -> None:
        """Close the file and forget its pictures."""
        self._run = None
        self._cache.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _cached(self, place: int) -> DecodedPicture | None:
        decoded = self._cache.get(place)
        if decoded is None or not self._is_as_before(decoded):
            return None
        self._cache.move_to_end(place)
        return decoded

    def _go_on_to(self, place: int) -> DecodedPicture | None:
        """The picture, if decoding on is the shortest way to it."""
        run = self._run
        if run is None or run.place is None or run.place >= place:
            return None
        nearest = self.index.keyframes_back(place, 1)
        if nearest and nearest[0] > run.place and place - run.place > _NEAR:
            return None
        return self._decode_to(place)

    def _seek(self, place: int) -> DecodedPicture | None:
        if self._reader is None:
            self._reader = self._video.reader()
        for keyframe in self.index.keyframes_back(place, _ATTEMPTS):
            pictures = self._reader.pictures_from(int(self.index.pts[keyframe]))
            self._run = _Run(pictures, self.index, self._keyframes)
            if found := self._decode_to(place):
                return found
        return None

    def _from_the_start(self, place: int) -> DecodedPicture:
        self._run = _Run(self._video.pictures(), self.index, None)
        if found := self._decode_to(place):
            return found
        raise FrameToolsError(
            f"{self._video.path}: the frame with pts {self.index.pts[place]} cannot be decoded: it is damaged, or the "
            "file has been changed meanwhile"
        )

    def _decode_to(self, place: int) -> DecodedPicture | None:
        """Go on with the run to a place, keeping what lies on the way; None when it does not get there rightly."""
        for at, decoded in self._run or ():
            self._keep(at, decoded)
            if at == place and self._is_as_before(decoded):
                return decoded
            if at >= place:
                break
        self._run = None
        self._cache.clear()
        return None

    def _keep(self, place: int, decoded: DecodedPicture) -> None:
        self._cache[place] = decoded
        self._cache.move_to_end(place)
        if len(self._cache) > self._capacity:
            self._cache.popitem(last=False)

    def _is_as_before(self, decoded: DecodedPicture) -> bool:
        known = self.checksums.get(decoded.pts)
        return known is None or known == picture_checksum(decoded)


class _Run:
    """Pictures one after another with their places, as far as they are certain to be right.

    keyframes: where a run may begin; None for one from the start, in which any frame may be missing.
    """

    def __init__(
        self, pictures: PictureStream | Iterator[DecodedPicture], index: FrameIndex, keyframes: frozenset[int] | None
    ) -> None:
        self.place: int | None = None  # of the latest picture
        self._pictures, self._iterator = pictures, iter(pictures)
        self._index, self._keyframes = index, keyframes
        self._damage_before = 0

    def __iter__(self) -> Iterator[tuple[int, DecodedPicture]]:
        return self

    def __next__(self) -> tuple[int, DecodedPicture]:
        for decoded in self._iterator:
            place = self._index.place(decoded.pts)
            if self._keyframes is None:
                if place is None:
                    continue
            elif self.place is None:
                if not self._begins(decoded, place):
                    continue
            elif place != self.place + 1 or self._damage() > self._damage_before:
                break
            assert place is not None
            self.place = place
            return place, decoded
        raise StopIteration

    def _begins(self, decoded: DecodedPicture, place: int | None) -> bool:
        assert self._keyframes is not None
        self._damage_before = self._damage()
        return decoded.picture.key_frame and place in self._keyframes

    def _damage(self) -> int:
        return len(self._pictures.damage) if isinstance(self._pictures, PictureStream) else 0


def _obstacle(packets: Sequence[PacketFacts]) -> str:
    stamps = [packet.pts for packet in packets]
    if not packets or None in stamps:
        return "the container has no time stamps"
    if len(set(stamps)) < len(stamps):
        return "some frames have the same time stamp"
    decoding = [packet.dts for packet in packets if packet.dts is not None]
    if decoding != sorted(decoding):
        return "its clock jumps back"
    return "" if any(packet.is_keyframe for packet in packets) else "no frame is marked as a keyframe"


def _has_gap(pts: npt.NDArray[np.int64]) -> bool:
    watch = GapWatch()
    return any(watch.missing_before(stamp) for stamp in pts.tolist())


def _read_index(path: Path, facts: Mapping[str, Any], time_base: Fraction) -> FrameIndex | None:
    """None where there is no index, or that of another file; a damaged one is made anew."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if json.loads(str(kept["facts"])) != facts:
                return None
            return FrameIndex(kept["pts"], kept["keyframes"], time_base, str(kept["obstacle"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _write_index(path: Path, facts: Mapping[str, Any], index: FrameIndex) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as stream:
        np.savez(stream, facts=json.dumps(facts), pts=index.pts, keyframes=index.keyframes, obstacle=index.obstacle)
    part.replace(path)
