"""Crops -> the array that a network takes, as its card says."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.model_card import Card, InputCard
from trainers.runtimes.session import TensorSpec


def encode_input(card: InputCard, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """The batch for a network, of RGB crops (n, height, width, 3).

    A byte has 256 values: colours are looked up, which takes half the time of computing them.
    """
    if card.dtype == "uint8":
        ordered = pixels[..., ::-1] if card.colours == "bgr" else pixels
        return np.ascontiguousarray(ordered.transpose(0, 3, 1, 2) if card.layout == "nchw" else ordered)
    tables = _tables(card)
    source = (2, 1, 0) if card.colours == "bgr" else (0, 1, 2)
    count, height, width, _ = pixels.shape
    if card.layout == "nchw":
        batch = np.empty((count, 3, height, width), np.float32)
        for crop, planes in zip(pixels, batch, strict=True):
            split = cv2.split(crop)
            for channel in range(3):
                cv2.LUT(split[source[channel]], tables[channel], planes[channel])
        return batch
    batch = np.empty((count, height, width, 3), np.float32)
    interleaved = np.ascontiguousarray(tables.T)[None]
    for crop, target in zip(pixels, batch, strict=True):
        cv2.LUT(np.ascontiguousarray(crop[..., source]), interleaved, target)
    return batch


def check_input(card: Card, spec: TensorSpec) -> None:
    """Raises TrainersError where the card's input is not what the model takes; sizes that are free fit anything."""
    where = f"card {card.name!r}"
    sizes = (3, card.input.height, card.input.width)
    if card.input.layout == "nhwc":
        sizes = (*sizes[1:], sizes[0])
    fits = len(spec.shape) == 4 and all(
        got in (None, wanted) for got, wanted in zip(spec.shape[1:], sizes, strict=True)
    )
    if not fits:
        raise TrainersError(
            f"{where}: input: got {card.input.width} x {card.input.height} as {card.input.layout}, that is "
            f"{_shown((None, *sizes))}, but the model's input {spec.name!r} is {_shown(spec.shape)}; correct width, "
            "height or layout under 'input'"
        )
    if not np.can_cast(np.dtype(card.input.dtype), spec.dtype, "same_kind"):
        raise TrainersError(
            f"{where}: input.dtype: got {card.input.dtype}, but the model's input {spec.name!r} takes {spec.dtype}; "
            f"write dtype: {'uint8' if spec.dtype == np.uint8 else 'float32'}"
        )


def _tables(card: InputCard) -> npt.NDArray[np.float32]:
    """What each byte becomes, (3, 256), by channel in the network's order."""
    levels = np.arange(256) / card.scale
    return ((levels - np.array(card.mean)[:, None]) / np.array(card.std)[:, None]).astype(np.float32)


def _shown(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"
