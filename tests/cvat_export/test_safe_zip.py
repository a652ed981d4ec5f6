"""Each attack that a zip can carry is refused, with its name; real exports pass."""

import io
import stat
import struct
import tracemalloc
import unicodedata
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvat_export import safe_zip
from cvat_export.coco import read_coco
from cvat_export.errors import CvatExportError
from cvat_export.safe_zip import name_problem, open_zip

# Offsets in an entry of the central directory (APPNOTE.TXT, 4.3.12).
FLAGS, METHOD, CRC, STORED, SIZE, ATTRIBUTES, OFFSET = 8, 10, 16, 20, 24, 38, 42


def _zip(tmp_path, members, method=zipfile.ZIP_DEFLATED):
    """members: (name or ZipInfo, content)."""
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content, None if isinstance(name, zipfile.ZipInfo) else method)
    return path


def _patch(path, offset, layout, value, entry=0):
    """Overwrites a field of the nth directory entry."""
    content = bytearray(path.read_bytes())
    start = -1
    for _ in range(entry + 1):
        start = content.index(b"PK\x01\x02", start + 1)
    struct.pack_into(layout, content, start + offset, value)
    path.write_bytes(content)
    return path


def _refused(path, *words):
    """By the directory alone, before anything is read."""
    with pytest.raises(CvatExportError) as caught:
        open_zip(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def _refused_reading(path, *words):
    with open_zip(path) as archive, pytest.raises(CvatExportError) as caught:
        for name in archive.names:
            archive.read(name)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_members_are_read_whole_and_in_pieces(tmp_path):
    content = bytes(range(256)) * 10_000
    path = _zip(tmp_path, [("annotations/", b""), ("annotations/ä.json", content), ("b.txt", b"")])
    with open_zip(path) as archive:
        assert archive.names == ("annotations/ä.json", "b.txt")
        assert archive.read("annotations/ä.json") == content
        assert b"".join(archive.stream("annotations/ä.json")) == content
        assert archive.read("b.txt") == b""
        with pytest.raises(CvatExportError, match="'c': no such member"):
            archive.read("c")


@pytest.mark.shared_data
def test_real_exports_pass(shared_data):
    found = sorted((shared_data / "cvat").glob("exported_*.zip"))
    assert found
    for path in found:
        with open_zip(path) as archive, zipfile.ZipFile(path) as oracle:
            assert list(archive.names) == oracle.namelist()
            assert [archive.read(name) for name in archive.names] == [oracle.read(name) for name in archive.names]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/etc/passwd", "an absolute path"),
        ("C:/x.json", "a drive letter"),
        ("c:x.json", "a drive letter"),
        ("a/../../x.json", "'..'"),
        ("..", "'..'"),
        ("a\\x.json", "a backslash"),
        ("\\\\server\\x", "a backslash"),
        ("a\nb.json", "control characters"),
        ("a\x1b[31m.json", "control characters"),
        ("a\x7f", "control characters"),
        ("a\u2028b", "control characters"),
        ("", "an empty name"),
    ],
)
def test_names(tmp_path, name, problem):
    assert problem in name_problem(name)
    if name:
        _refused(_zip(tmp_path, [("ok.json", b"{}"), (name, b"")]), repr(name), problem, "zip its folder anew")


@pytest.mark.parametrize("name", ["a.json", "кадр 名前 é😀.jpg", "a..b/c...jpg", "./a", "ab:c", "a/\u200d"])
def test_names_that_people_use(name):
    assert name_problem(name) is None


def test_a_name_cut_short_by_a_nul_is_seen_whole(tmp_path):
    path = _zip(tmp_path, [("a.jsonX.exe", b"")])
    path.write_bytes(path.read_bytes().replace(b"jsonX", b"json\0"))
    _refused(path, "control characters")


@pytest.mark.parametrize("flagged", [True, False])
def test_names_that_are_not_utf8(tmp_path, flagged):
    path = _zip(tmp_path, [("aé.json", b"")])
    content = path.read_bytes().replace("é".encode(), b"\x82\x83")
    path.write_bytes(content)
    if not flagged:
        _patch(path, FLAGS, "<H", 0)
    _refused(path, "not UTF-8")


def test_utf8_names_without_the_flag_are_read(tmp_path):
    path = _zip(tmp_path, [("aé.json", b"{}")])
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<HH", 0x800, 8), struct.pack("<HH", 0, 8)))
    with open_zip(path) as archive:
        assert archive.read("aé.json") == b"{}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.json", "a.json"),
        ("a.json", "A.JSON"),
        ("straße.json", "STRASSE.json"),
        ("é.json", unicodedata.normalize("NFD", "é.json")),
        ("É.json", unicodedata.normalize("NFD", "é.json")),
        ("a/b", "a//b"),
        ("a/b", "a/./b"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names(tmp_path, first, second):
    _refused(_zip(tmp_path, [(first, b"1"), (second, b"2")]), repr(second), repr(first), "again")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (stat.S_IFLNK, "a symbolic link"),
        (stat.S_IFIFO, "a special file"),
        (stat.S_IFCHR, "a special file"),
        (stat.S_IFBLK, "a special file"),
        (stat.S_IFSOCK, "a special file"),
    ],
)
def test_links_and_special_files(tmp_path, kind, words):
    info = zipfile.ZipInfo("annotations/a.json")
    info.external_attr = (kind | 0o777) << 16
    _refused(_zip(tmp_path, [(info, b"/etc/passwd")]), "'annotations/a.json'", words)


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x2001])
def test_encrypted_members(tmp_path, flag):
    _refused(_patch(_zip(tmp_path, [("a.json", b"{}")]), FLAGS, "<H", flag), "'a.json'", "got an encrypted member")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(tmp_path, method):
    _refused(_zip(tmp_path, [("a.json", b"{}")], method), "'a.json'", f"compression method {method}")


def test_a_bomb_by_ratio(tmp_path):
    path = _zip(tmp_path, [("a.json", bytes(safe_zip.MIN_RATIO_BYTES + 1))])
    _refused(path, "'a.json'", "zip bomb")


def test_a_bomb_of_many_small_members(tmp_path):
    content = bytes(safe_zip.MIN_RATIO_BYTES // 4)
    _refused(_zip(tmp_path, [(f"{number}.json", content) for number in range(5)]), "5 members", "zip bomb")


def test_labels_of_133_joints_that_are_all_outside_are_no_bomb(tmp_path):
    row = b'{"id":1,"bbox":[0.0,0.0,0.0,0.0],"keypoints":[' + b"0.0,0.0,0," * 133 + b"]},"
    content = row * (2 * safe_zip.MIN_RATIO_BYTES // len(row))
    with open_zip(_zip(tmp_path, [("a.json", content)])) as archive:
        assert len(archive.read("a.json")) == len(content)


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MAX_MEMBERS", 1, "got 2 members, expected at most 1"),
        ("MAX_TOTAL_BYTES", 19, "got 20 bytes in 2 members"),
        ("MAX_READ_BYTES", 19, "got more than 19 bytes to hold in memory"),
    ],
)
def test_limits(tmp_path, monkeypatch, limit, value, words):
    path = _zip(tmp_path, [("a.json", b"0123456789"), ("b.json", b"0123456789")])
    monkeypatch.setattr(safe_zip, limit, value + 1)
    with open_zip(path) as archive:
        assert [archive.read(name) for name in archive.names] == [b"0123456789"] * 2
    monkeypatch.setattr(safe_zip, limit, value)
    (_refused_reading if limit == "MAX_READ_BYTES" else _refused)(path, words)


def test_declared_sizes_past_the_limit(tmp_path):
    path = _zip(tmp_path, [("a.json", b"{}")])
    _refused(_patch(path, SIZE, "<I", 0xFFFFFFF0), "'a.json'", "4294967280 bytes out of")


@pytest.mark.parametrize("declared", [100_000, 99_999, 1, 0])
@pytest.mark.parametrize("crc", ["of all", "of the declared", "of one more"])
def test_a_header_that_declares_too_little(tmp_path, declared, crc):
    content = bytes(range(200)) * 1_000
    path = _patch(_zip(tmp_path, [("a.json", content)]), SIZE, "<I", declared)
    covered = {"of all": content, "of the declared": content[:declared], "of one more": content[: declared + 1]}[crc]
    _refused_reading(_patch(path, CRC, "<I", zlib.crc32(covered)), "'a.json'", "not what the directory declares")


def test_a_header_that_declares_too_much(tmp_path):
    path = _zip(tmp_path, [("a.json", b"0123456789" * 10)])
    _refused_reading(_patch(path, SIZE, "<I", 101), "'a.json'", "got content", "100 bytes")


def test_a_lie_is_found_before_the_memory_is_full(tmp_path):
    path = _patch(_zip(tmp_path, [("a.json", bytes(64 << 20))]), SIZE, "<I", 10)
    tracemalloc.start()
    try:
        _refused_reading(path, "not what the directory declares")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_stored_members_have_one_size(tmp_path):
    path = _zip(tmp_path, [("a.json", b"0123456789")], zipfile.ZIP_STORED)
    _refused(_patch(path, SIZE, "<I", 9), "'a.json'", "10 stored bytes, expected the 9")


def test_broken_content(tmp_path):
    path = _zip(tmp_path, [("a.json", b"0123456789")], zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456780"))
    _refused_reading(path, "'a.json'", "not what the directory declares", "CRC")


def test_broken_compression(tmp_path):
    path = _zip(tmp_path, [("a.json", b"0123456789")])
    content = bytearray(path.read_bytes())
    content[36:40] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    _refused_reading(path, "'a.json'")


def test_members_that_share_bytes(tmp_path):
    path = _zip(tmp_path, [("a.json", b"0123456789" * 10), ("b.json", b"0123456789" * 10)])
    _refused(_patch(path, OFFSET, "<I", 0, entry=1), "'b.json'", "'a.json'", "belong to")


def test_a_member_that_runs_into_the_directory(tmp_path):
    path = _zip(tmp_path, [("a.json", b"0123456789")])
    _refused(_patch(path, STORED, "<I", 500), "'a.json'", "directory")


def test_a_name_that_differs_in_the_member_itself(tmp_path):
    path = _zip(tmp_path, [("a.json", b"{}")])
    path.write_bytes(path.read_bytes().replace(b"a.json", b"b.json", 1))
    _refused_reading(path, "'a.json'")


def test_nested_zips_are_bytes(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("../evil", b"")
    with open_zip(_zip(tmp_path, [("inner.zip", inner.getvalue())])) as archive:
        assert archive.names == ("inner.zip",)


def test_bytes_before_the_zip_are_allowed(tmp_path):
    path = _zip(tmp_path, [("a.json", b"{}"), ("b.json", b"[]")])
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    with open_zip(path) as archive:
        assert archive.read("b.json") == b"[]"


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18])
def test_files_that_are_no_zip(tmp_path, content):
    path = tmp_path / "export.zip"
    path.write_bytes(content)
    if content == b"PK\x05\x06" + bytes(18):
        with open_zip(path) as archive:
            assert archive.names == ()
    else:
        _refused(path, "broken zip")


def test_a_missing_file_and_a_folder(tmp_path):
    _refused(tmp_path / "nowhere.zip", "no such file")
    _refused(tmp_path, "broken zip")


def test_coco_is_read_through_it(tmp_path):
    info = zipfile.ZipInfo("images/a.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = _zip(tmp_path, [("annotations/person_keypoints_default.json", b"{}"), (info, b"/etc/passwd")])
    with pytest.raises(CvatExportError, match="symbolic link"):
        read_coco(path)


@pytest.fixture(scope="module")
def mutable(tmp_path_factory):
    return tmp_path_factory.mktemp("mutations")


@given(st.data())
def test_mutations_are_read_or_refused(mutable, data):
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    content = {"annotations/a.json": b'{"a": 1}' * 5, "é.xml": b"<a/>", "empty": b""}
    path = _zip(mutable, content.items(), method)
    changed = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed[: data.draw(st.integers(len(changed) // 2, len(changed)))])
    try:
        with open_zip(path) as archive:
            found = {archive.read(name) for name in archive.names}
    except CvatExportError:
        return
    assert found <= {*content.values()}  # CRC-32 finds every change of a few bytes
