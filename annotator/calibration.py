"""A calibration in the card of the model that it was fitted for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from annotator.errors import AnnotatorError
from annotator.named_models import find_model, is_shipped
from annotator.pose_model import find_card
from cvat_export.atomic import write_text
from trainers.model_card import Calibration, dump_card, read_card
from trainers.runtimes import Execution, open_session
from trainers.runtimes.formats import ModelFormat, identify


def check_calibratable(model: str | Path) -> Path:
    """The file of a model whose card may be changed. Raises AnnotatorError for one that comes with the install."""
    path = find_model(model).path
    if is_shipped(path):
        raise AnnotatorError(
            f"{model}: comes with the install and stays as it is; calibrate a copy: annotator models add {path} "
            "--name NAME"
        )
    return path


def store_calibration(model: str | Path, card: Path | None, calibration: Calibration) -> Path:
    """Write it into the card that the model will be used with; the file that was written.

    Our checkpoints carry their card; beside any other model <stem>.card.json is written, which goes before .yaml.
    Raises TrainersError, and AnnotatorError for a model that comes with the install.
    """
    path = check_calibratable(model)
    file = identify(path)
    if file.format is ModelFormat.CHECKPOINT and card is None:
        from trainers.checkpoint import read_checkpoint, write_checkpoint

        checkpoint = read_checkpoint(path)
        fitted = checkpoint.card.model_copy(update={"calibration": calibration})
        write_checkpoint(path, replace(checkpoint, card=fitted))
        return path
    known = read_card(card) if card else find_card(file.path, None, open_session(file.path, Execution()))
    target = file.path.with_name(f"{file.path.stem}.card.json")
    write_text(target, dump_card(known.model_copy(update={"calibration": calibration})))
    return target
