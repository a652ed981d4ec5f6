"""Labels drawn onto images: left and right in two colours, or two sets of labels in two colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cvat_export.labels import Instance, Visibility
from cvat_export.skeleton import SIDE_COLOURS, Skeleton

RgbImage = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

BOX_COLOUR: Colour = (235, 235, 80)
TRUTH_COLOUR: Colour = (255, 255, 255)
PREDICTED_COLOUR: Colour = (255, 60, 170)

_SHIFT = 4  # OpenCV draws at 1/16 px
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class DrawingStyle:
    """colour: one for all joints and edges; None colours them by side, or as the skeleton says."""

    boxes: bool = True
    names: bool = False
    scores: bool = False
    colour: Colour | None = None


def draw_instances(
    image: RgbImage,
    instances: Iterable[Instance],
    skeleton: Skeleton | None,
    style: DrawingStyle = DrawingStyle(),
) -> RgbImage:
    """A copy of `image` with the instances on it. Occluded joints are rings, visible ones discs."""
    canvas = np.ascontiguousarray(image).copy()
    unit = max(1.0, min(max(canvas.shape[:2]) / 640, 4.0))  # line width in px that reads well at this size
    for instance in instances:
        if style.boxes:
            _draw_box(canvas, instance, unit, style)
        if skeleton is not None:
            _draw_pose(canvas, instance, skeleton, unit, style)
    return canvas


def draw_boxes(image: RgbImage, bbox_xyxy: npt.NDArray[np.float32], colour: Colour, width: int = 1) -> RgbImage:
    """A copy of `image` with mere boxes (n, 4) on it."""
    canvas = np.ascontiguousarray(image).copy()
    for corners in bbox_xyxy:
        _draw_frame(canvas, corners, colour, width)
    return canvas


def joint_colours(skeleton: Skeleton) -> tuple[Colour, ...]:
    """A colour a joint, as the skeleton says."""
    return tuple(map(_parse_colour, skeleton.joint_colours))


def _draw_box(canvas: RgbImage, instance: Instance, unit: float, style: DrawingStyle) -> None:
    colour = style.colour or BOX_COLOUR
    _draw_frame(canvas, instance.bbox_xyxy, colour, max(1, round(unit)))
    words = [instance.category] * style.names
    if style.scores and instance.score is not None:
        words.append(f"{instance.score:.2f}")
    if words:
        _write(canvas, " ".join(words), instance.bbox_xyxy[:2] - (0, 3 * unit), colour, unit)


def _draw_frame(canvas: RgbImage, corners: npt.NDArray[np.float32], colour: Colour, width: int) -> None:
    start, end = (_fixed_point(corner) for corner in corners.reshape(2, 2))
    cv2.rectangle(canvas, start, end, colour, width, cv2.LINE_AA, _SHIFT)


def _draw_pose(canvas: RgbImage, instance: Instance, skeleton: Skeleton, unit: float, style: DrawingStyle) -> None:
    colours = joint_colours(skeleton) if style.colour is None else (style.colour,) * len(skeleton.joints)
    drawn = instance.labelled & np.isfinite(instance.xy).all(axis=1) & (np.abs(instance.xy) < 1e6).all(axis=1)
    for a, b in skeleton.edges:
        if drawn[a] and drawn[b]:
            colour = style.colour or _edge_colour(skeleton.sides[a], skeleton.sides[b], colours[a], colours[b])
            ends = (_fixed_point(instance.xy[a]), _fixed_point(instance.xy[b]))
            cv2.line(canvas, *ends, colour, max(1, round(1.5 * unit)), cv2.LINE_AA, _SHIFT)
    for joint in np.flatnonzero(drawn):
        centre, radius = _fixed_point(instance.xy[joint]), round(2.5 * unit * (1 << _SHIFT))
        filled = instance.visibility[joint] == Visibility.VISIBLE
        cv2.circle(canvas, centre, radius, colours[joint], -1 if filled else max(1, round(unit)), cv2.LINE_AA, _SHIFT)
        _label_joint(canvas, instance, int(joint), skeleton, colours[joint], unit, style)


def _label_joint(
    canvas: RgbImage,
    instance: Instance,
    joint: int,
    skeleton: Skeleton,
    colour: Colour,
    unit: float,
    style: DrawingStyle,
) -> None:
    words = [skeleton.joints[joint]] * style.names
    if style.scores and instance.joint_scores is not None:
        words.append(f"{instance.joint_scores[joint]:.2f}")
    if words:
        _write(canvas, " ".join(words), instance.xy[joint] + (4 * unit, 0), colour, 0.75 * unit)


def _edge_colour(side_a: str, side_b: str, colour_a: Colour, colour_b: Colour) -> Colour:
    """An edge inside one side has its colour; one that leaves the middle has its sided end's."""
    if side_a == side_b:
        return colour_a
    if "centre" in (side_a, side_b):
        return colour_b if side_a == "centre" else colour_a
    return _parse_colour(SIDE_COLOURS["centre"])


def _write(canvas: RgbImage, text: str, position: npt.NDArray[np.float32], colour: Colour, unit: float) -> None:
    scale = 0.4 * max(unit, 0.9)
    (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
    x = int(np.clip(position[0], 0, max(0, canvas.shape[1] - width)))
    y = int(np.clip(position[1], height, canvas.shape[0] - 2))
    cv2.putText(canvas, text, (x, y), _FONT, scale, (0, 0, 0), round(2 * unit) + 1, cv2.LINE_AA)
    cv2.putText(canvas, text, (x, y), _FONT, scale, colour, max(1, round(unit)), cv2.LINE_AA)


def _fixed_point(point: Sequence[float] | npt.NDArray[np.float32]) -> tuple[int, int]:
    """Our coordinates as OpenCV's drawing takes them: pixel centres at whole numbers, in 1/16 px."""
    x, y = (round((float(value) - 0.5) * (1 << _SHIFT)) for value in point)
    return x, y


def _parse_colour(text: str) -> Colour:
    value = int(text.lstrip("#"), 16)
    return value >> 16 & 255, value >> 8 & 255, value & 255
