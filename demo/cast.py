"""Who plays in drawn pictures and films: figures of any size, skin, clothes, place and way of walking."""

from __future__ import annotations

import math

import numpy as np

from demo.figures import Figure, Gesture
from demo.palette import SUIT_HUES, Rgb

LIGHTEST, DARKEST = np.array([232, 196, 172]), np.array([104, 76, 60])  # skins lie between the two


def random_figure(random: np.random.Generator) -> Figure:
    """Before a camera at x = 0, walking, running, standing or waving anywhere from 3 m to 12 m away.

    The models of the install learnt from figures that were drawn by these calls in this order.
    """
    away = random.uniform(3.0, 12.0)
    mixed = DARKEST + random.random() * (LIGHTEST - DARKEST) + random.uniform(-8, 8, 3)
    red, green, blue = (int(value) for value in mixed)
    skin: Rgb = (red, green, blue)
    runs, stands = random.random() < 0.25, random.random() < 0.2
    return Figure(
        suit=int(random.integers(len(SUIT_HUES))),
        height=random.uniform(1.4, 1.95),
        start=(random.uniform(-0.5, 0.5) * away * 1.2, away),
        heading=random.uniform(-math.pi, math.pi),
        speed=0.0 if stands else random.uniform(1.9, 2.5) if runs else random.uniform(0.6, 1.3),
        cadence=1.35 if runs else 0.95,
        stance=0.42 if runs else 0.6,
        phase=random.random(),
        gesture=Gesture.WAVES if stands and random.random() < 0.7 else Gesture.NONE,
        skin=skin,
    )
