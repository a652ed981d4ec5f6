"""What a project has done, in SQLite: a row a step, a row a frame. Written before and after each step."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import platform
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from sys import intern
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from annotator.errors import AnnotatorError

Embeddings = npt.NDArray[np.float32]  # (n, size)

JOURNAL_FILE = "journal.sqlite"
State = Literal["running", "waiting", "failed", "done", "undone"]
Role = Literal["pool", "evaluation", "selected"]

_LOCK_FILE = "lock"
_VERSION = 1
_SCHEMA = """
CREATE TABLE steps (
  round INTEGER NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
  folder TEXT NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL, figures TEXT NOT NULL, error TEXT,
  started REAL NOT NULL, ended REAL, process TEXT NOT NULL,
  PRIMARY KEY (round, place, attempt)
) WITHOUT ROWID;
CREATE TABLE frames (
  sha256 TEXT NOT NULL, pts INTEGER NOT NULL, file TEXT NOT NULL, seconds REAL, role TEXT NOT NULL, round INTEGER,
  vector BLOB, PRIMARY KEY (sha256, pts)
);
CREATE INDEX frames_by_role ON frames (role, round);
"""


@dataclass(frozen=True)
class StepRow:
    """A step of a round. place: its number among the steps. attempt: counted from 1, a new one for other inputs.

    folder: below the project, what it writes into. inputs: name -> value or hash, all that it depends on. outputs: file
    below the project -> sha256. figures: what came of it. process: where and as which process it ran.
    """

    round: int
    place: int
    name: str
    attempt: int
    state: State
    folder: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, str]
    figures: Mapping[str, Any]
    error: str | None
    started: float
    ended: float | None
    process: str

    @property
    def seconds(self) -> float | None:
        """That it took; None while it is not over."""
        return None if self.ended is None else self.ended - self.started


@dataclass(frozen=True)
class FrameRow:
    """A frame that may be shown to people. seconds: since its video began, None for images.

    role: what it is for; round: in which round it was selected.
    """

    sha256: str
    pts: int
    file: str
    seconds: float | None
    role: Role = "pool"
    round: int | None = None

    @property
    def key(self) -> tuple[str, int]:
        """The same on any machine."""
        return self.sha256, self.pts


class Journal:
    """The journal in a folder, made if there is none. Every change is on the disk when a call returns.

    Raises AnnotatorError where the file is no journal of ours.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path = folder, folder / JOURNAL_FILE
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._open()
        except sqlite3.DatabaseError as error:
            raise AnnotatorError(f"{self.path}: is no journal, or damaged: {error}; bring back a copy of it") from error

    def _open(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            with self._transaction():
                if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'steps'").fetchone():
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise AnnotatorError(
                f"{self.path}: was written by another version (journal {version}, expected {_VERSION}); use that one"
            )

    def close(self) -> None:
        """End the connection; the write-ahead log goes into the file."""
        self._db.close()

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Keep others out. Raises AnnotatorError that says who holds the lock."""
        with (self.folder / _LOCK_FILE).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                holder = lock.read().strip() or "somebody who has not said so yet"
                raise AnnotatorError(f"{self.folder.parent}: in use by {holder}; wait until that has ended") from None
            lock.truncate(0)
            lock.write(f"`{what}`, {this_process()}, since {datetime.now():%Y-%m-%d %H:%M:%S}")
            lock.flush()
            yield
            lock.truncate(0)

    def steps(self, round_number: int | None = None) -> list[StepRow]:
        """All rows, or those of one round, in order."""
        where, values = ("", ()) if round_number is None else ("WHERE round = ?", (round_number,))
        rows = self._db.execute(f"SELECT * FROM steps {where} ORDER BY round, place, attempt", values)
        return [_step(row) for row in rows]

    def begin(self, row: StepRow) -> None:
        """Write a step down before it runs; an earlier go of the same attempt makes room."""
        values = (
            *(row.round, row.place, row.name, row.attempt, row.state, row.folder, _json(row.inputs)),
            *(_json(row.outputs), _json(row.figures), row.error, row.started, row.ended, row.process),
        )
        with self._transaction():
            self._db.execute(f"INSERT OR REPLACE INTO steps VALUES ({', '.join('?' * len(values))})", values)

    def end(
        self,
        row: StepRow,
        state: State,
        outputs: Mapping[str, str],
        figures: Mapping[str, Any],
        frames: Iterable[FrameRow] = (),
        error: str | None = None,
    ) -> None:
        """Write down how a step ended, and the frames that it brought or gave another role, both or neither."""
        with self._transaction():
            self._put_frames(frames)
            self._db.execute(
                "UPDATE steps SET state = ?, outputs = ?, figures = ?, error = ?, ended = ? "
                "WHERE round = ? AND place = ? AND attempt = ?",
                (state, _json(outputs), _json(figures), error, time.time(), row.round, row.place, row.attempt),
            )

    def undo(self, row: StepRow) -> None:
        """Take a step back: its row and files stay, frames that it selected may be selected again."""
        with self._transaction():
            self._db.execute(
                "UPDATE steps SET state = 'undone' WHERE round = ? AND place = ? AND attempt = ?",
                (row.round, row.place, row.attempt),
            )
            if row.name == "choose":
                self._db.execute(
                    "UPDATE frames SET role = 'pool', round = NULL WHERE role = 'selected' AND round = ?", (row.round,)
                )

    def frames(self, role: Role | None = None) -> list[FrameRow]:
        """All frames, or those of one role, by source and time."""
        where, values = ("", ()) if role is None else ("WHERE role = ?", (role,))
        query = f"SELECT sha256, pts, file, seconds, role, round FROM frames {where} ORDER BY sha256, pts"
        return [FrameRow(*row) for row in self._db.execute(query, values)]

    def frame_counts(self) -> dict[str, int]:
        """How many frames have each role."""
        return dict(self._db.execute("SELECT role, count(*) FROM frames GROUP BY role ORDER BY role"))

    def put_vectors(self, keys: Sequence[tuple[str, int]], vectors: Embeddings) -> None:
        """Keep what frames look like, one row of `vectors` (n, size) float32 a frame."""
        rows = ((vector.astype("<f4").tobytes(), *key) for key, vector in zip(keys, vectors, strict=True))
        with self._transaction():
            self._db.executemany("UPDATE frames SET vector = ? WHERE sha256 = ? AND pts = ?", rows)

    def vectors(self) -> tuple[list[tuple[str, int]], list[str], Embeddings]:
        """Keys and roles of the frames of which it is known what they look like, and that: (n, size) float32."""
        query = "SELECT sha256, pts, role, vector FROM frames WHERE vector IS NOT NULL ORDER BY sha256, pts"
        (count,) = self._db.execute("SELECT count(vector) FROM frames").fetchone()
        keys: list[tuple[str, int]] = []
        roles: list[str] = []
        vectors = np.zeros((0, 0), np.float32)
        for row, (sha256, pts, role, content) in enumerate(self._db.execute(query)):
            if not row:
                vectors = np.empty((count, len(content) // 4), np.float32)
            vectors[row] = np.frombuffer(content, "<f4")
            keys.append((intern(sha256), pts))  # one string a video, not one a frame
            roles.append(intern(role))
        return keys, roles, vectors

    def _put_frames(self, frames: Iterable[FrameRow]) -> None:
        """Known frames keep what they look like; those of the pool keep the role that they have."""
        for role, rows in groupby(frames, key=lambda frame: frame.role):
            changed = ("file",) if role == "pool" else ("role", "round")
            self._db.executemany(
                f"INSERT INTO frames (sha256, pts, file, seconds, role, round) VALUES (?, ?, ?, ?, ?, ?) "
                f"ON CONFLICT (sha256, pts) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)}",
                ((row.sha256, row.pts, row.file, row.seconds, row.role, row.round) for row in rows),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def this_process() -> str:
    """`process 123 of ana on lab2`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user on this system
        user = str(os.getuid())
    return f"process {os.getpid()} of {user} on {platform.node()}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)


def _step(row: Sequence[Any]) -> StepRow:
    number, place, name, attempt, state, folder, inputs, outputs, figures, *rest = row
    texts = (json.loads(text) for text in (inputs, outputs, figures))
    return StepRow(number, place, name, attempt, state, folder, *texts, *rest)
