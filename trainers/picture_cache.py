"""Pictures that are made once and kept in memory for the epochs that follow."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from frame_tools.frame import RgbImage

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


class PictureCache:
    """Pictures (h, w, 3) by their number. Thread safe.

    Where all of them, `total_bytes`, fit `budget_bytes` they are kept as they are; else compressed, to JPEG or, with
    is_exact, without loss. What still does not fit is made anew each time: slower, and the same to the byte.
    """

    def __init__(self, total_bytes: int, budget_bytes: int, is_exact: bool) -> None:
        self._is_raw = total_bytes <= budget_bytes
        self._is_exact = is_exact
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}
        self._room = budget_bytes
        self._lock = threading.Lock()

    def get(self, number: int, make: Callable[[], RgbImage]) -> RgbImage:
        """The picture, made where it is not kept."""
        kept = self._kept.get(number)
        if kept is None:
            kept = make() if self._is_raw else self._compress(make())
            with self._lock:
                if number not in self._kept and self._room >= kept.nbytes:
                    self._kept[number] = kept
                    self._room -= kept.nbytes
        return kept if self._is_raw else np.asarray(cv2.imdecode(kept, cv2.IMREAD_COLOR), np.uint8)

    def _compress(self, pixels: RgbImage) -> npt.NDArray[np.uint8]:
        """The bytes of an image file. Its codec takes the channels for BGR; swapped on both ways, they are right."""
        suffix, options = (".png", _PNG) if self._is_exact else (".jpg", _JPEG)
        is_written, encoded = cv2.imencode(suffix, pixels, options)
        assert is_written
        return np.asarray(encoded, np.uint8)
