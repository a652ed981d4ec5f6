"""The output of an Ultralytics network decoded with numpy only, whatever runtime ran it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.detectors.candidates import Candidates
from annotator.detectors.yolo_card import YoloCard
from annotator.errors import AnnotatorError

_BOX = 4  # numbers of a box: centre and size, or two corners where the head is end-to-end
_SCORE_AND_CLASS = 2
_UNNAMED = 1000  # classes allowed to an end-to-end head that comes without names


@dataclass(frozen=True)
class YoloHead:
    """How the numbers of an output lie.

    Ordinary: (images, 4 + classes + extra, anchors), many boxes for one subject.
    End-to-end: (images, n, 6 + extra), each row a finished box x1, y1, x2, y2, score, class.
    extra is `keypoint_shape` numbers (or a segmentation model's mask coefficients, which are not used).
    index: which of the network's outputs it is.
    """

    index: int
    end_to_end: bool
    class_names: tuple[str, ...]
    keypoint_shape: tuple[int, int]

    @property
    def joint_count(self) -> int:
        """See `Head`."""
        return self.keypoint_shape[0]

    @property
    def most_overlap(self) -> float | None:
        """See `Head`: a user's own limit holds."""
        return None if self.end_to_end else 1.0

    def decode(self, outputs: Sequence[npt.NDArray[Any]]) -> list[Candidates]:
        """See `Head`: of each row or anchor its best class."""
        read = _read_rows if self.end_to_end else _read_anchors
        return [read(image, self) for image in outputs[self.index]]


def recognise_head(shapes: Sequence[tuple[int, ...]], card: YoloCard, where: str) -> YoloHead:
    """The head whose outputs have these shapes. A file without metadata is taken for a detector's.

    Raises AnnotatorError where the shapes are not those that the card promises, or no head of this family.
    """
    found = [index for index, shape in enumerate(shapes) if len(shape) == 3]
    if len(found) == 1 and len(shapes) <= (2 if card.task == "segment" else 1):
        names, keypoint_shape = card.class_names, card.keypoint_shape or (0, 3)
        _, rows, columns = shapes[found[0]]
        extra = keypoint_shape[0] * keypoint_shape[1]
        ordinary, finished = _BOX + len(names) + extra, _BOX + _SCORE_AND_CLASS + extra
        if card.task == "segment":
            ordinary, finished = max(ordinary, min(rows, columns)), max(finished, min(rows, columns))
        if not names:
            if columns == finished:
                return YoloHead(found[0], True, _invented(_UNNAMED), keypoint_shape)
            if ordinary < rows < columns:
                return YoloHead(found[0], False, _invented(rows - ordinary), keypoint_shape)
        elif rows == ordinary:
            return YoloHead(found[0], False, names, keypoint_shape)
        elif columns == finished:
            return YoloHead(found[0], True, names, keypoint_shape)
    raise AnnotatorError(
        f"{where}: outputs of shape {', '.join(map(str, shapes))} are no head that we know for "
        f"{len(card.class_names) or 'unnamed'} classes; expected (n, 4 + classes, anchors) or (n, 300, 6) as "
        f"Ultralytics exports them (nms=False); YOLOv5's head with its own objectness is not supported"
    )


def _read_rows(rows: npt.NDArray[Any], head: YoloHead) -> Candidates:
    rows = rows.astype(np.float32, copy=False)
    joint_count, numbers = head.keypoint_shape
    joints = rows[:, 6 : 6 + joint_count * numbers].reshape(len(rows), joint_count, numbers)
    return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].round().astype(np.intp), joints)


def _read_anchors(columns: npt.NDArray[Any], head: YoloHead) -> Candidates:
    columns = columns.astype(np.float32, copy=False)
    class_count, (joint_count, numbers) = len(head.class_names), head.keypoint_shape
    centres, halves = columns[:2].T, columns[2:4].T / 2
    by_class = columns[_BOX : _BOX + class_count]
    class_ids = by_class.argmax(axis=0)
    extra = columns[_BOX + class_count : _BOX + class_count + joint_count * numbers]
    return Candidates(
        np.hstack([centres - halves, centres + halves]),
        np.take_along_axis(by_class, class_ids[None], axis=0)[0],
        class_ids,
        extra.T.reshape(len(class_ids), joint_count, numbers),
    )


def _invented(count: int) -> tuple[str, ...]:
    return tuple(f"class{index}" for index in range(count))
