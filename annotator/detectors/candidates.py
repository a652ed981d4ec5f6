"""What a network proposes before suppression, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.errors import AnnotatorError


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a head proposes for one image, in pixels of the network's input.

    bbox_xyxy: (n, 4). scores: (n,). class_ids: (n,). joints: (n, joints, 2 or 3), the third its score. All float32
    but the class ids.
    """

    bbox_xyxy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.intp]
    joints: npt.NDArray[np.float32]

    @classmethod
    def of_boxes(
        cls, bbox_xyxy: npt.NDArray[Any], scores: npt.NDArray[Any], class_ids: npt.NDArray[np.intp]
    ) -> Candidates:
        """Those of a network without joints."""
        joints = np.zeros((len(scores), 0, 3), np.float32)
        return cls(bbox_xyxy.astype(np.float32), scores.astype(np.float32), class_ids, joints)

    def take(self, chosen: npt.NDArray[Any]) -> Candidates:
        """Those at the indices `chosen`, or where it is true."""
        return Candidates(self.bbox_xyxy[chosen], self.scores[chosen], self.class_ids[chosen], self.joints[chosen])

    def wanted(self, classes: Sequence[int], min_score: float) -> Candidates:
        """Those of one of the `classes` whose score reaches `min_score`."""
        return self.take(np.isin(self.class_ids, classes) & (self.scores >= min_score))


def check_numbers(outputs: Sequence[npt.NDArray[Any]], candidates: Sequence[Candidates]) -> None:
    """Raises AnnotatorError for numbers that are no scores: half precision may overflow, and a NaN is not "nobody"."""
    finite = all(np.isfinite(output).all() for output in outputs)
    scores = np.concatenate([one.scores for one in candidates])
    if not finite or (len(scores) and not -0.01 <= scores.min() <= scores.max() <= 1.01):
        raise AnnotatorError(
            "the detector returned numbers that are no scores between 0 and 1 (or not finite); if it is a "
            "half-precision model try --precision f32, else it is not a detector of this family"
        )
