"""What fewer bits cost and give: python -m benchmarks.precisions CHECKPOINT --data LABELS [--calibrate LABELS].

Exports a checkpoint in each precision of OpenVINO and ONNX, runs the files in OpenVINO and ONNX Runtime in f32, and
prints a row each: the size on disk, accuracy on LABELS (poses in the boxes of the truth, or a detector's boxes) with
95 % intervals of 1,000 bootstrap resamples, the difference to f32 on the same resamples, and a run's time over that of
f32 in the same runtime, measured in turn, round by round: the median and quartiles of the rounds' ratios.

--calibrate: training labels from which int8 takes its ranges; the inputs that the training left otherwise.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from annotator.box_evaluation import BoxOptions, evaluate_boxes
from annotator.doctor import processor_name
from annotator.evaluated_poses import ModelRequest, estimate_poses
from annotator.evaluation import compare, read_truth
from benchmarks.released.models import model_bytes
from benchmarks.tables import with_interval
from benchmarks.timing import measure_ways
from trainers.checkpoint import read_checkpoint
from trainers.detection.boxed_images import read_boxed_images
from trainers.export import MOST_CALIBRATED, cut_labelled_inputs, export_checkpoint, read_run_crops
from trainers.export_formats import EXPORT_FORMATS
from trainers.metrics.bootstrap import Measured, differences
from trainers.metrics.evaluation import EvaluationOptions
from trainers.model_card import Card, DetectorCard, FilePrecision
from trainers.network_input import encode_input
from trainers.runtimes import Execution, Session, open_session
from trainers.runtimes.session import RuntimeName
from trainers.source_reading import LabelSource

RUNTIMES: dict[str, RuntimeName] = {"openvino": "openvino", "onnx": "onnxruntime"}  # by format
BATCHES = (1, 8)
Measure = Callable[[Path, Execution], Measured]


@dataclass(frozen=True)
class Row:
    """ratios: by batch, a ratio to f32 each round."""

    precision: FilePrecision
    path: Path
    measured: Measured
    ratios: dict[int, npt.NDArray[np.float64]]


def main() -> None:
    """Print a table."""
    arguments = _arguments()
    card = read_checkpoint(arguments.checkpoint).card
    pixels = (
        cut_labelled_inputs(card, arguments.calibrate, MOST_CALIBRATED)
        if arguments.calibrate
        else read_run_crops(arguments.checkpoint)
    )
    if pixels is None:
        raise SystemExit("there is no parity.npz beside the checkpoint: name training labels with --calibrate")
    measure, names = _measure_of(card, arguments.data)
    print(f"{processor_name()}, {os.cpu_count()} cores; {arguments.rounds} rounds\n")
    cells = ["format", "precision", "MB", *(f"{name}, difference to f32" for name in names)]
    cells += [f"time to f32, batch {batch}" for batch in BATCHES]
    print(f"| {' | '.join(cells)} |\n|{'---|' * len(cells)}")
    with TemporaryDirectory() as folder:
        for export_format in RUNTIMES:
            paths = _export(arguments.checkpoint, export_format, pixels, Path(folder))
            rows = list(
                _rows(paths, Execution(RUNTIMES[export_format], "cpu", "f32"), card, pixels, measure, arguments)
            )
            for row in rows:
                print(f"| {export_format} | {' | '.join(_cells(row, rows[0], names))} |", flush=True)


def _measure_of(card: Card, labels: Path) -> tuple[Measure, tuple[str, ...]]:
    """What measures a file, and the figures to show."""
    source = LabelSource(labels)
    if isinstance(card, DetectorCard):
        boxed = read_boxed_images([(source, True)], leave_out_faulty=True)
        return lambda path, execution: evaluate_boxes(str(path), boxed, BoxOptions(), execution), ("AP", "recall")
    data = read_truth(source, None, None)

    def measure(path: Path, execution: Execution) -> Measured:
        poses = estimate_poses(ModelRequest(path, execution=execution), data, lambda _: None)
        return compare(data, [poses], EvaluationOptions())[0].evaluation

    return measure, ("PCK", "AP")


def _export(
    checkpoint: Path, export_format: str, pixels: npt.NDArray[np.uint8], folder: Path
) -> dict[FilePrecision, Path]:
    kind = EXPORT_FORMATS[export_format]
    return {
        precision: export_checkpoint(
            checkpoint, export_format, pixels, folder / export_format / kind.name_file(precision), precision
        ).path
        for precision in kind.precisions
    }


def _rows(
    paths: dict[FilePrecision, Path],
    execution: Execution,
    card: Card,
    pixels: npt.NDArray[np.uint8],
    measure: Measure,
    arguments: argparse.Namespace,
) -> Iterator[Row]:
    sessions = {precision: open_session(path, execution) for precision, path in paths.items()}
    seconds = {
        batch: _time(
            sessions, encode_input(card.input, np.resize(pixels, (batch, *pixels.shape[1:]))), arguments.rounds
        )
        for batch in BATCHES
    }
    del sessions  # ONNX Runtime's threads wait busily
    for precision, path in paths.items():
        ratios = {batch: found[precision] / found["f32"] for batch, found in seconds.items()}
        yield Row(precision, path, measure(path, execution), ratios)


def _time(
    sessions: Mapping[FilePrecision, Session], batch: npt.NDArray[np.float32], rounds: int
) -> dict[str, npt.NDArray[np.float64]]:
    """By precision, (rounds,) seconds."""
    seconds = measure_ways({name: partial(session.run, batch) for name, session in sessions.items()}, rounds)
    return {name: np.array(found) for name, found in seconds.items()}


def _cells(row: Row, whole: Row, names: Sequence[str]) -> Iterator[str]:
    yield row.precision
    yield f"{model_bytes(row.path) / 1e6:.2f}"
    apart = differences(row.measured, whole.measured)
    for name in names:
        change = "" if row is whole else f", {with_interval(apart[name].interval, '+')}"
        yield f"{with_interval(row.measured.figures[name])}{change}"
    for ratios in row.ratios.values():
        low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        yield f"{median:.2f} ({low:.2f} to {high:.2f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--rounds", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    main()
