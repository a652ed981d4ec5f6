"""FastestDet (dog-qiuqiu/FastestDet, BSD-3-Clause): a small network for COCO's 80 classes, one candidate a cell.

Input: BGR, 0..1, the image stretched (its test.py, utils/datasets.py). On 150 photographs of people it finds 0.91 of
those of at least 96 px in this way, 0.86 with RGB.

Output (module/detector.py, module/loss.py, example/onnx-runtime/runtime.py): (n, 5 + classes, rows, columns), a cell
for 16 px; objectness and class scores have their sigmoid and softmax behind them, the box has not:
centre = (cell + tanh(t)) * 16, where `cell` is counted from 0 and has no half added; size = sigmoid(t) * the input's.

The score is objectness * class, as in its ONNX example. Its test.py takes objectness^0.6 * class^0.4, which ranks
people no better (AP50 0.562 against 0.563 on 288 photographs), but leaves 0.41 of pictures without people empty at a
score of 0.25, where the product leaves 0.75.
"""

from __future__ import annotations

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

# COCO's, in its order (Lin et al., Microsoft COCO, ECCV 2014)
CLASS_NAMES = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,
    bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,
    snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,
    fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,
    potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
    refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush""".replace("\n    ", "").split(",")
)
CELL_PX = 16

_OTHER = 5  # objectness and four numbers of the box
_MOST_OVERLAP = 0.45  # neighbouring cells propose one person with an IoU below the 0.7 meant for other detectors


@dataclass(frozen=True)
class FastestDetHead:
    """See `Head`."""

    class_names: tuple[str, ...] = CLASS_NAMES
    joint_count: int = 0
    most_overlap: float | None = _MOST_OVERLAP

    def decode(self, outputs: Outputs) -> list[Candidates]:
        """One candidate a cell, of the cell's best class."""
        return [_decode(image.astype(np.float64)) for image in outputs[0]]


def _decode(cells: npt.NDArray[np.float64]) -> Candidates:
    rows, columns = cells.shape[1:]
    at = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
    numbers = cells[1:_OTHER].transpose(1, 2, 0)
    centres = (at + np.tanh(numbers[..., :2])) * CELL_PX
    halves = np.array([columns, rows]) * CELL_PX / (1 + np.exp(-numbers[..., 2:])) / 2
    by_class = cells[_OTHER:]
    corners: npt.NDArray[Any] = np.concatenate([centres - halves, centres + halves], axis=-1)
    return Candidates.of_boxes(
        corners.reshape(-1, 4), (cells[0] * by_class.max(axis=0)).ravel(), by_class.argmax(axis=0).ravel()
    )


def _recognises(session: Session, file_format: ModelFormat) -> bool:
    shapes = [one.shape for one in (*session.inputs, *session.outputs)]
    if [len(shape) for shape in shapes] != [4, 4]:
        return False
    (_, colours, height, width), (_, numbers, rows, columns) = shapes
    if rows is None or columns is None or (colours, numbers) != (3, _OTHER + len(CLASS_NAMES)):
        return False
    return (height, width) == (rows * CELL_PX, columns * CELL_PX)


def _find_input(session: Session, where: str) -> ImageInput:
    _, _, height, width = session.inputs[0].shape
    assert height is not None and width is not None  # else it would not have been recognised
    return ImageInput(InputCard(width=width, height=height, colours="bgr"), stretched=True)


def _find_head(shapes: Shapes, metadata: Mapping[str, str], where: str) -> FastestDetHead:
    return FastestDetHead()


FAMILY = Family(
    what="FastestDet for COCO's 80 classes",
    signature="input (n, 3, height, width), one output (n, 85, height / 16, width / 16)",
    recognises=_recognises,
    find_input=_find_input,
    find_head=_find_head,
)
