"""Whether a new model replaces the old one: if it is better on the fixed evaluation set, or equal and faster.

Better is what the paired bootstrap tells apart: both models are measured on the same resamples of the same groups, so
that what is hard for both cancels out (`trainers.metrics.bootstrap`). Whoever is not told apart from the old one may
still be worse; the margin says by how much at most (a test of non-inferiority).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from annotator.errors import AnnotatorError
from trainers.metrics.bootstrap import Difference, Interval

FASTER = 1.1  # times as fast as the old one; leaves room for what two measurements of one model differ by
MARGIN = 0.02  # of the figure: a loss that a faster model must have ruled out

_STAYS = "the old one stays"


@dataclass(frozen=True)
class Verdict:
    """accepted: the new model replaces the old one. reason: why, with the numbers, for a person."""

    accepted: bool
    reason: str


def judge(difference: Difference | None, speed_ratio: float | None, figure: str) -> Verdict:
    """Better, or not told apart and faster, is accepted.

    difference: new minus old, of a figure of which more is better; None where there was no old model. speed_ratio: how
    many times as fast as the old one, measured side by side; None if nobody measured. figure: its name, for the reason.
    Raises AnnotatorError where the speed is no positive number.
    """
    if speed_ratio is not None and not 0 < speed_ratio < math.inf:
        raise AnnotatorError(
            f"speed ratio {speed_ratio}: expected a positive number, or None where it was not measured"
        )
    if difference is None:
        return Verdict(True, "the first model")
    found = difference.interval
    said = f"{figure} {format_difference(found)}"
    if math.isnan(found.low) or math.isnan(found.high):
        return Verdict(False, f"{said} without an interval: {_TOO_SMALL}")
    if found.low > 0:
        slower = speed_ratio is not None and speed_ratio <= 1 / FASTER
        return Verdict(True, f"{said}: better" + (f", though {_said_of_speed(speed_ratio)}" if slower else ""))
    if found.high < 0:
        return Verdict(False, f"{said}: worse: {_STAYS}")
    return _judge_alike(f"{said}: not told apart, and {_said_of_speed(speed_ratio)}", found, speed_ratio)


def format_difference(found: Interval) -> str:
    """As '+0.031 [+0.012, +0.049]'; without the ends where they are not known."""
    ends = "" if math.isnan(found.low) or math.isnan(found.high) else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.value:+.3f}{ends}"


_TOO_SMALL = (
    "the evaluation set is too small, as it takes two groups of images to resample: "
    f"{_STAYS}; hold out more frames, best of ten videos"
)


def _judge_alike(said: str, found: Interval, speed_ratio: float | None) -> Verdict:
    if speed_ratio is None or speed_ratio < FASTER:
        return Verdict(False, f"{said}: {_STAYS}")
    if found.low > -MARGIN:
        return Verdict(True, said)
    unsure = f"but a loss of {MARGIN:g} or more is not ruled out"
    return Verdict(False, f"{said}, {unsure}: {_STAYS}; with more frames held out it may be")


def _said_of_speed(ratio: float | None) -> str:
    if ratio is None:
        return "speed was not measured"
    if 1 / FASTER < ratio < FASTER:
        return "as fast as the old one"
    return f"{'only ' if ratio < 1 else ''}{ratio:.2f} times as fast"
