"""Image files as people have them, made upright 8-bit RGB; folders of frames and their manifest."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from frame_tools.errors import FrameToolsError
from frame_tools.frame import RgbImage

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MANIFEST_FILE = "manifest.jsonl"
MAX_SIDE_PX = 16_384  # of a browser's canvas, in which the labels are drawn
MAX_PIXELS = 178_000_000  # Pillow's limit against decompression bombs
DEFAULT_QUALITY = 95

_EXIF_ORIENTATION = 0x0112
_PLAIN_MODES = ("RGB", "L")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, eq=False)
class UprightImage:
    """An image file's picture. needs_conversion: whether CVAT and COCO tools would see another picture than this.

    That is so for more than 8 bits, palettes, CMYK, transparency and an EXIF orientation.
    """

    pixels: RgbImage
    needs_conversion: bool


@dataclass(frozen=True)
class ManifestEntry:
    """One line of a frames folder's manifest: a frame, where it comes from and why it was taken.

    source: the video's file name. sha256: of the video's bytes. quality: figures by name.
    """

    file: str
    source: str
    sha256: str
    pts: int
    time_base: Fraction
    ordinal: int
    reason: str
    quality: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """On the video's own clock; None for an image, which is its own source."""
        return None if self.source == self.file else float(self.pts * self.time_base)

    def to_json_line(self) -> str:
        """One line without its end; the same entry gives the same bytes."""
        values = vars(self) | {
            "time_base": f"{self.time_base.numerator}/{self.time_base.denominator}",
            "quality": {name: round(float(value), 4) for name, value in self.quality.items()},
        }
        return json.dumps(values, ensure_ascii=False, allow_nan=False)


def read_image(path: str | Path, content: bytes | None = None) -> UprightImage:
    """The picture in an image file, or in `content`, its bytes, if they have been read already.

    16 bits become 8 by full scale (65535 is 255), transparency is laid on white, CMYK is converted without a profile.
    Raises FrameToolsError for what is no image, is cut off, or is larger than a browser can show.
    """
    path = Path(path)
    if content is None:
        content = _read(path)
    if not content:
        raise FrameToolsError(f"{path}: the file is empty (0 bytes), expected an image; copy it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked below
            image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise FrameToolsError(f"{path}: not an image: begins with {content[:16]!r}; expected {_expected()}") from None
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise FrameToolsError(f"{path}: cannot be read as an image: {error}; expected {_expected()}") from error
    _check_header(path, image)
    if image.format in ("JPEG", "MPO"):
        _check_jpeg_end(path, content)
    try:
        needs_conversion = _needs_conversion(image, content)
        pixels = _upright_rgb(path, image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise FrameToolsError(
            f"{path}: damaged or cut off: {error}; expected a whole {image.format} file, copy it again"
        ) from error
    return UprightImage(pixels, needs_conversion)


def encode_image(pixels: RgbImage, suffix: str, quality: int = DEFAULT_QUALITY) -> bytes:
    """The bytes of an image file of that suffix: JPEG (4:4:4, no metadata), PNG, BMP, lossless WebP or TIFF."""
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    match suffix.lower():
        case ".jpg" | ".jpeg":
            image.save(stream, "JPEG", quality=quality, subsampling="4:4:4")
        case ".png":
            image.save(stream, "PNG", compress_level=3)
        case ".webp":
            image.save(stream, "WEBP", lossless=True)
        case ".bmp":
            image.save(stream, "BMP")
        case ".tif" | ".tiff":
            image.save(stream, "TIFF", compression="tiff_deflate")
        case _:
            raise FrameToolsError(f"image suffix {suffix!r}: cannot be written, expected {_expected()}")
    return stream.getvalue()


def shrink(pixels: RgbImage, max_side_px: int) -> RgbImage:
    """The picture with its longer side at most `max_side_px`; never enlarged."""
    height, width = pixels.shape[:2]
    scale = max_side_px / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def list_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, by suffix, numbers in names in numeric order (im2 before im10)."""
    files = (path for path in Path(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((path for path in files if not path.name.startswith(".") and path.is_file()), key=_natural)


def manifest_text(entries: Iterable[ManifestEntry]) -> str:
    """The content of a manifest file."""
    return "".join(entry.to_json_line() + "\n" for entry in entries)


def read_manifest(folder: str | Path) -> list[ManifestEntry]:
    """The entries of a frames folder's manifest. Raises FrameToolsError with file and line."""
    path = Path(folder) / MANIFEST_FILE
    try:
        lines = _read(path).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FrameToolsError(f"{path}: not a text in UTF-8: {error}") from error
    entries = [_parse_entry(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    names = [entry.file for entry in entries]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FrameToolsError(f"{path}: {twice!r} stands in two lines, expected one a frame")
    return entries


def _parse_entry(line: str, where: str) -> ManifestEntry:
    try:
        values: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise FrameToolsError(f"{where}: not JSON: {error}") from error
    expected = {"file": str, "source": str, "sha256": str, "pts": int, "time_base": str}
    for name, kind in expected.items():
        got = values.get(name) if isinstance(values, dict) else None
        if not isinstance(got, kind) or isinstance(got, bool):
            raise FrameToolsError(f"{where}: {name!r} is {got!r}, expected {kind.__name__}")
    if Path(values["file"]).name != values["file"]:
        raise FrameToolsError(f"{where}: 'file' is {values['file']!r}, expected a name without folders")
    if not re.fullmatch(r"\d+/[1-9]\d*", values["time_base"]):
        raise FrameToolsError(f"{where}: 'time_base' is {values['time_base']!r}, expected a fraction such as '1/15360'")
    return ManifestEntry(
        file=values["file"],
        source=values["source"],
        sha256=values["sha256"],
        pts=values["pts"],
        time_base=Fraction(values["time_base"]),
        ordinal=int(values.get("ordinal", 0)),
        reason=str(values.get("reason", "")),
        quality=dict(values.get("quality") or {}),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FrameToolsError(f"{path}: cannot be read: {error.strerror}") from error


def _check_header(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        raise FrameToolsError(
            f"{path}: {width}×{height} px, expected sides of at most {MAX_SIDE_PX:,} px and at most "
            f"{MAX_PIXELS // 1_000_000} megapixels, which is what a browser can show; scale it down or cut it up"
        )
    pictures = getattr(image, "n_frames", 1)
    if pictures > 1 and image.format in ("TIFF", "WEBP", "GIF"):
        raise FrameToolsError(f"{path}: holds {pictures} pictures, expected one; save them one a file")
    if image.mode in ("I", "F"):
        raise FrameToolsError(f"{path}: 32 bits a channel (mode {image.mode}), expected 8 or 16; convert it")


def _check_jpeg_end(path: Path, content: bytes) -> None:
    """libjpeg fills what is missing with grey and only warns: look for the end marker after the pixels' beginning."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xDA:  # start of scan
            break
        position += 1 if marker == 0xFF else 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    if content.find(b"\xff\xd9", position) < 0:
        raise FrameToolsError(f"{path}: cut off: its JPEG data has no end; expected a whole file, copy it again")


def _needs_conversion(image: Image.Image, content: bytes) -> bool:
    if image.mode not in _PLAIN_MODES or "transparency" in image.info:
        return True
    if image.format == "PNG" and content[24] > 8:  # bit depth in IHDR: Pillow reads 16-bit RGB as 8 bits
        return True
    if image.format == "TIFF" and max(image.tag_v2.get(258, (8,))) > 8:  # type: ignore[attr-defined]
        return True
    return image.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1)


def _upright_rgb(path: Path, image: Image.Image) -> RgbImage:
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in _DEEP_MODES:
        deep = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in parts if part], path.name


def _expected() -> str:
    return "one of " + ", ".join(sorted(IMAGE_SUFFIXES))
