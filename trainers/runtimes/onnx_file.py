"""The outermost fields of an ONNX file, read without any library: is it one, and what does it say of itself?

ONNX is protobuf without a magic number. Field numbers: onnx.proto3, ModelProto and StringStringEntryProto.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_VARINT, _LENGTH = 0, 2  # protobuf wire types; ModelProto uses no others
_IR_VERSION, _GRAPH, _PROPERTIES = 1, 7, 14
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_KEY, _VALUE = 1, 2


def is_onnx(path: Path) -> bool:
    """Whether the file parses as a ModelProto with a version and a graph."""
    try:
        with path.open("rb") as stream:
            fields = {number for number, _ in _fields(stream, wanted=None)}
    except ValueError:
        return False
    return {_IR_VERSION, _GRAPH} <= fields <= _MODEL_FIELDS


def read_properties(path: Path) -> dict[str, str]:
    """The `metadata_props` of an ONNX file."""
    with path.open("rb") as stream:
        entries = [dict(_fields(BytesIO(content))) for _, content in _fields(stream, wanted=_PROPERTIES) if content]
    return {entry.get(_KEY, b"").decode(): entry.get(_VALUE, b"").decode() for entry in entries}


def copy_with_property(source: BinaryIO, target: BinaryIO, key: str, value: str) -> None:
    """Copy an ONNX file field by field, with one entry of its `metadata_props` set. What else is in it stays."""
    start = source.seek(0)
    for number, content in _fields(source, wanted=_PROPERTIES):
        end = source.tell()
        is_old = number == _PROPERTIES and dict(_fields(BytesIO(content))).get(_KEY, b"").decode() == key
        if not is_old:
            source.seek(start)
            _copy(source, target, end - start)
        start = source.seek(end)
    entry = b"".join(_encoded(field, text.encode()) for field, text in ((_KEY, key), (_VALUE, value)))
    target.write(_encoded(_PROPERTIES, entry))


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    while count:
        block = source.read(min(count, 1 << 20))
        target.write(block)
        count -= len(block)


def _encoded(number: int, content: bytes) -> bytes:
    """A field that holds bytes, as protobuf writes it."""
    length, varint = len(content), b""
    while length > 0x7F:
        varint += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | _LENGTH]) + varint + bytes([length]) + content


def _fields(stream: BinaryIO, wanted: int | None = 0) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field, b"" unless `wanted` is its number or 0. ValueError: no protobuf."""
    end = stream.seek(0, 2)
    stream.seek(0)
    while stream.tell() < end:
        tag = _varint(stream)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _varint(stream)
            yield number, b""
        elif wire_type == _LENGTH and (length := _varint(stream)) <= end - stream.tell():
            if wanted in (0, number):
                yield number, stream.read(length)
            else:
                stream.seek(length, 1)
                yield number, b""
        else:
            raise ValueError("not a protobuf message")


def _varint(stream: BinaryIO) -> int:
    value = shift = 0
    while shift < 64:
        byte = stream.read(1)
        if not byte:
            raise ValueError("ends within a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    raise ValueError("a number of more than 64 bits")
