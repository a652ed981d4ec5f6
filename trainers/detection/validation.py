"""A detector's boxes for labelled images against their labels, and pictures of the worst."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cvat_export.drawing import draw_boxes
from cvat_export.labels import Boxes, box_iou
from frame_tools.frame import RgbImage
from trainers.detection.boxed_images import BoxedImage
from trainers.detection.image_views import ImageView
from trainers.metrics.box_precision import TrueBoxes, box_precision
from trainers.worst_samples import write_sheet

_SHOWN_FROM = 0.3  # score
_SAME_FROM = 0.5  # IoU
_TRUTH, _FOUND = (255, 255, 255), (255, 64, 160)


def score_boxes(view: ImageView, found: Sequence[Boxes]) -> dict[str, float]:
    """Box AP of boxes in pixels of the input, in the order of the view's images; 0 where there is nobody to find."""
    boxes = [_undone(view, place, one) for place, one in enumerate(found)]
    return {name: float(np.nan_to_num(value)) for name, value in box_precision(true_boxes(view.images), boxes).items()}


def true_boxes(images: Sequence[BoxedImage]) -> TrueBoxes:
    """The labels of images; crowds are ignored, and so is all of an image that is not complete."""
    image, boxes, areas, crowd = [], [], [], []
    for place, one in enumerate(images):
        everywhere = np.array([[0, 0, *one.size]] * (not one.complete), np.float32).reshape(-1, 4)
        regions = np.concatenate([one.ignored_xyxy, everywhere])
        sides = regions[:, 2:] - regions[:, :2]
        boxes += [one.bbox_xyxy, regions]
        areas += [one.areas, sides[:, 0] * sides[:, 1]]
        flags = np.repeat([False, True], [len(one.bbox_xyxy), len(regions)])
        image.append(np.full(len(flags), place))
        crowd.append(flags)
    is_region = np.concatenate(crowd)
    return TrueBoxes(
        np.concatenate(image).astype(np.intp),
        np.concatenate(boxes).astype(np.float64),
        np.concatenate(areas).astype(np.float64),
        ignored=is_region,
        crowd=is_region,
    )


def write_worst_images(path: Path, view: ImageView, found: Sequence[Boxes]) -> None:
    """Write a JPEG: the images with most people missed and invented, truth in white, boxes in pink."""
    mistakes = [_mistakes(view, place, _undone(view, place, one)) for place, one in enumerate(found)]
    order = np.argsort(-np.array(mistakes), kind="stable")
    write_sheet(path, lambda place: _draw(view, place, found[place]), order)


def _undone(view: ImageView, place: int, found: Boxes) -> Boxes:
    letterbox = view.letterboxes[place]
    corners = letterbox.undo(found.bbox_xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
    return Boxes(corners.clip(0, letterbox.image_size * 2), found.scores, found.class_names)


def _mistakes(view: ImageView, place: int, found: Boxes) -> int:
    image = view.images[place]
    sure = found.bbox_xyxy[found.scores >= _SHOWN_FROM]
    same = box_iou(image.bbox_xyxy[:, None], sure[None]) >= _SAME_FROM
    missed = int((~same.any(axis=1)).sum())
    return missed + (int((~same.any(axis=0)).sum()) if image.complete else 0)


def _draw(view: ImageView, place: int, found: Boxes) -> RgbImage:
    shown = view.plain(place)
    with_truth = draw_boxes(shown.pixels, shown.bbox_xyxy, _TRUTH, 2)
    return draw_boxes(with_truth, found.bbox_xyxy[found.scores >= _SHOWN_FROM], _FOUND, 2)
