"""Truth and estimates of many images as arrays: a row a subject, in the order of their images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.metrics.pairs import Bools, Floats

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class TruthTable:
    """n true subjects, crowds and those without joints included.

    image: (n,) which image, from 0, never falling: in this order ties between scores are broken. xy: (n, joints, 2) px.
    labelled: (n, joints). bbox_xywh: (n, 4) px. area: (n,) px², of the outline where it is known. crowd: (n,).
    """

    image: Ints
    xy: Floats
    labelled: Bools
    bbox_xywh: Floats
    area: Floats
    crowd: Bools

    def __post_init__(self) -> None:
        joints = np.shape(self.xy)[1]
        shapes = {"xy": (joints, 2), "labelled": (joints,), "bbox_xywh": (4,), "area": (), "crowd": ()}
        _check_rows(self, shapes)

    def __len__(self) -> int:
        return len(self.image)

    @property
    def ignored(self) -> Bools:
        """(n,) whether nobody must be found here, and whoever is found is not wrong: crowds, people without joints."""
        return self.crowd | ~self.labelled.any(axis=1)

    @property
    def bbox_xyxy(self) -> Floats:
        """(n, 4)"""
        return np.concatenate([self.bbox_xywh[:, :2], self.bbox_xywh[:, :2] + self.bbox_xywh[:, 2:]], axis=1)

    def take(self, rows: Ints | Bools) -> TruthTable:
        """Some of the rows."""
        return TruthTable(**{name: value[rows] for name, value in vars(self).items()})


@dataclass(frozen=True, eq=False)
class EstimateTable:
    """n estimated subjects.

    image: (n,) as in the truth. xy: (n, joints, 2) px. proposed: (n, joints) whether the joint is said to be there.
    bbox_xywh: (n, 4) px. scores: (n,). joint_scores: (n, joints), NaN where nobody kept them. area: (n,) px², of the
    box.
    """

    image: Ints
    xy: Floats
    proposed: Bools
    bbox_xywh: Floats
    scores: Floats
    joint_scores: Floats

    def __post_init__(self) -> None:
        joints = np.shape(self.xy)[1]
        shapes = {"xy": (joints, 2), "proposed": (joints,), "bbox_xywh": (4,), "scores": (), "joint_scores": (joints,)}
        _check_rows(self, shapes)

    def __len__(self) -> int:
        return len(self.image)

    @property
    def area(self) -> Floats:
        """(n,) px², of the boxes, as pycocotools' loadRes takes it."""
        area: Floats = self.bbox_xywh[:, 2] * self.bbox_xywh[:, 3]
        return area

    def take(self, rows: Ints | Bools) -> EstimateTable:
        """Some of the rows."""
        return EstimateTable(**{name: value[rows] for name, value in vars(self).items()})


def _check_rows(table: TruthTable | EstimateTable, shapes: dict[str, tuple[int, ...]]) -> None:
    if (np.diff(table.image) < 0).any():
        raise TrainersError(f"{type(table).__name__}.image: got images out of order, expected numbers that never fall")
    for name, shape in shapes.items():
        got = np.shape(getattr(table, name))
        if got != (len(table.image), *shape):
            raise TrainersError(f"{type(table).__name__}.{name}: got {got}, expected {(len(table.image), *shape)}")
