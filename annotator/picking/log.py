"""Each event on disk before its effect is shown, so that a process that is killed loses nothing."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import BinaryIO

from annotator.errors import AnnotatorError
from annotator.picking.session import Event, Session, event_of, replayed

LOG_FILE = "picking.jsonl"


class PickingLog:
    """The file of a session's events, one line each, held by one process at a time.

    dropped: bytes of a last line that was not written to its end, which a reader leaves out and a writer removes.
    """

    def __init__(self, path: Path) -> None:
        """Open or begin it. Raises AnnotatorError where it is in use, unreadable or damaged."""
        self.path = path
        self._stream = _locked(path)
        content = self._stream.read()
        self._end = content.rfind(b"\n") + 1
        self.dropped = len(content) - self._end
        try:
            self.session = replayed(_events(path, content[: self._end]))
        except BaseException:
            self._stream.close()
            raise

    def append(self, event: Event) -> Session:
        """Keep the event, then give the session after it; one that changes nothing is not kept.

        Raises AnnotatorError where the disk refuses it: then the session is what it was.
        """
        after = self.session.after(event)
        if after is self.session:
            return after
        line = json.dumps(event.to_json(), ensure_ascii=False).encode() + b"\n"
        try:
            self._stream.truncate(self._end)
            self._stream.seek(self._end)
            self._stream.write(line)
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise AnnotatorError(f"{self.path}: the last key could not be kept: {error.strerror}; make room") from error
        self._end += len(line)
        self.session = after
        return after

    def close(self) -> None:
        """Let others have it."""
        self._stream.close()


def refuse_if_open(path: Path) -> None:
    """Raises AnnotatorError where a page is open on that log; there need not be one."""
    if path.exists():
        _locked(path).close()


def _locked(path: Path) -> BinaryIO:
    try:
        stream = path.open("a+b")
        stream.seek(0)
    except OSError as error:
        raise AnnotatorError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise AnnotatorError(f"{path}: another page is open on this folder; finish it there or stop it") from None
    return stream


def _events(path: Path, content: bytes) -> list[Event]:
    events = []
    for number, line in enumerate(content.splitlines(), 1):
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except ValueError as error:
            raise AnnotatorError(f"{where}: not JSON: {error}; remove the line, or use --overwrite") from error
        events.append(event_of(values, where))
    return events
