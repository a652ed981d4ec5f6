"""What a model's name on the command line means: those that come with the install, and those that a user has added."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from annotator.errors import AnnotatorError

Kind = Literal["detector", "pose", "one-stage"]  # one-stage: detector and pose model in one

DEFAULT_DETECTOR = "annotator-person"
DEFAULT_POSE = "annotator-pose"
NO_MODEL = "none"  # where a pose model is named: there is none yet
LARGER_INPUT = {DEFAULT_DETECTOR: "annotator-person-large"}  # the same weights: slower, and finds smaller subjects

FACTS_FILE = "model.json"

_FOLDER = Path(__file__).with_name("models")
SHIPPED = {  # name -> file
    "annotator-person": _FOLDER / "annotator-person" / "annotator-person.xml",
    "annotator-person-large": _FOLDER / "annotator-person" / "annotator-person-large.xml",
    "annotator-pose": _FOLDER / "annotator-pose" / "annotator-pose.xml",
    "annotator-pose-int8": _FOLDER / "annotator-pose" / "annotator-pose-int8.onnx",
}
CHECKPOINTS = {name: _FOLDER / name / f"{name}.ckpt" for name in (DEFAULT_DETECTOR, DEFAULT_POSE)}  # to train on from


@dataclass(frozen=True)
class ModelPlace:
    """A model by the name that records give it, and the file or folder to open."""

    name: str
    path: Path


@dataclass(frozen=True)
class ModelFacts:
    """What a list of models says of one. finds: a detector's classes, or joints. input_size: (width, height)."""

    kind: Kind
    input_size: tuple[int, int]
    finds: tuple[str, ...]
    licence: str


def find_model(spec: str | Path, other_names: tuple[str, ...] = ()) -> ModelPlace:
    """The model of that name, or else the file at that path. A name goes before a file; `./name` is the file.

    other_names: what else could have been said, for the message. Raises AnnotatorError where there is neither, and
    where a model that was added is damaged.
    """
    name = str(spec)
    if name in SHIPPED:
        return ModelPlace(name, SHIPPED[name])
    if name in added_models():
        return ModelPlace(name, read_added(name)[0])
    if not Path(spec).exists():
        there = ", ".join((*every_name(), *other_names))
        raise AnnotatorError(f"{spec}: no such file, and no model of that name; there are {there}")
    return ModelPlace(Path(spec).name, Path(spec))


def checkpoint_of(spec: str | Path) -> Path:
    """What a training begins with: the checkpoint of a shipped model of that name, or else the file itself."""
    return CHECKPOINTS.get(str(spec), Path(spec))


def is_shipped(path: Path) -> bool:
    """Whether a file is one of those that come with the install."""
    return path.resolve().is_relative_to(_FOLDER.resolve())


def added_folder() -> Path:
    """Where the models lie that a user has added: a folder each."""
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "cvat-pose-annotator" / "models"


def added_models() -> list[str]:
    """The names of the models that a user has added."""
    return sorted(file.parent.name for file in added_folder().glob(f"*/{FACTS_FILE}"))


def read_added(name: str) -> tuple[Path, ModelFacts]:
    """The file of a model that was added, and what is known of it. Raises AnnotatorError where that is damaged."""
    path = added_folder() / name / FACTS_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        file = path.with_name(content["file"])
        facts = ModelFacts(
            content["kind"], tuple(content["input_size"]), tuple(content["finds"]), str(content["licence"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AnnotatorError(
            f"{path}: cannot be read: {type(error).__name__}: {error}; remove the model by `annotator models remove "
            f"{name}` and add it again"
        ) from error
    return file, facts


def dump_added(file_name: str, facts: ModelFacts) -> str:
    """What `read_added` reads."""
    return json.dumps({"file": file_name, **asdict(facts)}, ensure_ascii=False, indent=1) + "\n"


def every_name() -> Iterator[str]:
    """Of all models: the shipped ones first."""
    yield from SHIPPED
    yield from (name for name in added_models() if name not in SHIPPED)
