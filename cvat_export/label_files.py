"""The XML and JSON files in what people downloaded, found by their first bytes wherever they lie."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from cvat_export.errors import CvatExportError
from cvat_export.safe_zip import MAX_READ_BYTES, SafeZip, open_zip

_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 4096  # where an XML's root is looked for
_IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2")
)
_KINDS: dict[bytes, Literal["XML", "JSON"]] = {b"<": "XML", b"{": "JSON"}


@dataclass(frozen=True)
class LabelFile:
    """A file that may hold labels. where: its name in errors. name: its path in the export.

    kind: by its first byte. head: its first bytes. stream and read: its content, checked as `SafeZip` does.
    """

    where: str
    name: str
    kind: Literal["XML", "JSON"]
    head: bytes
    stream: Callable[[], Iterator[bytes]]
    read: Callable[[], bytes]

    @property
    def root_tag(self) -> str | None:
        """The name of an XML's root; None where it does not stand in the first bytes."""
        text = self.head.decode("utf-8", "replace").lstrip("\ufeff")
        found = re.match(r"\s*(?:<\?[^>]*\?>\s*)?(?:<!--[^>]*-->\s*)*<([\w:.-]+)", text)
        return found[1] if found else None

    def read_json(self) -> Any:
        """Its content decoded. Raises CvatExportError."""
        try:
            return json.loads(self.read().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise CvatExportError(f"{self.where}: is not JSON in UTF-8: {error}; download the export again") from error


@contextmanager
def open_label_files(path: Path) -> Iterator[tuple[LabelFile, ...]]:
    """The label files of a zip, of a folder that was unzipped, or the file itself. Raises CvatExportError."""
    try:
        is_zip = path.is_file() and zipfile.is_zipfile(path)
        if is_zip:
            with open_zip(path) as archive:
                yield tuple(_in_zip(archive, path))
        elif path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
            yield tuple(_on_disk(found, path))
        else:
            yield tuple(_on_disk([path], path.parent))
    except FileNotFoundError:
        raise CvatExportError(f"{path}: no such file; expected an export of CVAT: a .zip, .xml or .json") from None
    except OSError as error:
        raise CvatExportError(f"{path}: cannot be read: {error}") from error


def _in_zip(archive: SafeZip, path: Path) -> Iterator[LabelFile]:
    for name in archive.names:
        yield from _label_file(f"{path}:{name}", name, partial(archive.stream, name), partial(archive.read, name))


def _on_disk(files: list[Path], folder: Path) -> Iterator[LabelFile]:
    for file in files:
        stream = partial(_stream_file, file)
        yield from _label_file(str(file), file.relative_to(folder).as_posix(), stream, partial(_read_file, file))


def _label_file(
    where: str, name: str, stream: Callable[[], Iterator[bytes]], read: Callable[[], bytes]
) -> Iterator[LabelFile]:
    if PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES:  # a large export has 100,000 of them
        return
    head = next(stream(), b"")[:_HEAD_BYTES]
    kind = _KINDS.get(head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1])
    if kind:
        yield LabelFile(where, name, kind, head, stream, read)


def _stream_file(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _read_file(file: Path) -> bytes:
    if file.stat().st_size > MAX_READ_BYTES:
        raise CvatExportError(f"{file}: got more than {MAX_READ_BYTES} bytes; export a part of the tasks at a time")
    return file.read_bytes()
