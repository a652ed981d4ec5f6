"""Checkpoint -> model files that other machines run, let out only if they find the same joints."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from trainers.card_changes import UNCHANGED, CardChanges
from trainers.checkpoint import read_checkpoint, restore_network
from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.export_formats import EXPORT_FORMATS
from trainers.label_sources import LabelSource, read_labels
from trainers.model_card import Card, DetectorCard, FilePrecision
from trainers.model_run import run_blank
from trainers.parity import (
    MOST_INPUTS,
    Parity,
    compare_points,
    find_points,
    read_points,
    spread_inputs,
    spread_places,
)
from trainers.run_files import RunFiles
from trainers.runtimes import Execution, open_session
from trainers.runtimes.checkpoint_session import run_checkpoint
from trainers.runtimes.formats import RUNTIMES, identify

MOST_CALIBRATED = 300  # inputs from which int8 takes its ranges; 64 will do


@dataclass(frozen=True)
class Exported:
    """parities: with the checkpoint, one a runtime that opens the file. milliseconds: a crop, of the checkpoint.

    notes: runtimes that cannot open the file, and why.
    """

    path: Path
    parities: tuple[Parity, ...]
    milliseconds: float
    notes: tuple[str, ...]


def export_checkpoint(
    path: Path,
    export_format: str,
    pixels: npt.NDArray[np.uint8],
    output: Path | None = None,
    precision: FilePrecision = "f32",
    trust: bool = False,
    overwrite: bool = False,
    changes: CardChanges = UNCHANGED,
) -> Exported:
    """Write a checkpoint, its card changed, in one of EXPORT_FORMATS, beside it unless `output` says where.

    pixels: real RGB crops (n, height, width, 3) at the size of the changed card's input. int8 takes its ranges from all
    of them; on up to 64, spread over all, the file has to find the joints that the checkpoint finds, in every runtime
    here that opens it. Raises TrainersError where it does not, with the figure, and leaves nothing behind.
    """
    target = _target(path, export_format, output, precision, overwrite)
    checkpoint = read_checkpoint(path)
    checkpoint = replace(checkpoint, card=changes.apply(checkpoint.card))
    _check_crops(checkpoint.card, pixels)
    reference = run_checkpoint(checkpoint, Execution("torch", "cpu", "f32", trust))
    read_points(checkpoint.card, run_blank(checkpoint.card, reference))  # its checks
    card = _by_place(checkpoint.card, [output.name for output in reference.outputs])
    card = card.model_copy(update={"precision": precision})
    compared = pixels[spread_places(len(pixels))]
    expected, milliseconds = find_points(card, reference, compared)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=_nearest_folder(target)) as folder:
        written = Path(folder) / target.name
        EXPORT_FORMATS[export_format].write(restore_network(checkpoint, trust), card, written, pixels)
        parities, notes = [], []
        for runtime in _runtimes(written):
            try:
                session = open_session(written, Execution(runtime, "cpu", "f32"))  # type: ignore[arg-type]
            except TrainersError as error:
                notes.append(f"{runtime} cannot run it: {str(error).removeprefix(f'{written}: ')}")
                continue
            found, its_milliseconds = find_points(card, session, compared)
            parities.append(compare_points(expected, found, runtime, its_milliseconds))
        _check_parities(path, f"{export_format} {precision}", precision, parities, notes)
        _move(written, target)
    return Exported(target, tuple(parities), milliseconds, tuple(notes))


def read_run_crops(checkpoint: Path, size: Size | None = None) -> npt.NDArray[np.uint8] | None:
    """The crops that a training left beside its checkpoint, None where there are none. Raises TrainersError.

    size: (width, height) to scale them to, if any.
    """
    path = RunFiles(checkpoint.parent).parity
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            crops = np.asarray(archive["pixels"])[:MOST_INPUTS]
    except Exception as error:  # numpy raises whatever it stumbles over
        raise TrainersError(f"{path}: damaged: {error}; name labelled images with --data instead") from error
    if size is None or crops.ndim != 4 or crops.shape[2:0:-1] == size:
        return crops
    return np.stack([cv2.resize(crop, size) for crop in crops])


def cut_labelled_inputs(card: Card, labels: Path, most: int = MOST_INPUTS) -> npt.NDArray[np.uint8]:
    """Inputs made of up to `most` labelled subjects or images, spread over the whole file. Raises TrainersError."""
    source = LabelSource(labels)
    if isinstance(card, DetectorCard):
        from trainers.detection.boxed_images import read_boxed_images
        from trainers.detection.image_views import ImageView

        images = read_boxed_images([(source, True)], leave_out_faulty=True).images
        return spread_inputs(ImageView(images, card.input.size, card.border).plain, len(images), most)
    from trainers.crop_store import CropStore

    samples = read_labels([source], leave_out_faulty=True).samples
    return spread_inputs(CropStore(samples, card.input.size, card.crop).region, len(samples), most)


def _target(path: Path, export_format: str, output: Path | None, precision: FilePrecision, overwrite: bool) -> Path:
    """Where to write. Raises TrainersError before any work where that cannot be."""
    if export_format not in EXPORT_FORMATS:
        raise TrainersError(f"format: got {export_format!r}, expected one of {', '.join(EXPORT_FORMATS)}")
    kind = EXPORT_FORMATS[export_format]
    if precision not in kind.precisions:
        able = " or ".join(name for name, other in EXPORT_FORMATS.items() if precision in other.precisions)
        raise TrainersError(
            f"precision {precision}: got format {export_format}, expected {able or 'another precision'}"
        )
    target = output or path.parent / kind.name_file(precision)
    if export_format == "openvino" and target.suffix != ".xml":
        raise TrainersError(f"{target}: an OpenVINO IR is a .xml with its .bin beside it; name it {target.stem}.xml")
    if not _nearest_folder(target).is_dir():
        raise TrainersError(
            f"{target}: {_nearest_folder(target)} is a file, expected a folder; write elsewhere with -o"
        )
    there = [file for file in (target, target.with_suffix(".bin")) if file.exists()]
    if there and not overwrite and (export_format == "openvino" or target in there):
        raise TrainersError(f"{there[0]}: is there already; --overwrite replaces it, -o writes elsewhere")
    if target.exists() and target.samefile(path):
        raise TrainersError(f"{target}: is the checkpoint itself; write elsewhere with -o")
    return target


def _nearest_folder(target: Path) -> Path:
    """What there is of the folders above: folders are made only for a file that is let out."""
    return next(parent for parent in target.absolute().parents if parent.exists())


def _by_place(card: Card, names: list[str]) -> Card:
    """The card with outputs that it names given by their places: TorchScript and pt2 know no names."""
    if isinstance(card, DetectorCard):
        return card
    keys = [key for key in type(card.head).model_fields if key == "output" or key.endswith("_output")]
    named = {key: value for key in keys if isinstance(value := getattr(card.head, key), str)}
    places = {key: names.index(name) for key, name in named.items()}
    return card.model_copy(update={"head": card.head.model_copy(update=places)})


def _check_crops(card: Card, pixels: npt.NDArray[np.uint8]) -> None:
    shape = (card.input.height, card.input.width, 3)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != shape or not len(pixels):
        raise TrainersError(
            f"crops to compare on: got {pixels.dtype} {pixels.shape}, expected uint8 (n, {shape[0]}, {shape[1]}, 3), "
            f"n at least 1, as the input of {card.name!r}"
        )


def _runtimes(path: Path) -> list[str]:
    """Those that could run the file and are installed."""
    return [runtime for runtime in RUNTIMES[identify(path).format] if find_spec(runtime) is not None]


def _check_parities(path: Path, what: str, precision: FilePrecision, parities: list[Parity], notes: list[str]) -> None:
    if not parities:
        raise TrainersError(f"{path}: no runtime here opens what {what} export gives: {'; '.join(notes)}")
    worst = max(parities, key=lambda parity: parity.p90_px if precision == "int8" else parity.p99_px)
    if broken := worst.broken_limits(precision):
        advice = "precision, or name more images with --data" if precision == "int8" else "format"
        raise TrainersError(
            f"{path}: the {what} file finds other points than the checkpoint: run by {worst.runtime}, of "
            f"{worst.points} distances {'; '.join(broken)}; the largest is {worst.max_px:.3f} px. Nothing was written; "
            f"try another {advice}"
        )


def _move(written: Path, target: Path) -> None:
    """Everything that was written goes to its place, what others refer to first."""
    parts = sorted(written.parent.iterdir(), key=lambda part: part == written)
    for part in parts:
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    for part in parts:
        part.replace(target.parent / part.name)
