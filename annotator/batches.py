"""What a model is given at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar


class Sliceable(Protocol):
    """Sequences and whatever else can be cut, such as crops."""

    def __len__(self) -> int: ...

    def __getitem__(self: T, rows: slice, /) -> T: ...


T = TypeVar("T", bound=Sliceable)


def batches(values: T, size: int) -> Iterator[T]:
    """Consecutive slices of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))
