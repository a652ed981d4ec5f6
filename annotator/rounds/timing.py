"""How fast two pose models are beside each other."""

from __future__ import annotations

import time

import numpy as np

from annotator.pose_model import PoseModel, load_pose_model
from trainers.model_run import run_model
from trainers.runtimes import Execution

_CROPS, _ROUNDS = 8, 9


def speed_ratio(new: str, old: str) -> float:
    """How many times as fast as the old one the new model is, with what this machine runs them in.

    Two of one network and input are as fast; others are run in turns, and the median of the ratios counts, to one
    decimal. Raises as `load_pose_model` does.
    """
    first, second = (load_pose_model(model, None, Execution()) for model in (new, old))
    if (first.card.name, first.card.input.size) == (second.card.name, second.card.input.size):
        return 1.0
    ratios = [_seconds(second) / _seconds(first) for _ in range(_ROUNDS)]
    return round(float(np.median(ratios)), 1)


def _seconds(model: PoseModel) -> float:
    width, height = model.card.input.size
    pixels = np.zeros((_CROPS, height, width, 3), np.uint8)
    started = time.perf_counter()
    run_model(model.card, model.session, pixels)
    return time.perf_counter() - started
