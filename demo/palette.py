"""Colours by hue and saturation in YCbCr, the space that video is stored in: hue survives H.264, brightness is free.

Three bands of saturation never meet, so that linear filters can tell them apart: scenery below `MUTED`, suits up to
`SUIT_SATURATION`, joint markers at the rim of what RGB can show.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

Rgb = tuple[int, int, int]

# Cb and Cr of RGB in 0..1, ITU-R BT.601, each in -0.5..0.5; rows Cb, Cr.
CHROMA_OF_RGB = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
RGB_OF_CHROMA = np.array([[0.0, 1.402], [-0.344136, -0.714136], [1.772, 0.0]])

MUTED = 0.11
SUIT_SATURATION = 0.21
SUIT_HUES = tuple(math.radians(degrees) for degrees in (45, 105, 165, 225, 285, 345))
"""One a figure; 135 degrees, the hue of skin, lies half-way between two of them."""

JOINT_COUNT = 17
MARKER_HUES = tuple(2 * math.pi * (joint * 7 % JOINT_COUNT) / JOINT_COUNT for joint in range(JOINT_COUNT))
"""One a COCO joint, 21 degrees apart; the factor 7 keeps joints that are neighbours in the body far apart in hue."""


def direction(hue: float) -> npt.NDArray[np.float64]:
    """The unit vector (Cb, Cr) of a hue in radians."""
    return np.array([math.cos(hue), math.sin(hue)])


@cache
def colour(hue: float, saturation: float, luma: float) -> Rgb:
    """RGB of a hue; saturation is the length of (Cb, Cr). Clipped where RGB cannot show it."""
    rgb = luma + RGB_OF_CHROMA @ (saturation * direction(hue))
    red, green, blue = (round(255 * float(value)) for value in rgb.clip(0, 1))
    return red, green, blue


def marker_saturation(hue: float) -> float:
    """The most saturation that RGB can show in this hue, at whatever luma."""
    return float(1 / np.ptp(RGB_OF_CHROMA @ direction(hue)))


@cache
def marker_colour(joint: int) -> Rgb:
    """The colour of a joint's marker: the most saturated of its hue."""
    hue = MARKER_HUES[joint]
    saturation = marker_saturation(hue)
    return colour(hue, saturation, luma=-float((RGB_OF_CHROMA @ direction(hue)).min()) * saturation)


def suit_colour(suit: int, luma: float, saturation: float = SUIT_SATURATION) -> Rgb:
    """A colour of the n-th suit."""
    return colour(SUIT_HUES[suit], saturation, luma)
