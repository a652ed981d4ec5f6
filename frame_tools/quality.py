"""How good a picture is to label: sharpness, exposure, how much it differs from the one before (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from frame_tools.frame import RgbImage
from frame_tools.thumbnail import LUMA_CELLS, Plane, Thumbnail, halved

DARK = 0.06  # mean brightness below which a picture counts as black
BRIGHT = 0.96  # and above which as white
FLAT = 0.03  # standard deviation of brightness below which a picture shows nothing

WORKING_SIDE = 640  # of the longer side, in steps between the pixels that sharpness compares
SUBJECT_SIDE = 320  # the luma of a subject is halved to at most this before its sharpness is measured
_REACH = 8  # working pixels; blur wider than this is not told apart
_ROWS = 32  # that are measured: enough for a mean, and half the work of the whole analysis even so
_FAINT = 0.1  # share of the other direction's contrast below which a direction is not judged
_SMALLEST_SIDE = 2 * _REACH


@dataclass(frozen=True)
class Exposure:
    """brightness: mean, contrast: standard deviation; both of the luma, 0 black to 1 white."""

    brightness: float
    contrast: float

    @property
    def is_blank(self) -> bool:
        """Whether the picture is black, white or shows nothing."""
        return self.brightness < DARK or self.brightness > BRIGHT or self.contrast < FLAT


def sharpness(luma: Plane) -> float:
    """About 1 for a sharp picture, towards 1/8 for a blurred one, the worse of its two directions; 0 if it is flat.

    k·E[(I(x+1) − I(x))²] / E[(I(x+k) − I(x))²], k = 8. Steps give 1 whatever their contrast, and so do natural images,
    whose squared differences grow with the distance (Ruderman, Statistics of natural images, 1994); edges smeared
    over k pixels give 1/k. Motion blurs one direction only, hence the worse. Noise raises the value. In pictures larger
    than WORKING_SIDE the pixels compared lie as much further apart.
    """
    near = max(1, round(max(luma.shape) / WORKING_SIDE))
    far = _REACH * near
    if min(luma.shape) <= 2 * far:
        return 0.0
    step = max(1, (len(luma) - far) // _ROWS)
    rows, below, far_below = (luma[down::step][: (len(luma) - far) // step] for down in (0, near, far))
    near_x, far_x = _energy(rows[:, near:], rows[:, :-near]), _energy(rows[:, far:], rows[:, :-far])
    near_y, far_y = _energy(below, rows), _energy(far_below, rows)
    pairs = ((near_x, far_x, far_y), (near_y, far_y, far_x))
    return min((_REACH * energy / reach for energy, reach, other in pairs if reach > _FAINT * other), default=0.0)


def exposure(thumb: Thumbnail, full_range: bool) -> Exposure:
    """Brightness and contrast from a thumbnail. full_range: whether black is 0 (JPEG), not 16 (television)."""
    luma = thumb[: LUMA_CELLS**2]
    mean, deviation = cv2.meanStdDev(luma)
    black, span = (0.0, 255.0) if full_range else (16.0, 219.0)
    return Exposure(min(1.0, max(0.0, (mean.item() - black) / span)), deviation.item() / span)


def change(thumb: Thumbnail, previous: Thumbnail) -> float:
    """Mean absolute difference of two thumbnails in grey levels, 0 to 255."""
    return float(cv2.norm(thumb, previous, cv2.NORM_L1)) / len(thumb)


def subject_sharpness(image: RgbImage, bbox_xyxy: Sequence[float]) -> float:
    """The sharpness inside one subject's box, measured at a scale at which small and large subjects compare."""
    height, width = image.shape[:2]
    left, top = max(0, int(bbox_xyxy[0])), max(0, int(bbox_xyxy[1]))
    right, bottom = min(width, int(np.ceil(bbox_xyxy[2]))), min(height, int(np.ceil(bbox_xyxy[3])))
    if right - left <= _SMALLEST_SIDE or bottom - top <= _SMALLEST_SIDE:
        return 0.0
    crop = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    return sharpness(halved(np.asarray(crop, np.uint8), SUBJECT_SIDE))


def _energy(ahead: Plane, behind: Plane) -> float:
    return float(cv2.norm(ahead, behind, cv2.NORM_L2SQR)) / ahead.size
