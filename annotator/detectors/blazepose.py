"""BlazePose's detector (MediaPipe, Apache-2.0): one or a few people, each by a box of the face and four points.

Source: MediaPipe's graphs pose_detection_cpu.pbtxt and pose_landmark/pose_detection_to_roi.pbtxt, and Bazarevsky et
al., BlazePose, CVPR workshops 2020. Input: 224 x 224, RGB, -1..1, black around the image. Output: an SSD's, of 2254
anchors (Liu et al., SSD, ECCV 2016; all of one size): logits of the score, and 12 numbers in pixels of the input:
centre, width and height of the face's box, then x and y of the points, centre and points from the anchor's centre.

Points 0 and 1 are the middle of the hips and where, seen from there, the circle around the whole body ends above the
head. A person's box is not among the outputs. MediaPipe takes the square around that circle, for a crop that may turn;
as a box around somebody who stands it is far too wide. Here it is a rectangle along the body, see `person_boxes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.detectors.candidates import Candidates
from annotator.detectors.image_input import ImageInput
from annotator.detectors.network import Family, Outputs, Shapes
from trainers.model_card import InputCard
from trainers.runtimes import Session
from trainers.runtimes.formats import ModelFormat

SIDE_PX = 224
ANCHORS_A_CELL = {8: 2, 16: 2, 32: 6}  # by the cells' size in pixels: of layers with strides 8, 16, 32, 32, 32 two each
ABOVE, BELOW, BESIDE = 0.9, 0.95, 0.35  # of the distance from point 0 to point 1, see `person_boxes`
LOGIT_SHIFT = -math.log(3)  # a score of 0.25 is 0.5 to MediaPipe, whose pose solution takes people from there on

_NUMBERS = 12
_POINTS = slice(4, 8)  # points 0 and 1
_HIGHEST_LOGIT = 100.0
_MOST_OVERLAP = 0.5  # boxes made of points differ more than boxes: one person's often overlap by less than 0.7
_CARD = InputCard(width=SIDE_PX, height=SIDE_PX, layout="nhwc", scale=127.5, mean=(1.0, 1.0, 1.0))


def anchor_centres() -> npt.NDArray[np.float32]:
    """(2254, 2) pixels of the input: the centres of cells, row by row, layers one after the other."""
    layers = []
    for stride, repeats in ANCHORS_A_CELL.items():
        along = (np.arange(SIDE_PX // stride) + 0.5) * stride
        cells = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)
        layers.append(cells.repeat(repeats, axis=0))
    return np.concatenate(layers).astype(np.float32)


def person_boxes(hips: npt.NDArray[Any], ends: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Upright boxes (n, 4) around rectangles that reach from the hips (n, 2) towards `ends` (n, 2), and away from it.

    Upwards by ABOVE, downwards by BELOW and to each side by BESIDE of the distance between both points: chosen on a
    grid of 0.05 for two sets at once, 584 standing people (medians 0.92, 1.04, 0.37) and 1,036 of at least 96 px in
    COCO photographs (0.97, 0.79, 0.40: many sit). An IoU of 0.5 with the labelled box is reached by 0.97 and 0.82 of
    these; by the square, whatever its side, by no more than 0.27 and 0.48.
    """
    up = ends - hips
    side = up[:, ::-1] * np.array([-1, 1])
    corners = np.stack([hips + up * a + side * b for a in (ABOVE, -BELOW) for b in (BESIDE, -BESIDE)])
    return np.hstack([corners.min(axis=0), corners.max(axis=0)])


@dataclass(frozen=True)
class BlazePoseHead:
    """See `Head`. regressors, scores: which of the outputs they are."""

    regressors: int
    scores: int
    class_names: tuple[str, ...] = ("person",)
    joint_count: int = 0
    most_overlap: float | None = _MOST_OVERLAP

    def decode(self, outputs: Outputs) -> list[Candidates]:
        """One candidate an anchor."""
        pairs = zip(outputs[self.regressors], outputs[self.scores], strict=True)
        return [_decode(numbers.astype(np.float64), logits.astype(np.float64)) for numbers, logits in pairs]


def _decode(numbers: npt.NDArray[np.float64], logits: npt.NDArray[np.float64]) -> Candidates:
    points = numbers[:, _POINTS].reshape(-1, 2, 2) + anchor_centres()[:, None]
    clipped = logits[:, 0].clip(-_HIGHEST_LOGIT, _HIGHEST_LOGIT)
    scores = 1 / (1 + np.exp(-(clipped + LOGIT_SHIFT)))
    return Candidates.of_boxes(person_boxes(points[:, 0], points[:, 1]), scores, np.zeros(len(points), np.intp))


def _recognises(session: Session, file_format: ModelFormat) -> bool:
    anchors = len(anchor_centres())
    given = sorted(output.shape[1:] for output in session.outputs if None not in output.shape[1:])
    return session.inputs[0].shape[1:] == (SIDE_PX, SIDE_PX, 3) and given == [(anchors, 1), (anchors, _NUMBERS)]


def _find_input(session: Session, where: str) -> ImageInput:
    return ImageInput(_CARD, border=(0, 0, 0))


def _find_head(shapes: Shapes, metadata: Mapping[str, str], where: str) -> BlazePoseHead:
    widths = [shape[-1] for shape in shapes]
    return BlazePoseHead(widths.index(_NUMBERS), widths.index(1))


FAMILY = Family(
    what="BlazePose's detector of people",
    signature="input (n, 224, 224, 3), outputs (n, 2254, 12) and (n, 2254, 1)",
    recognises=_recognises,
    find_input=_find_input,
    find_head=_find_head,
)
