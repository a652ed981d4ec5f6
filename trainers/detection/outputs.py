"""What a trained detector gives, as its card says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from trainers.errors import TrainersError
from trainers.model_card import DetectorCard, pick_output
from trainers.model_run import Array
from trainers.score_calibration import calibrate

MOST_OVERLAP = 0.6  # IoU above which two boxes are of one subject, in validation and in use
_BOX = 4


def read_boxes(
    card: DetectorCard, outputs: Mapping[str, Array]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Boxes (n, cells, 4), x1, y1, x2, y2 in pixels of the input, and scores (n, cells), before any suppression.

    Scores are calibrated, where the card says how. Raises TrainersError where an output is missing or of another
    shape, and for numbers that are no scores.
    """
    where = f"card {card.name!r}"
    boxes = pick_output(outputs, card.boxes_output, f"{where}: boxes_output")
    scores = pick_output(outputs, card.scores_output, f"{where}: scores_output")
    if boxes.ndim != 3 or boxes.shape[2] != _BOX or scores.shape != boxes.shape[:2]:
        raise TrainersError(
            f"{where}: got boxes {boxes.shape} and scores {scores.shape}, expected (n, cells, {_BOX}) and (n, cells); "
            "was the file exported by annotator export?"
        )
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise TrainersError(f"{where}: the model gives numbers that are not finite; try --precision f32")
    scores = scores.astype(np.float32, copy=False)
    return boxes.astype(np.float32, copy=False), calibrate(scores, card.calibration) if card.calibration else scores
