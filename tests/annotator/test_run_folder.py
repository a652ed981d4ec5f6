"""A folder belongs to one run at a time, and says what differs."""

import subprocess
import sys

import pytest

from annotator.errors import AnnotatorError
from annotator.run_folder import RUN_FILE, RunFolder


def _folder(tmp_path, **plan):
    out = tmp_path / "out"
    return RunFolder(out, {"pose": "a", **plan}, (out / "images", tmp_path / "out.zip"))


def _begin(folder, overwrite=False):
    with folder.locked(overwrite):
        pass


def test_shards_are_remembered_until_the_end(tmp_path):
    folder = _folder(tmp_path)
    with folder.locked(False):
        folder.write_shard(1, {"rows": ["b"]})
        folder.write_shard(0, {"rows": ["a"]})
    with folder.locked(False):
        assert folder.done_shards() == {0, 1}
        assert [shard["rows"] for shard in folder.shards()] == [["a"], ["b"]]
        assert not folder.finished
        folder.finish()
    assert folder.finished
    assert [path.name for path in folder.path.iterdir()] == [RUN_FILE]


def test_other_options_are_refused_by_name(tmp_path):
    _begin(_folder(tmp_path, iou=0.7))
    with pytest.raises(AnnotatorError, match=r"unfinished run with other options: iou: was 0\.7, is 0\.5"):
        _begin(_folder(tmp_path, iou=0.5))


def test_overwrite_removes_what_a_run_wrote_and_nothing_else(tmp_path):
    folder = _folder(tmp_path)
    _begin(folder)
    (folder.path / "images").mkdir()
    (folder.path / "images" / "a.jpg").touch()
    (folder.path / "notes.txt").touch()
    (tmp_path / "out.zip").touch()
    _begin(_folder(tmp_path, pose="b"), overwrite=True)
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", ".shards", "notes.txt", RUN_FILE]
    assert not (tmp_path / "out.zip").exists()


def test_a_removal_that_died_is_completed(tmp_path):
    folder = _folder(tmp_path)
    _begin(folder)
    (folder.path / RUN_FILE).write_text('{"removing": true}')
    (folder.path / "images").mkdir()
    _begin(folder)
    assert not (folder.path / "images").exists()


def test_a_strangers_folder_is_left_alone(tmp_path):
    folder = _folder(tmp_path)
    folder.path.mkdir()
    (folder.path / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(AnnotatorError, match=r"thesis\.tex"):
            _begin(folder, overwrite)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(AnnotatorError, match="is a file"):
        _begin(_folder(tmp_path))


def test_parts_of_a_killed_writer_are_removed(tmp_path):
    folder = _folder(tmp_path)
    _begin(folder)
    (tmp_path / ".out.zip.abc.part").touch()
    (folder.path / ".predictions.jsonl.abc.part").touch()
    (tmp_path / ".other.zip.abc.part").touch()
    _begin(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".other.zip.abc.part"}
    assert not list(folder.path.glob(".*.part"))


def test_the_second_of_two_is_told(tmp_path):
    code = (
        "import sys; from pathlib import Path; from annotator.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1]), {'pose': 'a'}, ()).locked(False):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(AnnotatorError, match="another run is writing"):
            _begin(_folder(tmp_path))
        other.stdin.close()
    _begin(_folder(tmp_path))
