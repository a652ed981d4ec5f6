"""Image -> boxes and joints: a detector with a pose model, or one model that does both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from annotator.batches import batches
from annotator.detector import DetectionOptions, Detector, RgbImage, load_detector
from annotator.detectors.network import NetworkDetector
from annotator.detectors.yolo_pose import load_one_stage
from annotator.errors import AnnotatorError
from annotator.named_models import DEFAULT_DETECTOR, DEFAULT_POSE, LARGER_INPUT, NO_MODEL
from annotator.pose_model import Crops, PoseModel, carries_pose_card, load_pose_model
from annotator.predictions import ModelIdentity
from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Boxes, Keypoints
from cvat_export.skeleton import Skeleton, read_skeleton
from trainers.model_card import MIN_JOINT_SCORE
from trainers.runtimes import Execution, Session

Quality = Literal["fast", "best"]


class PoseEstimator(Protocol):
    """Finds subjects and their joints. `prepare` and `crop` run in any thread, the others in one at a time."""

    @property
    def skeleton(self) -> Skeleton:
        """The joints of what it estimates."""
        ...

    @property
    def detection(self) -> ModelIdentity:
        """What finds the subjects."""
        ...

    @property
    def pose(self) -> ModelIdentity:
        """What finds the joints."""
        ...

    @property
    def sessions(self) -> tuple[tuple[str, Session], ...]:
        """What executes each model file, with the model's name; two files may have the same."""
        ...

    @property
    def min_joint_score(self) -> float:
        """Joints scored lower are proposed as not labelled, where the user says nothing else."""
        ...

    def prepare(self, file_name: str, image: RgbImage) -> Any:
        """All work on one image before the first model."""
        ...

    def detect(self, prepared: Sequence[Any]) -> list[Any]:
        """What was found, one value an image."""
        ...

    def crop(self, image: RgbImage, found: Any) -> Any:
        """All work on one image between the models."""
        ...

    def estimate(self, crops: Sequence[Any]) -> list[tuple[Boxes, Keypoints]]:
        """Boxes and joints, one pair an image."""
        ...


@dataclass(frozen=True)
class TwoStage:
    """A detector, then a top-down pose model on each box. skeleton: the joints wanted, matched by name."""

    detector: Detector
    model: PoseModel
    skeleton: Skeleton
    batch_size: int

    @property
    def detection(self) -> ModelIdentity:
        return ModelIdentity(self.detector.name, self.detector.sha256)

    @property
    def pose(self) -> ModelIdentity:
        return ModelIdentity(self.model.name, self.model.sha256)

    @property
    def sessions(self) -> tuple[tuple[str, Session], ...]:
        found = ((self.detector.name, self.detector.session),) if self.detector.session else ()
        return (*found, (self.model.name, self.model.session))

    @property
    def min_joint_score(self) -> float:
        return self.model.card.min_joint_score

    def prepare(self, file_name: str, image: RgbImage) -> Any:
        return self.detector.prepare(file_name, image)

    def detect(self, prepared: Sequence[Any]) -> list[Boxes]:
        return [boxes for batch in batches(prepared, self.batch_size) for boxes in self.detector.detect(batch)]

    def crop(self, image: RgbImage, found: Boxes) -> tuple[Boxes, Crops]:
        return found, self.model.prepare(image, found)

    def estimate(self, crops: Sequence[tuple[Boxes, Crops]]) -> list[tuple[Boxes, Keypoints]]:
        together = Crops.concatenate([image_crops for _, image_crops in crops])
        parts = [self.model.estimate(batch) for batch in batches(together, self.batch_size)]
        keypoints = Keypoints.concatenate(parts) if parts else Keypoints.empty(len(self.model.skeleton.joints))
        keypoints = map_joints(keypoints, self.model.skeleton, self.skeleton)
        ends = np.cumsum([0, *(len(boxes) for boxes, _ in crops)])
        return [
            (boxes, _rows(keypoints, ends[position], ends[position + 1])) for position, (boxes, _) in enumerate(crops)
        ]


@dataclass(frozen=True)
class OneStage:
    """A model that finds boxes and joints at once. skeleton: the joints wanted, matched by name."""

    model: NetworkDetector
    model_skeleton: Skeleton
    skeleton: Skeleton
    batch_size: int

    @property
    def detection(self) -> ModelIdentity:
        return ModelIdentity(self.model.name, self.model.sha256)

    @property
    def pose(self) -> ModelIdentity:
        return self.detection

    @property
    def sessions(self) -> tuple[tuple[str, Session], ...]:
        return ((self.model.name, self.model.session),)

    @property
    def min_joint_score(self) -> float:
        return MIN_JOINT_SCORE

    def prepare(self, file_name: str, image: RgbImage) -> Any:
        return self.model.prepare(file_name, image)

    def detect(self, prepared: Sequence[Any]) -> list[tuple[Boxes, Keypoints]]:
        return [found for batch in batches(prepared, self.batch_size) for found in self.model.detect_poses(batch)]

    def crop(self, image: RgbImage, found: tuple[Boxes, Keypoints]) -> tuple[Boxes, Keypoints]:
        return found

    def estimate(self, crops: Sequence[tuple[Boxes, Keypoints]]) -> list[tuple[Boxes, Keypoints]]:
        return [(boxes, map_joints(keypoints, self.model_skeleton, self.skeleton)) for boxes, keypoints in crops]


@dataclass(frozen=True)
class Nobody:
    """No model yet: nothing is proposed, and people begin with nothing. skeleton: the joints wanted."""

    skeleton: Skeleton
    sessions: tuple[tuple[str, Session], ...] = ()
    min_joint_score: float = MIN_JOINT_SCORE

    @property
    def detection(self) -> ModelIdentity:
        return ModelIdentity(NO_MODEL, None)

    @property
    def pose(self) -> ModelIdentity:
        return self.detection

    def prepare(self, file_name: str, image: RgbImage) -> None:
        return None

    def detect(self, prepared: Sequence[None]) -> list[None]:
        return list(prepared)

    def crop(self, image: RgbImage, found: None) -> None:
        return None

    def estimate(self, crops: Sequence[None]) -> list[tuple[Boxes, Keypoints]]:
        return [(Boxes.empty(), Keypoints.empty(len(self.skeleton.joints))) for _ in crops]


@dataclass(frozen=True)
class EstimatorOptions:
    """Which models, and how they are run. skeleton: itself, a name or a file; None for the pose model's own joints.

    pose: "none" where there is no model yet.

    detection: None for a pose model that finds subjects by itself, and for any other the detector that comes with the
    install; the same as `pose` for the former alone. quality: best is the flip test, where the card allows it, and
    the detector's larger input, where there is one.
    """

    detection: str | None = None
    pose: str = DEFAULT_POSE
    pose_card: Path | None = None
    skeleton: Skeleton | str | None = None
    flip_test: bool = False
    quality: Quality = "fast"
    batch_size: int = 8
    boxes: DetectionOptions = DetectionOptions()
    execution: Execution = Execution()


def load_estimator(options: EstimatorOptions) -> PoseEstimator:
    """Load the models. Raises AnnotatorError or TrainersError before any work if they cannot do the job."""
    wanted = read_skeleton(options.skeleton) if isinstance(options.skeleton, str) else options.skeleton
    if options.pose == NO_MODEL:
        return _load_nobody(options, wanted)
    if options.detection == options.pose or (options.detection is None and not _is_top_down(options)):
        return _load_one_stage(options, wanted)
    detection = options.detection or DEFAULT_DETECTOR
    if options.quality == "best":
        detection = LARGER_INPUT.get(detection, detection)
    detector = load_detector(detection, options.boxes, options.execution)
    model = load_pose_model(options.pose, options.pose_card, options.execution, options.flip_test)
    if options.quality == "best":
        model = replace(model, flip_test=model.card.flip_test)
    return TwoStage(detector, model, _labelled(model.skeleton, wanted, options.pose), options.batch_size)


def _load_nobody(options: EstimatorOptions, wanted: Skeleton | None) -> Nobody:
    if wanted is None:
        raise AnnotatorError("--pose none proposes nothing; say with --skeleton which joints people are to label")
    if options.detection is not None or options.pose_card is not None:
        raise AnnotatorError("--pose none proposes nothing; leave --detection and --pose-card out")
    return Nobody(wanted)


def _is_top_down(options: EstimatorOptions) -> bool:
    return options.pose_card is not None or carries_pose_card(options.pose)


def _load_one_stage(options: EstimatorOptions, wanted: Skeleton | None) -> OneStage:
    try:
        model = load_one_stage(options.pose, options.boxes, options.execution)
    except AnnotatorError as error:
        raise AnnotatorError(
            f"{error}. A --pose model without a card must be an Ultralytics pose model, which finds people by itself; "
            "for any other give its card with --pose-card, see docs/model-cards.md"
        ) from error
    if options.flip_test or options.pose_card:
        raise AnnotatorError(f"{options.pose}: --flip-test and --pose-card are for top-down pose models only")
    own = _one_stage_skeleton(model, wanted, options.pose)
    return OneStage(model, own, _labelled(own, wanted, options.pose), options.batch_size)


def _one_stage_skeleton(model: NetworkDetector, wanted: Skeleton | None, where: str) -> Skeleton:
    """The joints of a model that does not name them: COCO's if there are 17, else in the order of --skeleton."""
    if model.joint_count == 17:
        return read_skeleton("coco17")
    if wanted is None or len(wanted.joints) != model.joint_count:
        got = "none" if wanted is None else f"{wanted.name} with {len(wanted.joints)}"
        raise AnnotatorError(
            f"{where}: has {model.joint_count} joints without names; expected --skeleton with as many, got {got}"
        )
    return wanted


def _labelled(own: Skeleton, wanted: Skeleton | None, where: str) -> Skeleton:
    if wanted is None:
        return own
    if all(source is None for source in wanted.sources_in(own)):
        raise AnnotatorError(
            f"{where}: none of its joints ({', '.join(own.joints)}) has a name of skeleton {wanted.name} "
            f"({', '.join(wanted.joints)}); give other names under 'aliases' in a skeleton file, or another pose model"
        )
    return wanted


def _rows(keypoints: Keypoints, start: int, end: int) -> Keypoints:
    return Keypoints(keypoints.xy[start:end], keypoints.scores[start:end], keypoints.visibility[start:end])
