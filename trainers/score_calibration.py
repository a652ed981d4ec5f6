"""Scores that mean what a card says."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trainers.codecs.peaks import sigmoid
from trainers.model_card import Calibration

_SURE = 1e-4  # how near to 0 and 1 a score may come, so that its logit stays finite


def calibrate(scores: npt.NDArray[np.float32], calibration: Calibration) -> npt.NDArray[np.float32]:
    """Scores as `Calibration` says. A score of 0, which means that nothing was found, stays 0."""
    clear = scores.clip(_SURE, 1 - _SURE)
    logits = np.log(clear / (1 - clear))
    return np.where(scores > 0, sigmoid((logits + calibration.bias) / calibration.temperature), np.float32(0))


def move_score(given: float, wanted: float) -> Calibration:
    """What makes of the score `given` the score `wanted`, both within 0..1, and keeps the order of all."""
    return Calibration(bias=math.log(wanted / (1 - wanted)) - math.log(given / (1 - given)))
