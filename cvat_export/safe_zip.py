"""Zips from elsewhere: the whole directory is checked before a member is read, and nothing is ever extracted."""

from __future__ import annotations

import copy
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType

from cvat_export.errors import CvatExportError

MAX_MEMBERS = 1_000_000  # an export of 100,000 images has little more than 100,000
MAX_TOTAL_BYTES = 1 << 40  # declared, of all members: 100,000 images of 10 MB
MAX_READ_BYTES = 2 << 30  # in memory, of all reads of one zip: the JSON of 100,000 images with many subjects each
MAX_RATIO = 400  # deflate ends at 1032; labels with 133 joints that are all outside were seen at 162
MIN_RATIO_BYTES = 16 << 20  # a smaller member is no bomb, whatever its ratio

_CHUNK_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others can turn a few bytes into megabytes in one step
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # classic, strong, and a masked directory (APPNOTE.TXT, 4.4.4)
_UTF8 = 0x800
_LOCAL_HEADER_BYTES = 30
_ANEW = "download the export again, or zip its folder anew"
_UNREADABLE = (  # what zipfile raises on broken bytes
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


def open_zip(path: Path) -> SafeZip:
    """The zip at `path`, its directory checked. Raises CvatExportError."""
    return SafeZip(path)


class SafeZip:
    """A zip whose directory holds no surprise; a context manager.

    names: its files in the directory's order, folders left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        try:
            # Names without the UTF-8 flag are UTF-8 too, or refused: which code page was meant, nobody can tell.
            self._archive = zipfile.ZipFile(path, metadata_encoding="utf-8")
        except FileNotFoundError:
            raise CvatExportError(f"{path}: no such file; expected a zip") from None
        except UnicodeDecodeError as error:
            raise CvatExportError(
                f"{path}: got a member whose name is not UTF-8 ({error.object!r}), expected UTF-8; {_ANEW}"
            ) from error
        except _UNREADABLE as error:
            raise CvatExportError(f"{path}: got a broken zip ({error}), expected a whole one; {_ANEW}") from error
        try:
            _check_directory(self._archive, path)
        except BaseException:
            self._archive.close()
            raise
        self._members = {info.filename: info for info in self._archive.infolist() if not info.is_dir()}
        self.names = tuple(self._members)

    def __enter__(self) -> SafeZip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._archive.close()

    def read(self, name: str) -> bytes:
        """A member whole, in memory. Raises CvatExportError past MAX_READ_BYTES of all that was read so."""
        chunks = []
        for chunk in self.stream(name):
            self._read_bytes += len(chunk)
            if self._read_bytes > MAX_READ_BYTES:
                raise CvatExportError(
                    f"{self._path}: {name!r}: got more than {MAX_READ_BYTES} bytes to hold in memory; "
                    "export a part of the tasks at a time"
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def stream(self, name: str) -> Iterator[bytes]:
        """A member piece by piece, counted against its declared size. Raises CvatExportError, at the end too."""
        info = self._members.get(name)
        if info is None:
            raise CvatExportError(f"{self._path}: {name!r}: no such member, expected one of {len(self.names)} others")
        # zipfile stops at the declared size: allowed one byte more, a member that is longer shows itself.
        widened = copy.copy(info)
        widened.file_size += 1
        count = 0
        try:
            with self._archive.open(widened) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    count += len(chunk)
                    if count > info.file_size:
                        raise CvatExportError(self._lies(info, "more"))
                    yield chunk
        except _UNREADABLE as error:
            raise CvatExportError(self._lies(info, str(error))) from error
        if count < info.file_size:
            raise CvatExportError(self._lies(info, f"{count} bytes"))

    def _lies(self, info: zipfile.ZipInfo, got: str) -> str:
        return (
            f"{self._path}: {info.filename!r}: got content that is not what the directory declares ({got}), "
            f"expected {info.file_size} bytes with CRC {info.CRC:08x}; {_ANEW}"
        )


def name_problem(name: str) -> str | None:
    """Why a file's name leads out of its folder or cannot be shown; None where it is fine."""
    if not name:
        return "an empty name"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "a name with control characters"
    if "\\" in name:
        return "a name with a backslash"
    if name.startswith("/"):
        return "an absolute path"
    if re.match("[A-Za-z]:", name):
        return "a path with a drive letter"
    if ".." in name.split("/"):
        return "a path with '..'"
    return None


def _check_directory(archive: zipfile.ZipFile, path: Path) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise CvatExportError(
            f"{path}: got {len(members)} members, expected at most {MAX_MEMBERS}; export fewer tasks at a time"
        )
    for info in members:
        if problem := name_problem(info.orig_filename) or _kind_problem(info) or _size_problem(info):
            raise CvatExportError(f"{path}: {info.orig_filename!r}: got {problem}; {_ANEW}")
    _check_duplicates(members, path)
    _check_total(members, path)
    _check_overlaps(members, archive.start_dir, path)


def _kind_problem(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "a symbolic link, expected a file or folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"a special file (type {kind:#o}), expected a file or folder"
    if info.flag_bits & _ENCRYPTED:
        return "an encrypted member, expected a readable one"
    if info.compress_type not in _METHODS:
        return f"compression method {info.compress_type}, expected 0 (stored) or 8 (deflated)"
    return None


def _size_problem(info: zipfile.ZipInfo) -> str | None:
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        return f"{info.compress_size} stored bytes, expected the {info.file_size} that are declared"
    if info.file_size > max(MIN_RATIO_BYTES, MAX_RATIO * info.compress_size):
        return (
            f"{info.file_size} bytes out of {info.compress_size}, expected at most {MAX_RATIO} for one: "
            "it looks like a zip bomb"
        )
    return None


def _check_duplicates(members: list[zipfile.ZipInfo], path: Path) -> None:
    """Names are compared as the most lenient file systems do: without case, in one Unicode form."""
    owners: dict[str, str] = {}
    for info in members:
        plain = unicodedata.normalize("NFC", str(PurePosixPath(info.filename)))
        key = unicodedata.normalize("NFC", plain.casefold())
        if key in owners:
            raise CvatExportError(
                f"{path}: {info.filename!r}: got the name of {owners[key]!r} again (case and Unicode form aside), "
                "expected each once; rename one of the images and export again"
            )
        owners[key] = info.filename


def _check_total(members: list[zipfile.ZipInfo], path: Path) -> None:
    declared = sum(info.file_size for info in members)
    stored = sum(info.compress_size for info in members)
    limit = min(MAX_TOTAL_BYTES, max(MIN_RATIO_BYTES, MAX_RATIO * stored))
    if declared > limit:
        largest = max(members, key=lambda info: info.file_size).filename
        raise CvatExportError(
            f"{path}: got {declared} bytes in {len(members)} members out of {stored}, the largest {largest!r}, "
            f"expected at most {limit}: it looks like a zip bomb; export fewer tasks at a time"
        )


def _check_overlaps(members: list[zipfile.ZipInfo], directory_offset: int, path: Path) -> None:
    """Members that share bytes make a small zip huge (Fifield, "A better zip bomb", WOOT 2019)."""
    end, before = 0, ""
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise CvatExportError(
                f"{path}: {info.filename!r}: got bytes that belong to {before!r} too, expected its own; {_ANEW}"
            )
        # Its extra field and data descriptor are not counted: their lengths are written elsewhere.
        end = info.header_offset + _LOCAL_HEADER_BYTES + len(info.orig_filename.encode()) + info.compress_size
        before = info.filename
    if end > directory_offset:
        raise CvatExportError(f"{path}: {before!r}: got a member that runs into the zip's directory; {_ANEW}")
