"""What may go wrong with one request."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto


class Fault(Enum):
    """One failure of the network or the server, applied to one request."""

    RESET_BEFORE = auto()  # the connection is closed, nothing was done
    RESET_AFTER = auto()  # done, but the connection is closed without an answer
    STATUS_429 = auto()  # not done; Retry-After: 0
    STATUS_500 = auto()  # not done
    STATUS_504 = auto()  # done, but a proxy gave up waiting for the answer
    TRUNCATED = auto()  # done, and half of the answer's body arrives
    SLOW = auto()  # done, answered late


FaultChooser = Callable[[int, str, str], Fault | None]  # number of the request from 0, method, path without query

SLOW_SECONDS = 0.3
REFUSED_BEFORE_ACTING = frozenset({Fault.RESET_BEFORE, Fault.STATUS_429, Fault.STATUS_500})
CLOSED_WITHOUT_ANSWER = frozenset({Fault.RESET_BEFORE, Fault.RESET_AFTER})
