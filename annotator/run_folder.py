"""A folder that a long run fills shard by shard, so that a run that dies goes on where it stopped."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotator.errors import AnnotatorError
from cvat_export.atomic import write_text

RUN_FILE = "run.json"  # what the run was asked to do; kept as the record of how the results were made
_SHARDS = ".shards"
_LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """`path` with the run's plan (JSON values only). outputs: the names in it, and beside it, that a run makes."""

    path: Path
    plan: Mapping[str, Any]
    outputs: tuple[Path, ...]

    @contextmanager
    def locked(self, overwrite: bool) -> Iterator[None]:
        """Hold the folder, begun or continued. Raises AnnotatorError if it is another run's, or in use."""
        self._refuse_strangers()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("w")
        except OSError as error:
            raise AnnotatorError(
                f"{self.path}: cannot be written to: {error.strerror}; choose another folder"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AnnotatorError(f"{self.path}: another run is writing into it; wait for it or stop it") from None
            self._begin(overwrite)
            yield

    @property
    def finished(self) -> bool:
        """Whether everything has been written."""
        return bool(self._state().get("finished"))

    def done_shards(self) -> frozenset[int]:
        """The numbers of the shards that need not be done again."""
        return frozenset(int(file.stem) for file in (self.path / _SHARDS).glob("*.json"))

    def write_shard(self, number: int, content: Mapping[str, Any]) -> None:
        """Mark a shard as done; whatever belongs to it must have been written before."""
        write_text(self.path / _SHARDS / f"{number:08}.json", json.dumps(content, ensure_ascii=False, allow_nan=False))

    def shards(self) -> Iterator[dict[str, Any]]:
        """The content of all shards, in order, one at a time."""
        for file in sorted((self.path / _SHARDS).glob("*.json")):
            yield json.loads(file.read_text("utf-8"))

    def finish(self) -> None:
        """Record that everything has been written, and forget the shards."""
        self._write_state(finished=True)
        self._clear_traces()

    def _begin(self, overwrite: bool) -> None:
        state = self._state()
        if overwrite or state.get("removing"):
            self._remove_outputs()
            state = {}
        if state and (differences := _differences(state["plan"], self.plan)):
            kind = "finished" if state["finished"] else "unfinished"
            raise AnnotatorError(
                f"{self.path}: holds {'a' if state['finished'] else 'an'} {kind} run with other options: "
                f"{'; '.join(differences)}. Use the same options to continue it, another folder, or --overwrite"
            )
        if not state:
            self._write_state(finished=False)
        if not state.get("finished"):
            (self.path / _SHARDS).mkdir(exist_ok=True)
        else:
            self._clear_traces()
        self._remove_parts()

    def _refuse_strangers(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise AnnotatorError(f"{self.path}: is a file, expected a folder to write into")
        others = [] if (self.path / RUN_FILE).exists() else [*_entries(self.path)]
        if others:
            raise AnnotatorError(
                f"{self.path}: holds {others[0].name!r}, which no run of this command made; choose another folder"
            )

    def _remove_outputs(self) -> None:
        if (self.path / RUN_FILE).exists():
            write_text(self.path / RUN_FILE, json.dumps({"removing": True}))  # a removal that dies is completed later
        for output in (*self.outputs, self.path / _SHARDS):
            if output.is_dir():
                shutil.rmtree(output)
            else:
                output.unlink(missing_ok=True)
        (self.path / RUN_FILE).unlink(missing_ok=True)

    def _remove_parts(self) -> None:
        """Remove what an atomic writer that was killed left behind."""
        for part in self.path.rglob(".*.part"):
            part.unlink()
        for output in self.outputs:
            if output.parent != self.path:
                for part in output.parent.glob(f".{output.name}.*.part"):
                    part.unlink()

    def _clear_traces(self) -> None:
        shutil.rmtree(self.path / _SHARDS, ignore_errors=True)
        (self.path / _LOCK).unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.path / RUN_FILE).read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise AnnotatorError(f"{self.path / RUN_FILE}: is damaged: {error}; use --overwrite") from error
        return state

    def _write_state(self, finished: bool) -> None:
        text = json.dumps({"finished": finished, "plan": self.plan}, indent=1, ensure_ascii=False)
        write_text(self.path / RUN_FILE, text + "\n")


def _entries(folder: Path) -> Iterator[Path]:
    """What a person would see in the folder, and not a killed run's first traces."""
    if folder.is_dir():
        yield from (entry for entry in sorted(folder.iterdir()) if not entry.name.startswith("."))


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}: was {_show(old.get(key))}, is {_show(new.get(key))}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
