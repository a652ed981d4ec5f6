"""Random changes of what is learnt from: where crops are cut, and what pixels become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from trainers.codecs import Size
from trainers.crops import Affines, RgbImage
from trainers.strict_values import StrictPart

_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_HALF_MARGIN = 0.4  # of a half body's hull, added around it: labels stop at the joints, bodies do not
_HALF_JOINTS = 3  # fewer in the kept half show too little


class ColourChanges(StrictPart):
    """How much pixels are changed; numbers called probability are of a single picture.

    brightness, contrast, saturation: the largest relative change. What cameras do: blur, by a Gaussian; coarse, seen
    at a half to a quarter of the pixels; noise of the sensor; compression, to a poor JPEG. cut_out: a rectangle of
    noise (DeVries and Taylor, 2017).
    """

    brightness: float = Field(default=0.3, ge=0, lt=1)
    contrast: float = Field(default=0.3, ge=0, lt=1)
    saturation: float = Field(default=0.4, ge=0, le=1)
    grey_probability: float = Field(default=0.05, ge=0, le=1)
    blur_probability: float = Field(default=0.1, ge=0, le=1)
    coarse_probability: float = Field(default=0.0, ge=0, le=1)
    noise_probability: float = Field(default=0.0, ge=0, le=1)
    compression_probability: float = Field(default=0.0, ge=0, le=1)
    cut_out_probability: float = Field(default=0.3, ge=0, le=1)


class Augmentation(ColourChanges):
    """How much the crops of a pose model are changed.

    rotation_degrees, scale, shift: the largest change, evenly spread to both sides; scale and shift are shares, of the
    size and of the input's sides. half_body: only the joints of one half of the subject, along its longest extent
    (any skeleton's version of Wang et al., 2018).
    """

    flip_probability: float = Field(default=0.5, ge=0, le=1)
    rotation_probability: float = Field(default=0.6, ge=0, le=1)
    rotation_degrees: float = Field(default=40.0, ge=0, le=180)
    scale: float = Field(default=0.3, ge=0, lt=1)
    shift: float = Field(default=0.06, ge=0, le=0.5)
    half_body_probability: float = Field(default=0.15, ge=0, le=1)


class ImageAugmentation(ColourChanges):
    """How much the images of a detector are changed.

    scale, shift: as of crops. turn: by a quarter or a half, for subjects seen from above. mosaic: four images in one,
    each in its corner (Bochkovskiy et al., 2020).
    """

    flip_probability: float = Field(default=0.5, ge=0, le=1)
    turn_probability: float = Field(default=0.0, ge=0, le=1)
    scale: float = Field(default=0.5, ge=0, lt=2)
    shift: float = Field(default=0.1, ge=0, le=0.5)
    mosaic_probability: float = Field(default=0.3, ge=0, le=1)


@dataclass(frozen=True, eq=False)
class Change:
    """What happens to one crop. affine: plain crop -> changed crop, (2, 3). flipped: sides change names."""

    affine: npt.NDArray[np.float64]
    flipped: bool


def draw_change(settings: Augmentation, input_size: Size, random: np.random.Generator) -> Change:
    """A random change about the input's centre."""
    flipped = bool(random.random() < settings.flip_probability)
    turned = random.random() < settings.rotation_probability
    angle = np.deg2rad(random.uniform(-1, 1) * settings.rotation_degrees) if turned else 0.0
    scale = (1 + settings.scale) ** random.uniform(-1, 1)  # as likely twice as large as half as large
    shift = random.uniform(-1, 1, 2) * settings.shift * np.array(input_size)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if flipped else 1.0, 1.0])
    centre = np.array(input_size) / 2
    return Change(np.column_stack([matrix, centre + shift - matrix @ centre]), flipped)


def reach(settings: Augmentation, input_size: Size) -> tuple[float, float]:
    """How many times as wide and as high as the input a region must be to hold every change but the rarest shifts."""
    angle = np.deg2rad(min(settings.rotation_degrees, 90.0)) if settings.rotation_probability else 0.0
    width, height = input_size
    angles = np.linspace(0, angle, 19)
    across = (width * np.cos(angles) + height * np.sin(angles)).max() / width
    along = (height * np.cos(angles) + width * np.sin(angles)).max() / height
    room = (1 + settings.scale) * (1 + 2 * settings.shift)
    return float(across * room), float(along * room)


def half_body_box(
    xy: npt.NDArray[np.float32], labelled: npt.NDArray[np.bool_], random: np.random.Generator
) -> npt.NDArray[np.float32] | None:
    """The box of one half of the labelled joints (joints, 2), None where a half has too few to be one."""
    points = xy[labelled].astype(np.float64)
    if len(points) < 2 * _HALF_JOINTS:
        return None
    centred = points - points.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    kept = points[along >= np.median(along)] if random.random() < 0.5 else points[along <= np.median(along)]
    low, high = kept.min(axis=0), kept.max(axis=0)
    margin = max(_HALF_MARGIN * float((high - low).max()), 1.0)
    return np.concatenate([low - margin, high + margin]).astype(np.float32)


def change_colours(pixels: RgbImage, settings: ColourChanges, random: np.random.Generator) -> RgbImage:
    """Colours, then what the camera does, then a cut-out, of one picture (height, width, 3)."""
    contrast = 1 + random.uniform(-1, 1) * settings.contrast
    brightness = 1 + random.uniform(-1, 1) * settings.brightness
    levels = (np.arange(256, dtype=np.float32) - 128) * contrast + 128 * brightness
    changed: Any = cv2.LUT(pixels, levels.clip(0, 255).astype(np.uint8))
    kept = 0.0 if random.random() < settings.grey_probability else 1 + random.uniform(-1, 1) * settings.saturation
    if kept != 1:
        mix = kept * np.eye(3, dtype=np.float32) + (1 - kept) * _GREY
        changed = cv2.transform(changed, mix)
    changed = _degraded(np.asarray(changed), settings, random)
    if random.random() < settings.cut_out_probability:
        _cut_out(changed, random)
    return changed


def _degraded(pixels: RgbImage, settings: ColourChanges, random: np.random.Generator) -> RgbImage:
    """As a worse camera would have taken it: each harm has a chance of its own."""
    changed: Any = pixels
    height, width = pixels.shape[:2]
    if random.random() < settings.blur_probability:
        changed = cv2.GaussianBlur(changed, (0, 0), random.uniform(0.5, 2.0))
    if random.random() < settings.coarse_probability:
        ratio = random.uniform(0.25, 0.5)
        few = (max(1, round(ratio * width)), max(1, round(ratio * height)))
        coarse = cv2.resize(changed, few, interpolation=cv2.INTER_AREA)
        changed = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    if random.random() < settings.noise_probability:
        noise = random.standard_normal(changed.shape, np.float32) * np.float32(random.uniform(5, 25))
        changed = (changed + noise).clip(0, 255).astype(np.uint8)
    if random.random() < settings.compression_probability:
        quality = int(random.integers(10, 60))
        _, encoded = cv2.imencode(".jpg", changed[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
        changed = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1].copy()
    return np.asarray(changed, np.uint8)


def _cut_out(pixels: npt.NDArray[np.uint8], random: np.random.Generator) -> None:
    """Put noise in a rectangle of up to two fifths of each side, in place."""
    height, width = pixels.shape[:2]
    sides = (random.uniform(0.1, 0.4, 2) * (width, height)).astype(int).clip(1)
    left, top = (random.random(2) * (np.array([width, height]) - sides)).astype(int)
    colour = random.integers(0, 256, 3)
    noise = random.normal(0, 20, (sides[1], sides[0], 3)) + colour
    pixels[top : top + sides[1], left : left + sides[0]] = noise.clip(0, 255).astype(np.uint8)


def compose(second: npt.NDArray[np.float64], first: npt.NDArray[np.float64]) -> Affines:
    """One affine (2, 3) that does `first`, then `second`."""
    matrix = second[:, :2] @ first[:, :2]
    return np.column_stack([matrix, second[:, :2] @ first[:, 2] + second[:, 2]])
