"""How alike the poses of two images are: of one moment by two models, or of two moments of a video (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from annotator.predictions import Prediction
from cvat_export.changes import match_instances, oks
from cvat_export.labels import Visibility, box_iou, hull_xyxy
from cvat_export.skeleton import Skeleton
from trainers.subject_boxes import HULL_GROWTH

NEIGHBOUR_SECONDS = 0.5  # frames of a video that lie further apart are no neighbours
_CATEGORY = "subject"


def likeness(first: Prediction, second: Prediction, skeleton: Skeleton) -> float:
    """0 to 1: the sum of the OKS of those subjects that are in both, by the number of those in either."""
    ones, others = first.labelled(_CATEGORY).instances, second.labelled(_CATEGORY).instances
    if not ones and not others:
        return 1.0
    pairs = match_instances(ones, others, skeleton, 0.0)
    return sum(oks(ones[i], others[j], skeleton) for i, j in pairs) / max(len(ones), len(others))


def jumps(
    predictions: Sequence[Prediction], seconds: npt.NDArray[np.float64], skeleton: Skeleton
) -> npt.NDArray[np.float64]:
    """(n,) 1 - likeness to that neighbour in time of the same video which is more alike; NaN without neighbours.

    The better of two, for at a cut one of them is of another shot, and what comes into view is in one of them.
    """
    result = np.full(len(predictions), np.nan)
    order = sorted(range(len(predictions)), key=lambda row: (predictions[row].source.sha256, seconds[row]))
    for before, after in pairwise(order):
        same = predictions[before].source.sha256 == predictions[after].source.sha256
        if same and seconds[after] - seconds[before] <= NEIGHBOUR_SECONDS:
            apart = 1 - likeness(predictions[before], predictions[after], skeleton)
            result[[before, after]] = np.fmin(result[[before, after]], apart)
    return result


def box_doubt(prediction: Prediction) -> float:
    """1 - IoU of the detector's box and that of the joints, the mean over the subjects; 1 for one without joints.

    The box of joints is their hull, with the margin that boxes of people have beyond it.
    """
    if not len(prediction.boxes):
        return 0.0
    size = np.array([prediction.width, prediction.height] * 2, np.float32)
    doubts = []
    for box, xy, visibility in zip(
        prediction.boxes.bbox_xyxy, prediction.keypoints.xy, prediction.keypoints.visibility, strict=True
    ):
        labelled = visibility > Visibility.NOT_LABELLED
        hull = hull_xyxy(xy, labelled)
        grown = hull + np.array([-1, -1, 1, 1], np.float32) * HULL_GROWTH * (hull[2:] - hull[:2]).max()
        doubts.append(1 - float(box_iou(box, grown.clip(0, size))) if labelled.any() else 1.0)
    return float(np.mean(doubts))
