"""What must be known of a model's file to use it. See docs/model-cards.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from cvat_export.errors import CvatExportError
from cvat_export.skeleton import (
    Skeleton,
    describe_skeleton,
    embedded_skeletons,
    parse_skeleton,
    read_skeleton,
)
from trainers.codecs import Activation, Alignment, Column, Decoding, Size, Unit
from trainers.errors import TrainersError
from trainers.runtimes.metadata import CARD_KEY
from trainers.strict_values import StrictPart, describe_problems

FilePrecision = Literal["f32", "f16", "int8"]  # of the weights in a model file; int8: of most activations as well
Output = int | str  # which output of the model: its place, from the end if negative, or its name
MIN_JOINT_SCORE = 0.2  # of models that name none
MIN_BOX_SCORE = 0.25  # from which boxes are proposed; detectors' scores are made to fit it
Channels = tuple[float, float, float]
Byte = Annotated[int, Field(ge=0, le=255)]
Value = TypeVar("Value")


class InputCard(StrictPart):
    """What the network takes. A pixel p of 0..255 becomes (p / scale - mean) / std, by channel of `colours`."""

    width: int = Field(gt=0, le=8192)
    height: int = Field(gt=0, le=8192)
    colours: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: Literal["float32", "uint8"] = "float32"
    scale: float = Field(default=255.0, gt=0)
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)

    @property
    def size(self) -> Size:
        """(width, height)"""
        return self.width, self.height

    @model_validator(mode="after")
    def _check(self) -> InputCard:
        if min(self.std) <= 0:
            raise ValueError(f"std: got {min(self.std)}, expected numbers above 0")
        if self.dtype == "uint8" and (self.scale, self.mean, self.std) != (255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
            raise ValueError("dtype: got uint8 with scale, mean or std; bytes go in as they are: leave these out")
        return self


class CropCard(StrictPart):
    """How a box becomes the input.

    padding: the box's sides are multiplied by it. contain: the shorter side then grows to the input's aspect;
    stretch: the box fills the input. border: RGB beyond the image.
    """

    padding: float = Field(default=1.25, gt=0, le=10)
    fit: Literal["contain", "stretch"] = "contain"
    border: tuple[Byte, Byte, Byte] = (0, 0, 0)


class HeatmapHead(StrictPart):
    """One map a joint, then `background_channels` that mean no joint. Of five dimensions the last stage counts.

    decoding: how joints are read off the maps; expected-oks wants probabilities, so a softmax.
    sigma: of the training's targets, in cells. occluded_is_negative: the peak is the largest absolute value, and a
    negative one is a joint that is hidden. visibility_output: logits (n, joints), below 0 for a hidden one.
    """

    kind: Literal["heatmap"]
    output: Output = 0
    layout: Literal["nchw", "nhwc"] = "nchw"
    alignment: Alignment  # without a default: a wrong one shifts every joint, and nothing else shows it
    decoding: Decoding = "dark"
    sigma: float = Field(default=2.0, gt=0, le=16)
    activation: Activation = "none"
    background_channels: int = Field(default=0, ge=0)
    occluded_is_negative: bool = False
    visibility_output: Output | None = None

    @model_validator(mode="after")
    def _check(self) -> HeatmapHead:
        if self.occluded_is_negative and self.activation != "none":
            raise ValueError(f"occluded_is_negative: got activation {self.activation}, after which nothing is negative")
        if self.decoding == "expected-oks" and self.activation != "softmax":
            raise ValueError(
                f"decoding: got expected-oks with activation {self.activation}, after which maps are no probabilities; "
                "write activation: softmax, or decoding: dark"
            )
        return self


class SimccHead(StrictPart):
    """Values over `split_ratio` bins a pixel. sigma: of the training's targets, in bins; a softmax's score needs it."""

    kind: Literal["simcc"]
    x_output: Output = 0
    y_output: Output = 1
    split_ratio: float = Field(default=2.0, gt=0)
    alignment: Literal["half-pixel", "stride"]
    activation: Literal["none", "softmax"] = "none"
    sigma: float = Field(default=6.0, gt=0)


class CoordinatesHead(StrictPart):
    """A row of numbers a joint, in the skeleton's order. rows: how many, where more follow that are no joints."""

    kind: Literal["coordinates"]
    output: Output = 0
    order: tuple[Column, ...]
    rows: int | None = Field(default=None, gt=0)
    unit: Unit = "fraction"
    activation: Literal["none", "sigmoid"] = "none"

    @model_validator(mode="after")
    def _check(self) -> CoordinatesHead:
        once = [name for name in self.order if name != "ignored"]
        if not {"x", "y"} <= set(once) or len(set(once)) < len(once):
            raise ValueError(f"order: got {list(self.order)}, expected x and y, and each but 'ignored' at most once")
        return self


class Calibration(StrictPart):
    """Scores that mean what they say: sigmoid((logit(score) + bias) / temperature), fitted by `annotator evaluate`."""

    temperature: float = Field(default=1.0, gt=0)
    bias: float = 0.0


def _skeleton(value: Any, info: ValidationInfo) -> Skeleton:
    """A skeleton from itself, its embedded name, its description, or a file beside the card."""
    if isinstance(value, Skeleton):
        return value
    if isinstance(value, Mapping):
        return parse_skeleton(value, where="inline")
    if not isinstance(value, str):
        raise CvatExportError(f"got {value!r}, expected a name or a mapping with the key 'joints'")
    folder = (info.context or {}).get("folder")
    if value in embedded_skeletons():
        return read_skeleton(value)
    if folder is None:  # a card inside a model knows no files
        raise CvatExportError(f"got {value!r}, expected one of {', '.join(embedded_skeletons())}, or joints")
    return read_skeleton(folder / value)


class ModelCard(StrictPart):
    """Everything that the toolkit must know of a pose model.

    flip_test: whether it may be run on mirrored crops. min_joint_score: joints scored lower are proposed as not
    labelled, where the user says nothing else. precision: None where the file does not say.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = Field(min_length=1)
    skeleton: Annotated[Skeleton, PlainValidator(_skeleton), PlainSerializer(describe_skeleton)]
    input: InputCard
    crop: CropCard = CropCard()
    head: Annotated[HeatmapHead | SimccHead | CoordinatesHead, Field(discriminator="kind")]
    flip_test: bool = True
    calibration: Calibration | None = None
    min_joint_score: float = Field(default=MIN_JOINT_SCORE, ge=0, le=1)
    precision: FilePrecision | None = None
    training_data: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    licence: str = ""

    @model_validator(mode="after")
    def _check(self) -> ModelCard:
        rows = self.head.rows if isinstance(self.head, CoordinatesHead) else None
        if rows is not None and rows < len(self.skeleton.joints):
            raise ValueError(f"head.rows: got {rows}, expected at least {len(self.skeleton.joints)}, one a joint")
        return self


class DetectorCard(StrictPart):
    """Everything that the toolkit must know of a detector that it has trained.

    Images are scaled into the input without distortion, in its middle, `border` around them. The outputs are boxes
    (n, cells, 4), x1, y1, x2, y2 in pixels of the input, and scores (n, cells) in 0..1, before any suppression.
    precision: see `ModelCard`.
    """

    task: Literal["detection"] = "detection"
    name: str = Field(min_length=1)
    category: str = Field(min_length=1)
    input: InputCard
    border: tuple[Byte, Byte, Byte] = (114, 114, 114)
    boxes_output: Output = 0
    scores_output: Output = 1
    calibration: Calibration | None = None
    precision: FilePrecision | None = None
    training_data: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    licence: str = ""


Card = ModelCard | DetectorCard


def read_card(path: Path) -> ModelCard:
    """The card in a YAML or JSON file; a skeleton's file is looked for beside it. Raises TrainersError."""
    try:
        text = path.read_text("utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise TrainersError(f"{path}: no such model card; docs/model-cards.md shows how to write one") from None
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise TrainersError(f"{path}: not a model card: cannot be read as {_language(path)}: {error}") from error
    return parse_card(content, str(path), path.parent)


def card_from_metadata(metadata: Mapping[str, str], where: str) -> Card | None:
    """The card that a model file carries, None where it carries none. Raises TrainersError where it is damaged."""
    if CARD_KEY not in metadata:
        return None
    where = f"{where}: its {CARD_KEY}"
    try:
        content = json.loads(metadata[CARD_KEY])
    except ValueError as error:
        raise TrainersError(f"{where}: cannot be read as JSON: {error}; give another with --pose-card") from error
    return _parse_detector_card(content, where) if _is_detectors(content) else parse_card(content, where)


def pose_card_from_metadata(metadata: Mapping[str, str], where: str) -> ModelCard | None:
    """As `card_from_metadata`, for those who want a pose model. Raises TrainersError for a detector."""
    card = card_from_metadata(metadata, where)
    if isinstance(card, DetectorCard):
        raise TrainersError(
            f"{where}: got a detector of {card.category!r}, expected a pose model; name it in --detection"
        )
    return card


def parse_card(content: Any, where: str, folder: Path | None = None) -> ModelCard:
    """A card from plain lists and mappings. Raises TrainersError with everything that is wrong in it."""
    if not isinstance(content, Mapping):
        raise TrainersError(f"{where}: got {type(content).__name__}, expected the keys name, skeleton, input, head")
    try:
        # By way of JSON, in which strict still lets a list be a tuple, and YAML's dates become text.
        return ModelCard.model_validate_json(json.dumps(content, default=str), context={"folder": folder})
    except CvatExportError as error:
        raise TrainersError(f"{where}: skeleton: {error}") from error
    except ValidationError as error:
        raise TrainersError(f"{where}: {describe_problems(error, ModelCard)}; see docs/model-cards.md") from error


def carries_detector_card(metadata: Mapping[str, str]) -> bool:
    """Whether a file says that it is a detector of ours, be the rest of its card right or not."""
    try:
        return _is_detectors(json.loads(metadata.get(CARD_KEY, "null")))
    except ValueError:
        return False


def _is_detectors(content: Any) -> bool:
    return isinstance(content, Mapping) and content.get("task") == "detection"


def _parse_detector_card(content: Any, where: str) -> DetectorCard:
    try:
        return DetectorCard.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise TrainersError(f"{where}: {describe_problems(error, DetectorCard)}; see docs/model-cards.md") from error


def dump_card(card: Card) -> str:
    """The card as JSON, its skeleton written out, as model files carry it: the inverse of `card_from_metadata`."""
    return card.model_dump_json(indent=2) + "\n"


def pick_output(values: Mapping[str, Value], wanted: Output, where: str) -> Value:
    """The value of the output that a card names by place or by name. Raises TrainersError where there is none."""
    if isinstance(wanted, str) and wanted in values:
        return values[wanted]
    if isinstance(wanted, int) and -len(values) <= wanted < len(values):
        return list(values.values())[wanted]
    there = ", ".join(f"{place} {name!r}" for place, name in enumerate(values))
    raise TrainersError(f"{where}: names the output {wanted!r}, but the model has {there}; name one of these")


def _language(path: Path) -> str:
    return "JSON" if path.suffix == ".json" else "YAML"
