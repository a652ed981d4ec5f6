"""Networks of the Ultralytics family in any format but TFLite, decoded without ultralytics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from annotator.detectors.image_input import ImageInput
from annotator.detectors.network import Family, Shapes
from annotator.detectors.yolo_card import YoloCard, is_yolo, read_yolo_card
from annotator.detectors.yolo_head import YoloHead, recognise_head
from annotator.errors import AnnotatorError
from trainers.model_card import InputCard
from trainers.runtimes import Session
from trainers.runtimes.formats import ModelFormat

_DEFAULT_SIDE_PX = 640  # Ultralytics' own, for a file that accepts any size and names none


def _recognises(session: Session, file_format: ModelFormat) -> bool:
    """By its metadata, else by its single output of three dimensions; a file that tells nothing has to be tried."""
    if file_format is ModelFormat.TFLITE:
        return False
    shapes = [output.shape for output in session.outputs]
    return is_yolo(session.metadata) or not shapes or (len(shapes) == 1 and len(shapes[0]) in (0, 3))


def _find_input(session: Session, where: str) -> ImageInput:
    card = read_yolo_card(session.metadata, where)
    shape = session.inputs[0].shape
    if len(shape) != 4 or 3 not in (shape[1] or 3, shape[3]):
        raise AnnotatorError(f"{where}: the input has shape {shape}, expected (n, 3, height, width): RGB images")
    channels_last = shape[3] == 3 and shape[1] != 3
    height, width = shape[1:3] if channels_last else shape[2:]
    return _image_input(card, width, height, channels_last)


def _image_input(card: YoloCard, width: int | None, height: int | None, channels_last: bool) -> ImageInput:
    wide, high = card.imgsz or (_DEFAULT_SIDE_PX, _DEFAULT_SIDE_PX)
    stride = card.stride if card.dynamic and height is None and width is None else None
    layout: Literal["nchw", "nhwc"] = "nhwc" if channels_last else "nchw"
    return ImageInput(InputCard(width=width or wide, height=height or high, layout=layout), stride)


def _find_head(shapes: Shapes, metadata: Mapping[str, str], where: str) -> YoloHead:
    return recognise_head(shapes, read_yolo_card(metadata, where), where)


FAMILY = Family(
    what="an Ultralytics network",
    signature="one output (n, 4 + classes, anchors) or (n, 300, 6), as Ultralytics exports them (nms=False)",
    recognises=_recognises,
    find_input=_find_input,
    find_head=_find_head,
)
