"""Everything about one model file: what it is, who can run it, what it says of itself, and one run of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from annotator.detectors.model_file import open_model_file, recognise
from annotator.detectors.network import Family
from annotator.detectors.yolo import FAMILY as ULTRALYTICS
from annotator.detectors.yolo_card import YoloCard, read_yolo_card
from annotator.errors import AnnotatorError
from annotator.named_models import find_model
from trainers.errors import TrainersError
from trainers.model_card import Card, DetectorCard, card_from_metadata
from trainers.runtimes import Execution, Session, TensorSpec
from trainers.runtimes.formats import RUNTIMES, ModelFile, ModelFormat, hash_model, identify, model_parts

_GUESSED_SIDE_PX = 256  # of an input whose size neither the file nor its metadata tell
_TIMED_RUNS, _TIMED_SECONDS = 20, 1.0  # whichever comes first


@dataclass(frozen=True)
class Run:
    """One runtime's attempt. milliseconds: of one image, the median; None where it failed, problem says why."""

    runtime: str
    device: str = ""
    precision: str = ""
    milliseconds: float | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class ModelReport:
    """notes: what a user may have to know or do. card: None for a model that carries none."""

    path: str
    format: str
    size_bytes: int
    sha256: str
    runs: tuple[Run, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    card: Card | None = None
    notes: tuple[str, ...] = ()


def inspect_model(spec: str | Path, execution: Execution) -> ModelReport:
    """Open the model, by its name or path, with every runtime that can (or the one asked for) and run it in each.

    Raises TrainersError where the file is no model.
    """
    path = find_model(spec).path
    model = identify(path)
    runs, metadata, family = [], {}, None
    for runtime in _runtimes(model, execution):
        try:
            session = open_model_file(model, Execution(runtime, execution.device, execution.precision, execution.trust))  # type: ignore[arg-type]
            metadata, family = dict(session.metadata), recognise(session, model.format)
            runs.append(_run(session, model))
        except (TrainersError, AnnotatorError) as error:
            runs.append(Run(runtime, problem=str(error).removeprefix(f"{model.path}: ")))
    card, notes = _card(metadata, model, family)
    return ModelReport(
        path=str(path),
        format=str(model.format),
        size_bytes=sum(part.stat().st_size for part in model_parts(model)),
        sha256=hash_model(model),
        runs=tuple(runs),
        metadata=metadata,
        card=card,
        notes=tuple(notes),
    )


def _runtimes(model: ModelFile, execution: Execution) -> tuple[str, ...]:
    if execution.runtime != "auto":
        return (execution.runtime,)
    if model.format is ModelFormat.PICKLE:
        from annotator.detectors.ultralytics import OPENERS

        return tuple(OPENERS)
    return RUNTIMES[model.format]


def _run(session: Session, model: ModelFile) -> Run:
    images = _images(session, _card(session.metadata, model, None)[0], _yolo_card(session.metadata, model))
    session.run(images)
    seconds: list[float] = []
    while len(seconds) < _TIMED_RUNS and sum(seconds) < _TIMED_SECONDS:
        start = time.perf_counter()
        session.run(images)
        seconds.append(time.perf_counter() - start)
    milliseconds = round(median(seconds) * 1000, 3)
    return Run(session.runtime, session.device, session.precision, milliseconds, session.inputs, session.outputs)


def _images(session: Session, card: Card | None, yolo: YoloCard) -> npt.NDArray[np.generic]:
    """One input of the right shape; what the session leaves open comes from the metadata, else it is guessed."""
    spec = session.inputs[0]
    width, height = (card.input.size if card else yolo.imgsz) or (_GUESSED_SIDE_PX, _GUESSED_SIDE_PX)
    channels_last = (card is not None and card.input.layout == "nhwc") or spec.shape[-1:] == (3,)
    likely = (1, height, width, 3) if channels_last else (1, 3, height, width)
    shape = [size or guess for size, guess in zip(spec.shape, likely, strict=False)]
    return (np.random.default_rng(0).random(shape) * (255 if spec.dtype.kind in "iu" else 1)).astype(spec.dtype)


def _yolo_card(metadata: Mapping[str, str], model: ModelFile) -> YoloCard:
    try:
        return read_yolo_card(metadata, str(model.path))
    except AnnotatorError:  # of another task: nothing to run it by
        return YoloCard()


def _card(metadata: Mapping[str, str], model: ModelFile, family: Family | None) -> tuple[Card | None, list[str]]:
    """The embedded card, and what the file may be used for."""
    try:
        card = card_from_metadata(metadata, str(model.path))
    except TrainersError as error:
        return None, [str(error)]
    if isinstance(card, DetectorCard):
        return card, [f"a detector of {card.category!r}: use it with --detection"]
    if card:
        return card, [f"a pose model with {len(card.skeleton.joints)} joints: use it with --pose"]
    try:
        yolo = read_yolo_card(metadata, str(model.path))
    except AnnotatorError as error:
        return None, [str(error)]
    if family not in (None, ULTRALYTICS):
        return None, [f"{family.what}: use it with --detection"]
    if yolo.task is None:
        return None, ["carries no card: as a pose model it needs --pose-card card.yaml"]
    classes = ", ".join(yolo.class_names[:10]) + (", …" if len(yolo.class_names) > 10 else "")
    uses = "--pose and --detection" if yolo.task == "pose" else "--detection"
    return None, [f"an Ultralytics model (task {yolo.task}) for {classes}: use it with {uses}"]
