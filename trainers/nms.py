"""Suppression of boxes that say the same thing twice."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def best_first(bbox_xyxy: npt.NDArray[Any], scores: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Indices by falling score; ties by coordinates, so that the order never depends on the order of arrival."""
    x1, y1, x2, y2 = bbox_xyxy.T
    return np.lexsort((y2, x2, y1, x1, -scores))


def suppress(
    bbox_xyxy: npt.NDArray[Any], scores: npt.NDArray[Any], groups: npt.NDArray[Any], iou: float
) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the boxes kept, best first.

    A box goes if it overlaps a better one of its own group (class) by more than `iou`. Of boxes without area one stays.
    """
    order = best_first(bbox_xyxy, scores)
    corners = bbox_xyxy[order].astype(np.float64)
    xywh = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    suppressed: Any = cv2.dnn.NMSBoxesBatched  # its stubs know lists only
    kept = suppressed(xywh, scores[order].astype(np.float32), groups[order].astype(np.int32), -np.inf, iou)
    return order[np.asarray(kept, np.intp)]
