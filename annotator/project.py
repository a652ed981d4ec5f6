"""The project file, annotator.yaml: what a project labels, where its people work, and what a round does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, create_model, model_validator

from annotator.errors import AnnotatorError
from annotator.project_files import PROJECT_FILE, STATE_FOLDER, find_project
from cvat_export.skeleton import Skeleton, read_skeleton
from trainers.strict_values import StrictPart, describe_problems

_DECIDED = ("data", "task")  # keys of a training that the loop decides by itself
_TASKS = {"train": "pose", "detector": "detection"}
_OURS = {"keep": "last", "pictures_every": 0}  # the gate looks at what the epochs have made, so none is chosen before


TrainingPart = Literal["train", "detector"]  # of the project file: of pose models, of detectors


class CvatPart(StrictPart):
    """Where people work. finished: whose work counts, as `annotator pull --jobs` takes it."""

    project: str = Field(min_length=1)
    host: str | None = None
    organization: str | None = None
    task_size: int = Field(default=200, ge=1)
    segment_size: int = Field(default=50, ge=1)
    assignees: tuple[str, ...] = ()
    finished: Literal["accepted", "completed"] = "accepted"


class FramesPart(StrictPart):
    """Which frames people see.

    pool: of all videos together, evenly spaced; every image counts. evaluation: drawn by lot from the pool, once.
    apart_seconds: frames of the same video that lie nearer to one of these are never selected nor learnt from.
    look_at: most frames of the pool that models look at in a round.
    """

    pool: int = Field(default=2000, ge=1)
    evaluation: int = Field(default=60, ge=10)
    a_round: int = Field(default=60, ge=1)
    strategy: Literal["hybrid", "uncertain", "disagreement", "diverse", "uniform"] = "diverse"
    uniform_share: float = Field(default=0.2, ge=0, le=1)
    apart_seconds: float = Field(default=1.0, ge=0)
    look_at: int = Field(default=2000, ge=1)


class ModelsPart(StrictPart):
    """What proposes in the first round, and until a model of the project's own is better; None for nothing."""

    detection: str | None = None
    pose: str | None = None
    quality: Literal["fast", "best"] = "fast"

    @model_validator(mode="after")
    def _check(self) -> ModelsPart:
        if self.pose and not self.detection:
            raise ValueError("detection: is missing: what finds the boxes that pose looks into? full-frame, perhaps")
        return self


class GatePart(StrictPart):
    """By which figure of the evaluation set a new model must be better than the old one."""

    figure: Literal["OKS", "AP", "PCK"] = "OKS"


class ProjectConfig(StrictPart):
    """All of annotator.yaml.

    train, detector: as the config of `annotator train`, without labels; None where no detector is trained.
    """

    name: str = Field(min_length=1)
    skeleton: str
    category: str = Field(min_length=1)
    videos: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    cvat: CvatPart
    frames: FramesPart = FramesPart()
    models: ModelsPart = ModelsPart()
    train: dict[str, Any] = Field(default_factory=dict)
    detector: dict[str, Any] | None = None
    gate: GatePart = GatePart()
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> ProjectConfig:
        if not (self.videos or self.images):
            raise ValueError("videos: are missing, and so are images: name some of either")
        for part, settings in (("train", self.train), ("detector", self.detector or {})):
            if decided := [key for key in _DECIDED if key in settings]:
                raise ValueError(f"{part}.{decided[0]}: is decided by the rounds; leave it out")
        if self.models.detection is None and self.detector is None:
            raise ValueError(
                "detector: is null, and so is models.detection: what finds subjects for the pose model? Write "
                "detector: {} to train a detector, or models.detection: full-frame where a subject fills the image"
            )
        return self


@dataclass(frozen=True)
class Project:
    """A project file that was read, and the folder that it lies in."""

    root: Path
    config: ProjectConfig

    @property
    def state(self) -> Path:
        """Where records and journal lie."""
        return self.root / STATE_FOLDER

    @cached_property
    def skeleton(self) -> Skeleton:
        """The joints that are labelled. Raises CvatExportError."""
        return read_skeleton(self.skeleton_spec)

    @property
    def skeleton_spec(self) -> str:
        """As commands take it: a name, or a path that holds anywhere."""
        return self.place(self.config.skeleton)

    @property
    def training_parts(self) -> tuple[TrainingPart, ...]:
        """What is trained in a round."""
        return ("train",) if self.config.detector is None else ("train", "detector")

    def training(self, part: TrainingPart) -> dict[str, Any]:
        """What a training is asked for, but its labels. Raises AnnotatorError where its weights are not there."""
        from trainers.ultralytics_networks import is_ultralytics

        settings = {"task": _TASKS[part], **(getattr(self.config, part) or {})}
        if not is_ultralytics(settings.get("network")):
            settings["report"] = {**_OURS, **settings.get("report", {})}
        return settings | {"weights": self._weights(part, settings.get("weights"))}

    def _weights(self, part: TrainingPart, weights: str | None) -> str | None:
        """What a training begins with: a checkpoint, or `timm`."""
        from annotator.named_models import checkpoint_of

        if weights is None or weights == "timm":
            return weights
        path = checkpoint_of(self.place(weights))
        if not path.is_file():
            raise AnnotatorError(
                f"{self.root / PROJECT_FILE}: {part}.weights: {weights!r} is neither a model of the install nor a file"
            )
        return str(path)

    def place(self, spec: str) -> str:
        """A path of the project file as one that holds anywhere; names and paths that are not there stay."""
        path = self.root / spec
        return str(path) if path.exists() else spec

    def videos(self) -> list[Path]:
        """Files, folders opened, in the order of the project file and of names. Raises AnnotatorError for none."""
        from annotator.inputs import VIDEO_SUFFIXES

        found = []
        for path in self._files("videos", self.config.videos):
            inside = sorted(file for file in path.iterdir()) if path.is_dir() else [path]
            found += [file for file in inside if not path.is_dir() or file.suffix.lower() in VIDEO_SUFFIXES]
        if self.config.videos and not found:
            raise AnnotatorError(
                f"{self.root / PROJECT_FILE}: videos: none in {', '.join(self.config.videos)}; expected files such as "
                f"{', '.join(sorted(VIDEO_SUFFIXES)[:4])}"
            )
        return found

    def images(self) -> list[Path]:
        """Files or folders, likewise, for `find_inputs`."""
        return self._files("images", self.config.images)

    def _files(self, key: str, patterns: tuple[str, ...]) -> list[Path]:
        found: dict[Path, None] = {}
        for pattern in patterns:
            matches = sorted(glob(str(self.root / pattern)))
            if not matches:
                raise AnnotatorError(f"{self.root / PROJECT_FILE}: {key}: {pattern!r} names no file; correct it")
            found |= dict.fromkeys(map(Path, matches))
        return list(found)


def open_project(start: Path) -> Project:
    """The project that a folder belongs to. Raises AnnotatorError where there is none, or where its file is wrong."""
    path = find_project(start)
    if path is None:
        raise AnnotatorError(
            f"{start.absolute()}: no {PROJECT_FILE} here or above; go into a project's folder, or make one with "
            "annotator init"
        )
    return Project(path.parent, read_project(path))


def read_project(path: Path) -> ProjectConfig:
    """The content of a project file. Raises AnnotatorError with all that is wrong in it."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise AnnotatorError(f"{path}: got {type(content).__name__}, expected keys such as skeleton and cvat")
        config = ProjectConfig.model_validate_json(json.dumps(content, default=str))
        _check_training("train", config.train, path)
        if config.detector is not None:
            _check_training("detector", config.detector, path)
    except ValidationError as error:
        raise AnnotatorError(f"{path}: {describe_problems(error, ProjectConfig)}") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        raise AnnotatorError(f"{path}: is no YAML: {error}") from error
    return config


def _check_training(part: TrainingPart, settings: Mapping[str, Any], path: Path) -> None:
    from trainers.training_config import config_kind

    content = {"task": _TASKS[part], **settings, "data": {"train": ["labels.json"]}}
    fields: dict[str, Any] = {part: (config_kind(content), ...)}
    whole = create_model("whole", __base__=StrictPart, **fields)
    try:
        whole.model_validate_json(json.dumps({part: content}, default=str))
    except ValidationError as error:
        raise AnnotatorError(f"{path}: {describe_problems(error, whole)}") from error
