"""Pictures of the samples that a network gets most wrong: labels beside estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cvat_export.atomic import write_bytes
from cvat_export.drawing import DrawingStyle, draw_instances
from cvat_export.labels import Instance, Visibility
from frame_tools.images import encode_image
from trainers.crops import RgbImage, transform_points
from trainers.samples import SampleView
from trainers.validation import Scores

_COUNT, _COLUMNS = 12, 4


def write_worst(path: Path, view: SampleView, scores: Scores) -> None:
    """Write a JPEG: the worst samples, the labels on the left, the estimate on the right of each pair."""
    order = np.argsort(-np.nan_to_num(scores.off, posinf=np.inf), kind="stable")
    write_sheet(path, lambda index: _pair(view, index, scores), order)


def write_sheet(path: Path, draw: Callable[[int], RgbImage], order: npt.NDArray[np.intp]) -> None:
    """Write the first of `order` into one JPEG; all that is drawn has the same size."""
    pictures = [draw(int(index)) for index in order[:_COUNT]]
    blank = np.zeros_like(pictures[0])
    pictures += [blank] * (-len(pictures) % _COLUMNS)
    rows = [np.concatenate(pictures[start : start + _COLUMNS], axis=1) for start in range(0, len(pictures), _COLUMNS)]
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, encode_image(np.concatenate(rows), ".jpg", quality=85))


def _pair(view: SampleView, index: int, scores: Scores) -> RgbImage:
    pixels = view.store.region(index).pixels
    instance = view.store.samples[index].instance
    to_input = view.store.to_input[index]
    found = np.isfinite(scores.xy[index]).all(axis=1)
    estimate = replace(
        instance,
        xy=np.where(found[:, None], scores.xy[index], 0),
        visibility=np.where(found, Visibility.VISIBLE, Visibility.NOT_LABELLED),
    )
    drawn = [_draw(pixels, one, to_input, view) for one in (instance, estimate)]
    return np.concatenate(drawn, axis=1)


def _draw(pixels: RgbImage, instance: Instance, to_input: npt.NDArray[np.float64], view: SampleView) -> RgbImage:
    placed = replace(instance, xy=transform_points(to_input[None], instance.xy[None])[0])
    return draw_instances(pixels, [placed], view.skeleton, DrawingStyle(boxes=False))
