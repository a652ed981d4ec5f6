"""Estimates whose subject is known row by row, as when the model was given the truth's boxes.

Arrays: xy and truth_xy (n, joints, 2) px; labelled (n, joints) bool, whether the truth has the joint; bbox_xyxy (n, 4)
px of the truth. A joint that the truth does not have never counts; an estimate that is NaN is wrong.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def pck_given_boxes(
    xy: npt.ArrayLike,
    truth_xy: npt.ArrayLike,
    labelled: npt.ArrayLike,
    bbox_xyxy: npt.ArrayLike,
    threshold: float = 0.1,
) -> float:
    """The share of labelled joints at most `threshold` times the box's longer side off; NaN where none is labelled."""
    counted = np.asarray(labelled, bool)
    off = distances(xy, truth_xy, counted) / longer_sides(bbox_xyxy)[:, None]
    return float((off[counted] <= threshold).mean()) if counted.any() else float("nan")


def oks_given_boxes(
    xy: npt.ArrayLike,
    truth_xy: npt.ArrayLike,
    labelled: npt.ArrayLike,
    bbox_xyxy: npt.ArrayLike,
    sigmas: npt.ArrayLike,
    area: npt.ArrayLike | None = None,
) -> Floats:
    """(n,) object keypoint similarity, the mean over labelled joints; NaN for a subject without any.

    area: (n,) px², of the box by default. COCO's truth brings that of the outline, which is about half as large.
    """
    counted = np.asarray(labelled, bool)
    similarity = joint_similarities(xy, truth_xy, counted, box_areas(bbox_xyxy) if area is None else area, sigmas)
    count = counted.sum(axis=1)
    return np.where(count > 0, similarity.sum(axis=1, where=counted) / np.maximum(count, 1), np.nan)


def joint_similarities(
    xy: npt.ArrayLike, truth_xy: npt.ArrayLike, labelled: Bools, area: npt.ArrayLike, sigmas: npt.ArrayLike
) -> Floats:
    """(n, joints): exp(-d² / (2 · area · (2σ)²)), as COCO defines it (cocodataset.org/#keypoints-eval).

    NaN for joints that are not labelled; 0 for an estimate that is NaN.
    """
    scale = (np.asarray(area, np.float64) + np.spacing(1))[:, None]
    off = distances(xy, truth_xy, labelled) ** 2 / (2 * np.asarray(sigmas, np.float64)) ** 2 / scale / 2
    return np.exp(-off)


def distances(xy: npt.ArrayLike, truth_xy: npt.ArrayLike, labelled: Bools) -> Floats:
    """(n, joints) px; NaN for joints that are not labelled, infinity for an estimate that is NaN."""
    difference = np.asarray(xy, np.float64) - np.asarray(truth_xy, np.float64)
    apart = np.hypot(difference[..., 0], difference[..., 1])
    return np.where(labelled, np.where(np.isnan(apart), np.inf, apart), np.nan)


def longer_sides(bbox_xyxy: npt.ArrayLike) -> Floats:
    """(n,) px; a box without extent gets the least number above 0, so that only what is exactly right is near."""
    box = np.asarray(bbox_xyxy, np.float64)
    return np.maximum((box[:, 2:] - box[:, :2]).max(axis=1, initial=0), np.finfo(np.float64).tiny)


def box_areas(bbox_xyxy: npt.ArrayLike) -> Floats:
    """(n,) px²"""
    box = np.asarray(bbox_xyxy, np.float64)
    return np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1)
