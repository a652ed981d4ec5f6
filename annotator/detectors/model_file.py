"""A model file -> the detector it is, told from what it takes, gives and says of itself, never from its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from annotator.detector import DetectionOptions
from annotator.detectors import blazepose, fastestdet, trained, yolo
from annotator.detectors.network import Family, NetworkDetector
from annotator.errors import AnnotatorError
from annotator.named_models import ModelPlace
from trainers.runtimes import Execution, Session, TensorSpec, open_session
from trainers.runtimes.formats import ModelFile, ModelFormat, hash_model, identify

# The first that recognises a file has it. Ultralytics' comes last, as it takes files that tell nothing.
FAMILIES = (trained.FAMILY, fastestdet.FAMILY, blazepose.FAMILY, yolo.FAMILY)


def load_model_file(place: ModelPlace, options: DetectionOptions, execution: Execution) -> NetworkDetector:
    """Open a model and try it once.

    Raises TrainersError where the file cannot be opened, AnnotatorError where it is no detector that we know.
    """
    model = identify(place.path)
    session = open_model_file(model, execution)
    family = recognise(session, model.format)
    if family is None:
        raise AnnotatorError(_unknown(place.path, session, model.format))
    return NetworkDetector(family, session, place.name, hash_model(model), options)


def open_model_file(model: ModelFile, execution: Execution) -> Session:
    """A session, also over Ultralytics' own .pt. Raises TrainersError or AnnotatorError."""
    if model.format is ModelFormat.PICKLE:
        from annotator.detectors.ultralytics import open_ultralytics

        return open_ultralytics(model, execution)
    return open_session(model.path, execution)


def recognise(session: Session, file_format: ModelFormat) -> Family | None:
    """The family of an opened file; None where it is none of them."""
    return next((family for family in FAMILIES if family.recognises(session, file_format)), None)


def _unknown(path: Path, session: Session, file_format: ModelFormat) -> str:
    known = "; ".join(f"{family.what}: {family.signature}" for family in FAMILIES)
    if file_format is ModelFormat.TFLITE:
        advice = (
            "Ultralytics' TFLite detectors are not supported (whether their boxes are pixels or fractions differs by "
            "exporter); export the model as ONNX or OpenVINO"
        )
    else:
        advice = "export the model for one of these, or give its boxes as a COCO .json"
    return (
        f"{path}: not a detector that we know: takes {_shown(session.inputs)}, gives {_shown(session.outputs)}; "
        f"expected {known}. {advice}"
    )


def _shown(specs: Sequence[TensorSpec]) -> str:
    shapes = ("(" + ", ".join("n" if size is None else str(size) for size in spec.shape) + ")" for spec in specs)
    return ", ".join(shapes) or "what it does not say"
