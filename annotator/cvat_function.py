"""Our detector and pose model as a CVAT auto-annotation function.

    cvat-cli task auto-annotate ID --function-module annotator.cvat_function \\
        -p detection=str:hog -p pose=str:movenet.tflite -p pose_card=str:movenet.yaml

The task needs a skeleton label of the name `category` with the pose model's joints (or those of `skeleton`).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import cvat_sdk.models as models
import numpy as np
import PIL.Image

from annotator.detector import DetectionOptions
from annotator.estimators import EstimatorOptions, load_estimator
from annotator.named_models import DEFAULT_POSE
from annotator.pipeline import judge_visibility
from annotator.predictions import FrameSource, Prediction
from cvat_export.labels import Visibility
from trainers.model_card import MIN_BOX_SCORE

_FRAME = FrameSource("", 0)  # CVAT knows where it is from
_LEAST_SCORE = 0.05  # of boxes that are looked at: CVAT may ask for a threshold of its own at each image


class PoseFunction:
    """A detection function that gives skeletons. The parameters are those of `annotator preannotate`."""

    def __init__(
        self,
        pose: str = DEFAULT_POSE,
        detection: str | None = None,
        pose_card: str | None = None,
        skeleton: str | None = None,
        category: str = "person",
        min_score: float = MIN_BOX_SCORE,
        min_joint_score: float | None = None,
    ) -> None:
        self._category, self._min_score = category, min_score
        self._estimator = load_estimator(
            EstimatorOptions(
                detection,
                pose,
                Path(pose_card) if pose_card else None,
                skeleton,
                boxes=DetectionOptions(min_score=min(min_score, _LEAST_SCORE)),
            )
        )
        own = self._estimator.min_joint_score
        self._min_joint_score = own if min_joint_score is None else min_joint_score

    @cached_property
    def spec(self) -> cvataa.DetectionFunctionSpec:
        joints = self._estimator.skeleton.joints
        keypoints = [cvataa.keypoint_spec(name, index) for index, name in enumerate(joints)]
        return cvataa.DetectionFunctionSpec(labels=[cvataa.skeleton_label_spec(self._category, 0, keypoints)])

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[models.LabeledShapeRequest]:
        """The skeletons of one image, in its pixels."""
        threshold = self._min_score if context.conf_threshold is None else context.conf_threshold
        prediction = self._predict(context.frame_name, np.asarray(image.convert("RGB"), np.uint8))
        wanted = np.flatnonzero(prediction.boxes.scores >= threshold)
        return [self._skeleton(prediction, int(row)) for row in wanted]

    def _predict(self, name: str, pixels: Any) -> Prediction:
        estimator = self._estimator
        (found,) = estimator.detect([estimator.prepare(name, pixels)])
        ((boxes, keypoints),) = estimator.estimate([estimator.crop(pixels, found)])
        height, width = pixels.shape[:2]
        raw = Prediction(name, width, height, _FRAME, boxes, keypoints)
        return judge_visibility(raw, self._min_joint_score)

    def _skeleton(self, prediction: Prediction, row: int) -> models.LabeledShapeRequest:
        xy, visibility = prediction.keypoints.xy[row], prediction.keypoints.visibility[row]
        elements = [
            cvataa.keypoint(
                joint,
                [round(float(x), 2), round(float(y), 2)],
                occluded=bool(flag == Visibility.OCCLUDED),
                outside=bool(flag == Visibility.NOT_LABELLED),
            )
            for joint, ((x, y), flag) in enumerate(zip(xy, visibility, strict=True))
        ]
        return cvataa.skeleton(0, elements=elements)


create = PoseFunction
