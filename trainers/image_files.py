"""The image files that labels speak of: where they lie, on disk or in a zip, and how large they are."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from PIL import Image

from cvat_export.errors import CvatExportError
from cvat_export.safe_zip import SafeZip, open_zip
from frame_tools.errors import FrameToolsError
from frame_tools.frame import RgbImage
from frame_tools.images import IMAGE_SUFFIXES, read_image
from trainers.errors import TrainersError

_EXIF_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_OPEN_ZIPS = 8
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class ImageRef:
    """An image file. member: its name in the zip at `path`; None where it is a file of its own."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    def content(self) -> bytes:
        """Its bytes. Raises CvatExportError or OSError."""
        if self.member is None:
            return self.path.read_bytes()
        return b"".join(_archive(self.path, os.getpid()).stream(self.member))

    def read(self) -> RgbImage:
        """The picture, upright, (height, width, 3) uint8 RGB. Raises FrameToolsError or CvatExportError."""
        if self.member is None:
            return read_image(self.path).pixels
        return read_image(str(self), self.content()).pixels


def read_again(ref: ImageRef, name: str) -> RgbImage:
    """The picture of an image that was there when labels were read. Raises TrainersError where it is no more."""
    try:
        return ref.read()
    except (FrameToolsError, CvatExportError, OSError) as error:
        raise TrainersError(f"{name}: its image cannot be read any more: {error}") from error


@dataclass(frozen=True)
class ImageSize:
    """Pixels of an image's upright picture. turned: whether the stored picture lies on its side (EXIF)."""

    width: int
    height: int
    turned: bool


def read_size(ref: ImageRef) -> ImageSize:
    """From the file's header; no pixel is decoded. Raises TrainersError where there is none, CvatExportError."""
    source = ref.path if ref.member is None else io.BytesIO(ref.content())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as image:
                turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _TURNED
                width, height = image.size
    except _UNREADABLE as error:
        raise TrainersError(f"{ref}: cannot be read as an image: {error}") from error
    return ImageSize(height, width, True) if turned else ImageSize(width, height, False)


@dataclass(frozen=True)
class ImagePlaces:
    """Where the images of one label file are looked for: in a zip, then in folders, the likeliest first."""

    archive: Path | None
    folders: tuple[Path, ...]

    def __str__(self) -> str:
        inside = [f"in {self.archive}"] if self.archive else []
        return ", ".join([*inside, *map(str, self.folders)])

    def find(self, file_name: str, subset: str | None) -> ImageRef | None:
        """The image of that name, by its name without suffix where CVAT has changed that; None where it is nowhere."""
        for name in _spellings(file_name, subset):
            for member in (f"images/{name}", name) if self.archive else ():
                if member in self._members:
                    return ImageRef(self._zip, member)
            for folder in self.folders:
                if (folder / name).is_file():
                    return ImageRef(folder / name)
        same = self._by_stem.get(PurePosixPath(file_name).stem, [])
        return same[0] if len(same) == 1 else None

    @property
    def _zip(self) -> Path:
        assert self.archive is not None
        return self.archive

    @cached_property
    def _members(self) -> frozenset[str]:
        return frozenset(_archive(self._zip, os.getpid()).names)

    @cached_property
    def _by_stem(self) -> dict[str, list[ImageRef]]:
        """Images by base name without suffix: those of the zip, and where it holds none those of the folders."""
        inside = [ImageRef(self._zip, name) for name in self._members] if self.archive else []
        images = [ref for ref in inside if _is_image(ref.member or "")] or list(_images_in(self.folders))
        found: dict[str, list[ImageRef]] = defaultdict(list)
        for ref in images:
            found[PurePosixPath(ref.member or ref.path.name).stem].append(ref)
        return found


def image_places(labels: Path, is_zip: bool, images: Path | None) -> ImagePlaces:
    """Where to look for the images of `labels`: only in `images` where that is given."""
    if images is not None:
        return ImagePlaces(None, (images, images / "images"))
    if is_zip:
        unpacked = labels.with_suffix("")
        return ImagePlaces(labels, (labels.parent / "images", unpacked / "images", unpacked, labels.parent))
    root = labels if labels.is_dir() else labels.parent
    return ImagePlaces(None, (root / "images", root.parent / "images", root))


def _spellings(file_name: str, subset: str | None) -> Iterator[str]:
    """As CVAT lays files out: in a folder of the subset, or without the folders that a name has."""
    yield from dict.fromkeys(
        (*((f"{subset}/{file_name}",) if subset else ()), file_name, f"default/{file_name}", _base(file_name))
    )


def _images_in(folders: Iterable[Path]) -> Iterator[ImageRef]:
    seen = set()
    for folder in folders:
        if folder.is_dir() and folder not in seen:
            seen.add(folder)
            yield from (ImageRef(file) for file in sorted(folder.iterdir()) if _is_image(file.name))


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _base(name: str) -> str:
    return PurePosixPath(name).name


@lru_cache(maxsize=_OPEN_ZIPS)
def _archive(path: Path, process: int) -> SafeZip:
    """Kept open, since reading its directory takes long; one a process, since forks share a file's position."""
    return open_zip(path)
