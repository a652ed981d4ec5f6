"""What is known of the subjects in one image: frozen values over read-only arrays.

Coordinates are pixels of the original, upright image: (0, 0) is the outer corner of its top-left pixel, whose
centre is at (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cvat_export.errors import CvatExportError

FloatArray = npt.NDArray[np.float32]
VisibilityArray = npt.NDArray[np.uint8]


class Visibility(IntEnum):
    """COCO's flag of a joint. It says what a person may see, not how sure a model is: that is the score."""

    NOT_LABELLED = 0
    OCCLUDED = 1
    VISIBLE = 2


@dataclass(frozen=True, eq=False)
class Boxes:
    """What a detector found in one image, best first or in the detector's own order.

    bbox_xyxy: (n, 4) float32, pixels; (0, 4) where nothing was found. scores: (n,) float32 in 0..1.
    class_names: n names. Arrays are made read-only.
    """

    bbox_xyxy: FloatArray
    scores: FloatArray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.class_names)
        _freeze(self, "bbox_xyxy", (count, 4), np.float32)
        _freeze(self, "scores", (count,), np.float32)

    def __len__(self) -> int:
        return len(self.class_names)

    @classmethod
    def empty(cls) -> Boxes:
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Boxes:
        """The boxes at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        return Boxes(self.bbox_xyxy[chosen], self.scores[chosen], tuple(self.class_names[i] for i in chosen))


@dataclass(frozen=True, eq=False)
class Keypoints:
    """The joints of n subjects in one image, row by row with their boxes.

    xy: (n, joints, 2) float32, pixels. scores: (n, joints) float32, what the model believes.
    visibility: (n, joints) uint8, see `Visibility`. Arrays are made read-only.
    """

    xy: FloatArray
    scores: FloatArray
    visibility: VisibilityArray

    def __post_init__(self) -> None:
        shape = np.shape(self.xy)[:2]
        _freeze(self, "xy", (*shape, 2), np.float32)
        _freeze(self, "scores", shape, np.float32)
        _freeze(self, "visibility", shape, np.uint8)

    def __len__(self) -> int:
        return len(self.xy)

    @classmethod
    def empty(cls, joint_count: int) -> Keypoints:
        """Nobody."""
        return cls(
            np.zeros((0, joint_count, 2), np.float32),
            np.zeros((0, joint_count), np.float32),
            np.zeros((0, joint_count), np.uint8),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Keypoints]) -> Keypoints:
        """The subjects of all parts, one after the other. At least one part, all of one skeleton."""
        return cls(
            np.concatenate([part.xy for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.visibility for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class Instance:
    """One labelled subject of one image.

    bbox_xyxy: (4,) float32. xy: (joints, 2) float32. visibility: (joints,) uint8. joint_scores: (joints,) float32, for
    which COCO files have no place. Scores are None for what a person drew. extra: what a file said beyond these, kept
    through a round trip.
    """

    category: str
    bbox_xyxy: FloatArray
    xy: FloatArray
    visibility: VisibilityArray
    score: float | None = None
    joint_scores: FloatArray | None = None
    is_crowd: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        joints = len(self.visibility)
        _freeze(self, "bbox_xyxy", (4,), np.float32)
        _freeze(self, "xy", (joints, 2), np.float32)
        _freeze(self, "visibility", (joints,), np.uint8)
        if self.joint_scores is not None:
            _freeze(self, "joint_scores", (joints,), np.float32)

    @cached_property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Which joints have a position, (joints,) bool."""
        labelled = self.visibility > Visibility.NOT_LABELLED
        labelled.setflags(write=False)
        return labelled


def hull_xyxy(xy: FloatArray, labelled: npt.NDArray[np.bool_]) -> FloatArray:
    """The least box around the labelled of at least one joint, (4,) float32; around all where none is labelled."""
    points = xy[labelled] if labelled.any() else xy
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def box_iou(one_xyxy: npt.NDArray[Any], other_xyxy: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes (..., 4), broadcast against each other; 0 where both are without area."""
    one, other = np.asarray(one_xyxy, np.float64), np.asarray(other_xyxy, np.float64)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = sides.clip(min=0).prod(axis=-1)
    areas = [(box[..., 2:] - box[..., :2]).clip(min=0).prod(axis=-1) for box in (one, other)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def _freeze(value: object, name: str, shape: tuple[int, ...], dtype: type) -> None:
    array: npt.NDArray[Any] = np.array(
        getattr(value, name), dtype=dtype
    )  # a copy: the caller's array stays the caller's
    if array.shape != shape:
        raise CvatExportError(f"{type(value).__name__}.{name}: got shape {array.shape}, expected {shape}")
    array.setflags(write=False)
    object.__setattr__(value, name, array)
