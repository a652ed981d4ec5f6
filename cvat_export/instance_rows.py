"""Instances as plain rows for files of one line a row; coordinates to two decimals, as CVAT stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cvat_export.labels import Instance

_KEPT = ("attributes", "models")  # what a person ticked in CVAT; which models proposed it


def format_row(instance: Instance) -> dict[str, Any]:
    """Box, joints, visibility and score; where it has any: joint scores, and of its extra those of `_KEPT`.

    The category is the caller's to keep.
    """
    scores = instance.joint_scores
    return {
        "bbox_xyxy": rounded(instance.bbox_xyxy),
        "keypoints": rounded(instance.xy),
        "visibility": instance.visibility.tolist(),
        "score": instance.score,
        **({} if scores is None else {"joint_scores": np.asarray(scores, np.float64).round(4).tolist()}),
        **{key: instance.extra[key] for key in _KEPT if instance.extra.get(key)},
    }


def parse_row(row: Mapping[str, Any], category: str) -> Instance:
    """The inverse of `format_row`; other keys are passed over. Raises KeyError, TypeError or ValueError."""
    scores = row.get("joint_scores")
    return Instance(
        category=category,
        bbox_xyxy=np.array(row["bbox_xyxy"], np.float32),
        xy=np.array(row["keypoints"], np.float32),
        visibility=np.array(row["visibility"], np.uint8),
        score=row["score"],
        joint_scores=None if scores is None else np.array(scores, np.float32),
        extra={key: row[key] for key in _KEPT if key in row},
    )


def rounded(values: Any) -> Any:
    """Numbers or nested lists of them to two decimals."""
    return np.asarray(values, np.float64).round(2).tolist()
