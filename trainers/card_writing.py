"""A card into a model file that somebody else made, of which nothing else changes."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from trainers.errors import TrainersError
from trainers.model_card import ModelCard, card_from_metadata, dump_card
from trainers.pose_decoding import check_card
from trainers.runtimes import Execution, open_session
from trainers.runtimes.formats import ModelFile, ModelFormat, identify
from trainers.runtimes.metadata import CARD_KEY
from trainers.runtimes.onnx_file import copy_with_property

_ALIGNMENT = 64  # of tensors in torch's zips, so that they can be mapped into memory
_LOCAL_HEADER = 30  # bytes before the name


def write_card_into(path: Path, card: ModelCard, output: Path, execution: Execution = Execution()) -> None:
    """A copy of a TorchScript, pt2 or ONNX model at `output`, which may be `path`, with the card in it.

    The model is run first. Raises TrainersError where the card does not fit it, and for formats that carry no card.
    """
    model = identify(path)
    if model.format not in (ModelFormat.TORCHSCRIPT, ModelFormat.PT2, ModelFormat.ONNX):
        raise TrainersError(
            f"{path}: a card cannot be written into {model.format}, only into TorchScript, pt2 and ONNX; put it beside "
            f"the model as {path.stem}.card.yaml"
        )
    check_card(card, open_session(path, execution))
    part = output.with_name(f".{output.name}.part")
    try:
        _write(model, card, part)
        _check_copy(part, card, execution, model)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _check_copy(part: Path, card: ModelCard, execution: Execution, original: ModelFile) -> None:
    """Raises TrainersError where the copy cannot be used: ONNX files may keep their weights in another one."""
    try:
        session = open_session(part, execution)
    except TrainersError as error:
        raise TrainersError(
            f"{original.path}: a copy in {part.parent} does not open: {error}; if its weights are in a file beside it, "
            f"write to {original.path.parent}"
        ) from error
    assert card_from_metadata(session.metadata, str(part)) == card


def _write(model: ModelFile, card: ModelCard, target: Path) -> None:
    if model.format is ModelFormat.ONNX:
        with model.path.open("rb") as source, target.open("wb") as copy:
            copy_with_property(source, copy, CARD_KEY, dump_card(card))
        return
    with zipfile.ZipFile(model.path) as source, zipfile.ZipFile(target, "w") as copy:
        root = source.namelist()[0].partition("/")[0]
        name = f"{root}/extra/{CARD_KEY}"
        for entry in source.infolist():
            if entry.filename != name:
                _copy_entry(source, copy, entry)
        copy.writestr(zipfile.ZipInfo(name), dump_card(card))


def _copy_entry(source: zipfile.ZipFile, copy: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """One member, its content at a multiple of 64 bytes as torch puts it."""
    same = zipfile.ZipInfo(entry.filename, entry.date_time)
    same.compress_type = entry.compress_type
    before = copy.start_dir + _LOCAL_HEADER + len(entry.filename.encode())
    room = -before % _ALIGNMENT
    if room:
        room += _ALIGNMENT if room < 4 else 0
        same.extra = b"FB" + (room - 4).to_bytes(2, "little") + b"Z" * (room - 4)  # torch's own filler
    copy.writestr(same, source.read(entry))
