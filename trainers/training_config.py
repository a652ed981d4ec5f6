"""What a training's YAML file may say. See docs/training.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from trainers.augmentation import Augmentation, ImageAugmentation
from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.model_card import Channels, CropCard
from trainers.strict_values import StrictPart, describe_problems
from trainers.ultralytics_networks import is_ultralytics


class SourceConfig(StrictPart):
    """One file of labels. weight: how often its subjects are seen, 0.5 in every other epoch. group: see docs.

    complete: whether every subject in its images has a box. Where not, a detector learns no background there.
    """

    path: str
    images: str | None = None
    weight: float = Field(default=1.0, gt=0, le=100)
    group: str = "auto"
    complete: bool = True


class SplitConfig(StrictPart):
    """Which groups are kept for validation where no validation files are given: a share, or one fold of several."""

    validation: float = Field(default=0.15, gt=0, lt=1)
    folds: int | None = Field(default=None, ge=2)
    fold: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> SplitConfig:
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold: got {self.fold}, expected less than folds ({self.folds or 'which is not given'})")
        return self


class DataConfig(StrictPart):
    """Labels. skeleton: a name or file, that of the first source by default. cache_gb: memory for what is cut out.

    leave_out_faulty: whether images and subjects that cannot be trained on are left out, counted, instead of refused.
    """

    train: tuple[SourceConfig, ...] = Field(min_length=1)
    validation: tuple[SourceConfig, ...] = ()
    split: SplitConfig = SplitConfig()
    skeleton: str | None = None
    category: str | None = None
    teacher: str | None = None
    leave_out_faulty: bool = False
    cache_gb: float = Field(default=2.0, ge=0)

    @property
    def cache_bytes(self) -> int:
        """See `PictureCache`."""
        return int(self.cache_gb * 2**30)

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """A path alone is a source; one source needs no list."""
        sources = value if isinstance(value, list | tuple) else [value]
        return tuple({"path": source} if isinstance(source, str) else source for source in sources)


class NetworkInput(StrictPart):
    """The network's input, in pixels; the mean and standard deviation of pixels / 255 (ImageNet's by default)."""

    width: int = Field(default=192, ge=32, le=2048)
    height: int = Field(default=256, ge=32, le=2048)
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)

    @property
    def size(self) -> Size:
        """(width, height)"""
        return self.width, self.height


class TargetConfig(StrictPart):
    """What the network learns, and how its answers are read.

    sigma: of the Gaussians, in cells of the heatmap. occluded: what an occluded joint is drawn as: a position as any
    other, a negative Gaussian, or a position beside which a head learns whether it can be seen.
    decoding: how joints are read off the maps; nothing in what is learnt depends on it.
    """

    sigma: float = Field(default=2.0, gt=0, le=16)
    occluded: Literal["position", "negative", "head"] = "position"
    decoding: Literal["dark", "expected-oks"] = "dark"


class LossConfig(StrictPart):
    """What training makes small.

    hardest: only so many joints of a subject count, those with the largest loss (OHKM: Chen et al., 2018).
    joint_weights: by name, 1 where it is not said. visibility_weight: of the head's loss beside that of the maps.
    teacher_weight: share of the teacher's joints in the loss, 0 to 1.
    """

    kind: Literal["cross-entropy", "mse"] = "cross-entropy"
    hardest: int | None = Field(default=None, ge=1)
    joint_weights: dict[str, float] = Field(default_factory=dict)
    visibility_weight: float = Field(default=0.1, gt=0)
    teacher_weight: float = Field(default=0.5, ge=0, le=1)


class DetectionLossConfig(StrictPart):
    """What training makes small.

    box_weight: of the boxes' loss beside that of the scores. smallest_px: subjects of a shorter side below it, in
    pixels of the input, are neither learnt nor background.
    """

    box_weight: float = Field(default=2.0, gt=0)
    smallest_px: float = Field(default=6.0, ge=0)


class OptimizerConfig(StrictPart):
    """learning_rate: its peak. warm_up: share of steps in which it rises. clip_norm: of gradients, 0 for none."""

    kind: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["one-cycle", "cosine"] = "one-cycle"
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    clip_norm: float = Field(default=1.0, ge=0)


class ReportConfig(StrictPart):
    """pictures_every: epochs between pictures of the worst validation samples, 0 for none. trackers: see docs.

    keep: which epoch's model is kept: the one with the best validation figure, or the last, for those who test it on
    what they validate on.
    """

    keep: Literal["best", "last"] = "best"
    pictures_every: int = Field(default=10, ge=0)
    trackers: tuple[Literal["wandb", "mlflow"], ...] = ()


class RunConfig(StrictPart):
    """What every training decides, whoever carries it out.

    network: a name, or module:function of the user's own. weights: a file to start from. patience: epochs without
    progress before it stops.
    """

    task: str
    data: DataConfig
    network: str
    weights: str | None = None
    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=32, ge=2)
    patience: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    device: str = "auto"


class TrainingConfig(RunConfig):
    """What decides a training of one of our models.

    weights: also "timm" for what timm downloads. ema: decay of the averaged weights, 0 for none.
    """

    backbone: str | None = None
    network_options: dict[str, Any] = Field(default_factory=dict)
    input: NetworkInput = NetworkInput()
    optimizer: OptimizerConfig = OptimizerConfig()
    report: ReportConfig = ReportConfig()
    ema: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["auto", "f32", "bf16"] = "auto"
    compile: bool = False


class PoseConfig(TrainingConfig):
    """A top-down pose model."""

    task: Literal["pose"] = "pose"
    network: str = "lite-fpn"
    crop: CropCard = CropCard()
    target: TargetConfig = TargetConfig()
    loss: LossConfig = LossConfig()
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _check(self) -> PoseConfig:
        if self.target.occluded == "negative" and self.loss.kind != "mse":
            raise ValueError(
                f"target.occluded: got negative with loss.kind {self.loss.kind}, which has no sign; "
                "write loss.kind: mse, or target.occluded: head"
            )
        if self.target.decoding == "expected-oks" and self.loss.kind != "cross-entropy":
            raise ValueError(
                f"target.decoding: got expected-oks with loss.kind {self.loss.kind}, whose maps are no probabilities; "
                "write loss.kind: cross-entropy, or target.decoding: dark"
            )
        return self


class DetectionConfig(TrainingConfig):
    """A detector of one category."""

    task: Literal["detection"]
    network: str = "lite-detector"
    input: NetworkInput = NetworkInput(width=416, height=416)
    loss: DetectionLossConfig = DetectionLossConfig()
    augmentation: ImageAugmentation = ImageAugmentation()
    batch_size: int = Field(default=16, ge=2)

    @model_validator(mode="after")
    def _check(self) -> DetectionConfig:
        _refuse_joints(self.data)
        return self


class SquareInput(StrictPart):
    """The network's input, in pixels."""

    width: int = Field(default=640, ge=32, le=4096, multiple_of=32)
    height: int = Field(default=640, ge=32, le=4096, multiple_of=32)

    @model_validator(mode="after")
    def _check(self) -> SquareInput:
        if self.width != self.height:
            raise ValueError(
                f"height: got {self.height}, expected {self.width}, the width: Ultralytics trains on squares"
            )
        return self


class UltralyticsOptimizerConfig(StrictPart):
    """learning_rate: AdamW's; None for the optimizer and rate that Ultralytics chooses."""

    learning_rate: float | None = Field(default=None, gt=0)


class UltralyticsAugmentation(StrictPart):
    """What of Ultralytics' changes can be set: fliplr, scale, translate and mosaic, with its defaults."""

    flip_probability: float = Field(default=0.5, ge=0, le=1)
    scale: float = Field(default=0.5, ge=0, lt=1)
    shift: float = Field(default=0.1, ge=0, le=0.5)
    mosaic_probability: float = Field(default=1.0, ge=0, le=1)


class UltralyticsConfig(RunConfig):
    """A detector of one category, of an architecture of Ultralytics, trained by its package."""

    task: Literal["detection"]
    input: SquareInput = SquareInput()
    optimizer: UltralyticsOptimizerConfig = UltralyticsOptimizerConfig()
    augmentation: UltralyticsAugmentation = UltralyticsAugmentation()
    batch_size: int = Field(default=16, ge=2)

    @model_validator(mode="after")
    def _check(self) -> UltralyticsConfig:
        _refuse_joints(self.data)
        if self.data.cache_gb != DataConfig.model_fields["cache_gb"].default:
            raise ValueError("data.cache_gb: Ultralytics reads its images anew each epoch; leave it out")
        for source in (*self.data.train, *self.data.validation):
            if not source.complete:
                raise ValueError(
                    f"data: {source.path} is not complete, and Ultralytics learns background wherever no box is; take "
                    "network: lite-detector, which does not, or label everybody"
                )
            if source.weight != 1:
                raise ValueError(
                    f"data: {source.path} has the weight {source.weight}, but Ultralytics shows every image once an "
                    "epoch; leave weight out"
                )
        return self


def _refuse_joints(data: DataConfig) -> None:
    for key in ("teacher", "skeleton"):
        if getattr(data, key) is not None:
            raise ValueError(f"data.{key}: is of joints, which a detector does not learn; leave it out")


TASKS: dict[str, type[TrainingConfig]] = {"pose": PoseConfig, "detection": DetectionConfig}


def read_config(path: Path, settings: Sequence[str] = ()) -> RunConfig:
    """The config in a YAML file, with settings such as `optimizer.learning_rate=0.01` in place of what it says.

    Paths in it are relative to the working directory; the config holds them whole. Raises TrainersError.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise TrainersError(f"{path}: no such training config; docs/training.md shows one to begin with") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainersError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise TrainersError(f"{path}: got {type(content).__name__}, expected keys such as data and network")
    return parse_config(apply_settings(content, settings), str(path))


def parse_config(content: Mapping[str, Any], where: str) -> RunConfig:
    """A config from plain values. Raises TrainersError with everything that is wrong in it."""
    task = content.get("task", "pose")
    if task not in TASKS:
        raise TrainersError(f"{where}: task: got {task!r}, expected one of {', '.join(TASKS)}; see docs/training.md")
    kind = config_kind(content)
    try:
        config = kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        problems = describe_problems(error, kind)
        raise TrainersError(f"{where}: {problems}; see docs/training.md") from error
    return _with_whole_paths(config)


def config_kind(content: Mapping[str, Any]) -> type[RunConfig]:
    """What a config of this task and network has to be. task: one of TASKS, pose by default."""
    task = content.get("task", "pose")
    return UltralyticsConfig if task == "detection" and is_ultralytics(content.get("network")) else TASKS[task]


def apply_settings(content: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The content with `a.b=value` set, the value read as YAML. Raises TrainersError for another form."""
    changed: dict[str, Any] = deepcopy(dict(content))
    for setting in settings:
        key, equals, text = setting.partition("=")
        steps = key.strip().split(".")
        if not equals or not all(steps):
            raise TrainersError(f"--set {setting}: expected KEY=VALUE, as in optimizer.learning_rate=0.01")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise TrainersError(f"--set {setting}: the value cannot be read as YAML: {error}") from error
        inner = changed
        for step in steps[:-1]:
            following = inner.setdefault(step, {})
            if not isinstance(following, dict):
                raise TrainersError(f"--set {setting}: {step!r} holds {following!r} and has no keys of its own")
            inner = following
        inner[steps[-1]] = value
    return changed


def dump_config(config: RunConfig) -> str:
    """The config as YAML, every key written out: `parse_config` of it gives the same."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _with_whole_paths(config: RunConfig) -> RunConfig:
    data = config.data
    whole = data.model_copy(
        update={
            "train": tuple(map(_whole_source, data.train)),
            "validation": tuple(map(_whole_source, data.validation)),
            "teacher": _whole(data.teacher),
            "skeleton": _whole(data.skeleton) if data.skeleton and Path(data.skeleton).is_file() else data.skeleton,
        }
    )
    weights = config.weights if config.weights == "timm" else _whole(config.weights)  # the word, not a path
    return config.model_copy(update={"data": whole, "weights": weights})


def _whole_source(source: SourceConfig) -> SourceConfig:
    return source.model_copy(update={"path": _whole(source.path), "images": _whole(source.images)})


def _whole(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())
