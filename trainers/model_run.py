"""A model run on pictures as its card says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.model_card import Card
from trainers.network_input import check_input, encode_input
from trainers.runtimes.session import Session

Array = npt.NDArray[Any]


def run_model(card: Card, session: Session, pixels: npt.NDArray[np.uint8]) -> dict[str, Array]:
    """The outputs, by name, for RGB pictures (n, height, width, 3)."""
    arrays = session.run(encode_input(card.input, pixels))
    return {spec.name: array for spec, array in zip(session.outputs, arrays, strict=True)}


def run_blank(card: Card, session: Session) -> dict[str, Array]:
    """The outputs for two blank pictures. Raises TrainersError where the model does not take what the card says."""
    check_input(card, session.inputs[0])
    blank = np.zeros((2, card.input.height, card.input.width, 3), np.uint8)
    try:
        return run_model(card, session, blank)
    except TrainersError as error:
        raise TrainersError(
            f"card {card.name!r}: the model does not take {card.input.width} x {card.input.height} {card.input.dtype} "
            f"{card.input.layout}, as 'input' says: {error}"
        ) from error
