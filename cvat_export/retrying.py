"""Steps that meet a network: what passes, and trying again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from cvat_export.errors import CvatExportError

ATTEMPTS = 6  # of one call or step, before a fault is given up on
LONGEST_PAUSE_SECONDS = 30.0

T = TypeVar("T")
Sleep = Callable[[float], object]


class TransientError(CvatExportError):
    """The network or the server failed in a way that passes. retry_after: seconds the server asked to wait."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def attempt(step: Callable[[], T], sleep: Sleep = time.sleep, attempts: int = ATTEMPTS) -> T:
    """Run a step that first looks what there is, again after a passing fault. Raises the last fault."""
    for number in range(attempts):
        try:
            return step()
        except TransientError as fault:
            if number == attempts - 1:
                raise
            sleep(pause(number, fault.retry_after))
    raise AssertionError("unreachable")


def pause(number: int, retry_after: float = 0.0) -> float:
    """Seconds before attempt `number` + 1: doubling, with jitter so that many clients do not come back together."""
    doubling = min(LONGEST_PAUSE_SECONDS, 0.5 * 2**number)
    return max(retry_after, doubling * random.uniform(0.5, 1.0))
