"""What the models proposed, image by image: predictions.jsonl, which holds what COCO and CVAT cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from annotator.errors import AnnotatorError
from cvat_export.dataset import Dataset, LabelledImage
from cvat_export.labels import Boxes, Instance, Keypoints

PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True)
class FrameSource:
    """Where an image's pixels come from. An image that is no frame of a video is its own source, at pts 0.

    sha256: of the source's bytes. time_base: seconds a unit of pts, as "1/15360"; None for a plain image.
    """

    sha256: str
    pts: int
    time_base: str | None = None


@dataclass(frozen=True)
class ModelIdentity:
    """A model as a prediction names it. sha256: None for what is no file, as `hog`."""

    name: str
    sha256: str | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """All that was proposed for one image, in pixels of the upright image. keypoints: row by row with boxes."""

    file_name: str
    width: int
    height: int
    source: FrameSource
    boxes: Boxes
    keypoints: Keypoints

    def to_json(self, detection: ModelIdentity, pose: ModelIdentity) -> dict[str, Any]:
        """One line of predictions.jsonl; coordinates to two decimals, scores to four."""
        return {
            "file_name": self.file_name,
            "width": self.width,
            "height": self.height,
            "frame": {"sha256": self.source.sha256, "pts": self.source.pts, "time_base": self.source.time_base},
            "detection": {"name": detection.name, "sha256": detection.sha256},
            "pose": {"name": pose.name, "sha256": pose.sha256},
            "instances": [self._row(row) for row in range(len(self.boxes))],
        }

    def _row(self, row: int) -> dict[str, Any]:
        return {
            "bbox_xyxy": _rounded(self.boxes.bbox_xyxy[row], 2),
            "bbox_score": round(float(self.boxes.scores[row]), 4),
            "class": self.boxes.class_names[row],
            "keypoints": _rounded(self.keypoints.xy[row], 2),
            "keypoint_scores": _rounded(self.keypoints.scores[row], 4),
            "visibility": self.keypoints.visibility[row].tolist(),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Prediction:
        """The inverse of `to_json`, without the models. Raises KeyError, TypeError or ValueError on other rows."""
        instances = row["instances"]
        joints = len(instances[0]["visibility"]) if instances else 0
        boxes = Boxes(
            np.reshape([instance["bbox_xyxy"] for instance in instances], (-1, 4)),
            np.array([instance["bbox_score"] for instance in instances]),
            tuple(instance["class"] for instance in instances),
        )
        keypoints = Keypoints(
            np.reshape([instance["keypoints"] for instance in instances], (len(instances), joints, 2)),
            np.reshape([instance["keypoint_scores"] for instance in instances], (len(instances), joints)),
            np.reshape([instance["visibility"] for instance in instances], (len(instances), joints)),
        )
        frame = row["frame"]
        source = FrameSource(frame["sha256"], frame["pts"], frame["time_base"])
        return cls(row["file_name"], row["width"], row["height"], source, boxes, keypoints)

    def labelled(self, category: str) -> LabelledImage:
        """The proposals as labels that a person can correct."""
        instances = tuple(
            Instance(
                category=category,
                bbox_xyxy=self.boxes.bbox_xyxy[row],
                xy=self.keypoints.xy[row],
                visibility=self.keypoints.visibility[row],
                score=float(self.boxes.scores[row]),
                joint_scores=self.keypoints.scores[row],
            )
            for row in range(len(self.boxes))
        )
        return LabelledImage(self.file_name, self.width, self.height, instances)

    @property
    def doubt(self) -> float:
        """How likely something here is wrong: 1 less the weakest subject's mean joint score; 0 where nobody is."""
        return 1.0 - float(self.keypoints.scores.mean(axis=1).min()) if len(self.keypoints) else 0.0


def read_predictions(path: Path) -> Iterator[Prediction]:
    """The lines of a predictions.jsonl, one at a time. Raises AnnotatorError with file and line."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield Prediction.from_json(json.loads(line))
            except (KeyError, TypeError, ValueError) as error:
                raise AnnotatorError(f"{path}:{number}: is not a prediction: {error!r}") from error


def with_joint_scores(dataset: Dataset, folder: Path) -> Dataset:
    """The dataset with the joint scores that lie beside it in predictions.jsonl, if they are there."""
    path = folder / PREDICTIONS_FILE
    if not path.exists():
        return dataset
    scores = {prediction.file_name: prediction.keypoints.scores for prediction in read_predictions(path)}
    images = []
    for image in dataset.images:
        rows = scores.get(image.file_name, ())
        if len(rows) == len(image.instances):
            pairs = zip(image.instances, rows, strict=True)
            image = replace(image, instances=tuple(replace(instance, joint_scores=row) for instance, row in pairs))
        images.append(image)
    return replace(dataset, images=tuple(images))


def with_models(dataset: Dataset, folder: Path) -> Dataset:
    """The dataset with the names of the models that proposed each instance, `extra["models"]`, if they are known.

    A name ends with the first digits of the file's hash: every training calls its file best.ckpt.
    """
    path = folder / PREDICTIONS_FILE
    if not path.exists():
        return dataset
    models = {row["file_name"]: _model_names(row) for row in map(json.loads, path.read_text("utf-8").splitlines())}
    return replace(
        dataset,
        images=tuple(
            replace(image, instances=tuple(_proposed_by(one, models.get(image.file_name)) for one in image.instances))
            for image in dataset.images
        ),
    )


def _model_names(row: dict[str, Any]) -> list[str]:
    """Detector and pose model of a line of predictions.jsonl; one name where one model did both."""
    models = [row.get(kind) or {} for kind in ("detection", "pose")]
    names = [" ".join([model["name"], *filter(None, [(model["sha256"] or "")[:8]])]) for model in models if model]
    return list(dict.fromkeys(names))


def _proposed_by(instance: Instance, models: list[str] | None) -> Instance:
    return replace(instance, extra={**instance.extra, "models": models}) if models else instance


def _rounded(values: np.ndarray, decimals: int) -> Any:
    return np.asarray(values, dtype=np.float64).round(decimals).tolist()
