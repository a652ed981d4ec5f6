"""What `preannotate` reads: folders, files, globs, frames folders with their manifest, videos."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from annotator.errors import AnnotatorError
from annotator.frame_folder import describe_damage
from annotator.predictions import FrameSource
from cvat_export.archive import colliding_names
from frame_tools.errors import FrameToolsError
from frame_tools.frame import Frame, RgbImage, frame_file_name
from frame_tools.images import (
    IMAGE_SUFFIXES,
    MANIFEST_FILE,
    encode_image,
    list_images,
    read_image,
    read_manifest,
)
from frame_tools.video import open_video

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"})
_WEB_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})  # what a browser, and so CVAT, shows


@dataclass(frozen=True, eq=False)
class InputImage:
    """One upright image, ready for the models. content: the bytes that the dataset's images/ will hold."""

    file_name: str
    pixels: RgbImage
    content: bytes
    source: FrameSource


@dataclass(frozen=True)
class BadInput:
    """An input that was skipped, and why: a line of errors.jsonl."""

    file: str
    error: str


Loader = Callable[[], InputImage | BadInput]  # may run in any thread


@dataclass(frozen=True)
class ImageFile:
    """An image on disk. source: what its manifest says of it, if it has one."""

    path: Path
    source: FrameSource | None = None

    def identity(self) -> tuple[str, ...]:
        """What must be the same for a run to be continued."""
        size = self.path.stat().st_size if self.path.exists() else None
        return ("image", self.path.name, str(size))

    def loaders(self) -> Iterator[Loader]:
        """One."""
        yield self.load

    def load(self) -> InputImage | BadInput:
        """The image, converted to 8-bit upright RGB where it was not; otherwise kept byte for byte."""
        try:
            content = self.path.read_bytes()
            image = read_image(self.path, content)
            file_name = self.path.name
            if image.needs_conversion:
                if self.path.suffix.lower() not in _WEB_SUFFIXES:
                    file_name = f"{self.path.stem}.png"
                content = encode_image(image.pixels, Path(file_name).suffix)
        except (FrameToolsError, OSError) as error:
            return BadInput(str(self.path), str(error))
        source = self.source or FrameSource(hashlib.sha256(content).hexdigest(), 0)
        return InputImage(file_name, image.pixels, content, source)


@dataclass(frozen=True)
class VideoFile:
    """A video, every frame of it. sha256: of its bytes."""

    path: Path
    sha256: str

    def identity(self) -> tuple[str, ...]:
        """What must be the same for a run to be continued."""
        return ("video", self.path.name, self.sha256)

    def loaders(self) -> Iterator[Loader]:
        """One a frame; damaged stretches become bad inputs."""
        with open_video(self.path) as video:
            for frame in video.frames():
                yield lambda frame=frame: _frame_image(self.path.stem, frame)  # type: ignore[misc]
            for words in describe_damage(video):
                yield lambda words=words: BadInput(str(self.path), words)  # type: ignore[misc]


Input = ImageFile | VideoFile


def find_inputs(names: Sequence[str]) -> list[Input]:
    """What the words on the command line mean, in their order. Raises AnnotatorError before anything is read."""
    inputs = [item for name in names for item in _expand(name)]
    if not inputs:
        raise AnnotatorError(
            f"no images in {', '.join(names)}; expected {', '.join(sorted(IMAGE_SUFFIXES))} or a video"
        )
    _refuse_collisions(inputs)
    return inputs


def digest(inputs: Iterable[Input]) -> str:
    """A fingerprint of the list of inputs: names, sizes, order."""
    return hashlib.sha256(json.dumps([item.identity() for item in inputs]).encode()).hexdigest()


def _expand(name: str) -> list[Input]:
    path = Path(name)
    if path.is_dir():
        return [*_from_folder(path)]
    if path.is_file():
        return [_from_file(path)]
    found = sorted(glob(name, recursive=True))
    if not found:
        raise AnnotatorError(f"{name}: no such file, folder or pattern")
    return [item for match in found for item in _expand(match)]


def _from_file(path: Path) -> Input:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        with open_video(path) as video:
            return VideoFile(path, video.sha256)
    return ImageFile(path)


def _from_folder(folder: Path) -> Iterator[ImageFile]:
    """What the manifest names, a file that somebody has deleted included, so that it is reported; else all images."""
    if (folder / MANIFEST_FILE).exists():
        for entry in read_manifest(folder):
            yield ImageFile(folder / entry.file, FrameSource(entry.sha256, entry.pts, str(entry.time_base)))
    else:
        yield from map(ImageFile, list_images(folder))


def _refuse_collisions(inputs: Sequence[Input]) -> None:
    names = [str(item.path) for item in inputs if isinstance(item, ImageFile)]
    if collisions := colliding_names(names):
        stem, files = next(iter(collisions.items()))
        raise AnnotatorError(
            f"{len(collisions)} base names are used twice, first {stem!r}: {', '.join(files)}; CVAT matches images by "
            "base name and would mix them up: rename them, or annotate the folders separately"
        )
    hashes = [item.sha256 for item in inputs if isinstance(item, VideoFile)]
    if len(set(hashes)) < len(hashes):
        raise AnnotatorError("one video is given twice (the same bytes): leave one out")


def _frame_image(stem: str, frame: Frame) -> InputImage:
    source = FrameSource(frame.id.source_sha256, frame.id.pts, str(frame.time_base))
    file_name = frame_file_name(stem, frame.id, ".jpg")
    return InputImage(file_name, frame.image, encode_image(frame.image, ".jpg"), source)
