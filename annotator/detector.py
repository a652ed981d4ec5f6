"""Image -> Boxes: what a detector is, and which one a name on the command line means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from annotator.errors import AnnotatorError
from annotator.named_models import find_model
from cvat_export.labels import Boxes, FloatArray
from trainers.model_card import MIN_BOX_SCORE
from trainers.runtimes import Execution, Session

BUILT_IN_DETECTORS = ("hog", "full-frame")
RgbImage = npt.NDArray[np.uint8]  # (height, width, 3), upright


@dataclass(frozen=True)
class DetectionOptions:
    """What a user may ask of any detector.

    classes: names or indices to keep; if empty, `person` where the model knows that class, else all.
    iou: overlap above which the worse of two boxes is dropped. min_size_px: the shorter side a box must have.
    max_subjects: the best n of an image, None for all.
    """

    classes: tuple[str, ...] = ()
    min_score: float = MIN_BOX_SCORE
    iou: float = 0.7
    max_subjects: int | None = None
    min_size_px: float = 0.0


class Detector(Protocol):
    """Finds subjects. `prepare` may run in any thread, several at once; `detect` in one thread at a time."""

    name: str  # what predictions.jsonl and the report call it
    sha256: str | None  # of the model file; None where there is none

    @property
    def session(self) -> Session | None:
        """What executes the model file; None where there is none."""
        ...

    def prepare(self, file_name: str, image: RgbImage) -> Any:
        """All work on one image that needs no model: letterboxing, scaling, looking up."""
        ...

    def detect(self, prepared: Sequence[Any]) -> list[Boxes]:
        """Boxes in pixels of the original images, one `Boxes` an image, filtered by the options, best first."""
        ...


def detect_image(detector: Detector, file_name: str, image: RgbImage) -> Boxes:
    """The boxes of a single image, for those who have no stream of them."""
    return detector.detect([detector.prepare(file_name, image)])[0]


def load_detector(spec: str, options: DetectionOptions, execution: Execution) -> Detector:
    """The detector that `spec` names: `hog`, `full-frame`, a COCO .json whose boxes are used, a model's name or file.

    Raises AnnotatorError, CvatExportError or TrainersError before any image is touched.
    """
    if spec == "hog":
        from annotator.detectors.hog import HogDetector

        return HogDetector(options)
    if spec == "full-frame":
        from annotator.detectors.full_frame import FullFrameDetector

        return FullFrameDetector()
    place = find_model(spec, other_names=BUILT_IN_DETECTORS)
    if place.path.suffix == ".json":
        from annotator.detectors.coco_boxes import load_coco_boxes

        return load_coco_boxes(place.path, options)
    from annotator.detectors.model_file import load_model_file

    return load_model_file(place, options, execution)


def select_classes(available: Sequence[str], wanted: Sequence[str], where: str) -> tuple[int, ...]:
    """Indices of the classes to keep, see `DetectionOptions.classes`. Raises AnnotatorError for an unknown one."""
    by_name = {name.casefold(): index for index, name in reversed(list(enumerate(available)))}
    if not wanted:
        return (by_name["person"],) if "person" in by_name else tuple(range(len(available)))
    kept = []
    for name in wanted:
        index = by_name.get(name.casefold(), int(name) if name.isdecimal() else len(available))
        if index >= len(available):
            shown = ", ".join(available[:20]) + (", …" if len(available) > 20 else "")
            raise AnnotatorError(f"{where}: class {name!r}: the {len(available)} classes are {shown}")
        kept.append(index)
    return tuple(sorted(set(kept)))


def keep_wanted(boxes: Boxes, size: tuple[int, int], options: DetectionOptions) -> Boxes:
    """Boxes clipped to an image of `size` (width, height), filtered by `indices_wanted`."""
    bbox_xyxy = boxes.bbox_xyxy.clip(0, np.array(size * 2, np.float32))
    clipped = Boxes(bbox_xyxy, boxes.scores, boxes.class_names)
    return clipped.take(indices_wanted(bbox_xyxy, boxes.scores, options))


def indices_wanted(bbox_xyxy: FloatArray, scores: FloatArray, options: DetectionOptions) -> npt.NDArray[np.intp]:
    """Which clipped boxes satisfy the options' score, size and number, best first. One without area does not."""
    shorter = (bbox_xyxy[:, 2:] - bbox_xyxy[:, :2]).min(axis=1)
    wanted = np.flatnonzero((scores >= options.min_score) & (shorter > 0) & (shorter >= options.min_size_px))
    return wanted[np.argsort(-scores[wanted], kind="stable")][: options.max_subjects]
