"""Any number of rows through a network that takes a fixed number, or one input of its own type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.runtimes.formats import ModelFile
from trainers.runtimes.session import TensorSpec

Arrays = tuple[npt.NDArray[Any], ...]


def check_single_input(count: int, model: ModelFile) -> None:
    """Raises TrainersError unless a model takes one array, as every network over images here does."""
    if count != 1:
        raise TrainersError(f"{model.path}: the model has {count} inputs, expected one: a batch of images")


def check_batch(spec: TensorSpec, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`batch`, contiguous and of the input's type; raises TrainersError where it does not fit `spec`.

    The number of rows is free. Floats may be widened or narrowed, but never become integers.
    """
    fits = batch.ndim == len(spec.shape) and all(
        expected in (None, got) for expected, got in zip(spec.shape[1:], batch.shape[1:], strict=True)
    )
    if not fits or not batch.size:
        expected = ", ".join("n" if size is None else str(size) for size in (None, *spec.shape[1:]))
        raise TrainersError(f"input {spec.name!r}: got an array of shape {batch.shape}, expected ({expected})")
    if not np.can_cast(batch.dtype, spec.dtype, "same_kind"):
        raise TrainersError(f"input {spec.name!r}: got {batch.dtype} values, expected {spec.dtype}")
    return np.ascontiguousarray(batch, dtype=spec.dtype)


def split_rows(batch: npt.NDArray[Any], size: int) -> list[npt.NDArray[Any]]:
    """Pieces of `size` rows; the last is filled up with its last row."""
    padded = np.concatenate([batch, np.repeat(batch[-1:], -len(batch) % size, axis=0)])
    return [padded[start : start + size] for start in range(0, len(padded), size)]


def join_rows(pieces: Sequence[Arrays], outputs: Sequence[TensorSpec], size: int, count: int) -> Arrays:
    """The outputs of the pieces of `split_rows` as those of one run of `count` rows."""
    if count == size:
        return pieces[0]
    for output, array in zip(outputs, pieces[0], strict=True):
        if array.shape[:1] != (size,):
            raise TrainersError(
                f"output {output.name!r} has shape {array.shape} for a batch of {size}: images cannot be told "
                f"apart; export the model without suppression (nms=False)"
            )
    return tuple(np.concatenate(arrays)[:count] for arrays in zip(*pieces, strict=True))
