"""Frames that are hard on purpose: what `--want` can ask for (pure)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

OCCLUDED_OVERLAP = 0.15  # intersection over union of two subjects' boxes
CROWDED_SUBJECTS = 5
BORDER_SHARE = 0.01  # of the picture's side: a box that comes nearer to the border counts as cut by it

DEFINITIONS = {
    "blurry": "much less sharp than the rest of its scene (with --detection: than other subjects in it)",
    "occluded": f"two subjects' boxes overlap by an IoU of {OCCLUDED_OVERLAP} or more",
    "crowded": f"{CROWDED_SUBJECTS} subjects or more",
    "truncated": "a subject's box touches the border of the picture",
    "empty": "no subject was detected",
}
NEED_DETECTION = tuple(kind for kind in DEFINITIONS if kind != "blurry")


def kinds_of(bbox_xyxy: npt.NDArray[np.float32], width: int, height: int) -> frozenset[str]:
    """Which of NEED_DETECTION describe a picture with these boxes, (n, 4) in pixels."""
    kinds = set()
    if len(bbox_xyxy) == 0:
        kinds.add("empty")
    if len(bbox_xyxy) >= CROWDED_SUBJECTS:
        kinds.add("crowded")
    if np.any(_overlaps(bbox_xyxy) >= OCCLUDED_OVERLAP):
        kinds.add("occluded")
    if np.any(_touching(bbox_xyxy, width, height)):
        kinds.add("truncated")
    return frozenset(kinds)


def _overlaps(bbox_xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """IoU of each pair of different boxes."""
    low = np.maximum(bbox_xyxy[:, None, :2], bbox_xyxy[None, :, :2])
    high = np.minimum(bbox_xyxy[:, None, 2:], bbox_xyxy[None, :, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=2)
    area = np.prod(bbox_xyxy[:, 2:] - bbox_xyxy[:, :2], axis=1)
    union = area[:, None] + area[None, :] - intersection
    overlaps: npt.NDArray[np.float32] = intersection / np.maximum(union, 1e-6)
    return overlaps[np.triu_indices(len(bbox_xyxy), 1)]


def _touching(bbox_xyxy: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.bool_]:
    margin = np.array([width, height], np.float32) * BORDER_SHARE
    far = np.array([width, height], np.float32) - margin
    return np.any((bbox_xyxy[:, :2] < margin) | (bbox_xyxy[:, 2:] > far), axis=1)
