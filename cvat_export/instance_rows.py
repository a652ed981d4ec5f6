"""Instances as plain rows for files of one line a row; coordinates to two decimals, as CVAT stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cvat_export.labels import Instance


def format_row(instance: Instance) -> dict[str, Any]:
    """Box, joints, visibility and score; attributes where it has any. The category is the caller's to keep."""
    attributes = instance.extra.get("attributes")
    return {
        "bbox_xyxy": rounded(instance.bbox_xyxy),
        "keypoints": rounded(instance.xy),
        "visibility": instance.visibility.tolist(),
        "score": instance.score,
        **({"attributes": attributes} if attributes else {}),
    }


def parse_row(row: Mapping[str, Any], category: str) -> Instance:
    """The inverse of `format_row`; other keys are passed over. Raises KeyError, TypeError or ValueError."""
    return Instance(
        category=category,
        bbox_xyxy=np.array(row["bbox_xyxy"], np.float32),
        xy=np.array(row["keypoints"], np.float32),
        visibility=np.array(row["visibility"], np.uint8),
        score=row["score"],
        extra={"attributes": row["attributes"]} if "attributes" in row else {},
    )


def rounded(values: Any) -> Any:
    """Numbers or nested lists of them to two decimals."""
    return np.asarray(values, np.float64).round(2).tolist()
