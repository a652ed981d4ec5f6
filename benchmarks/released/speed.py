"""How large the models are, and how fast: ratios to others in one run, as a machine's speed changes with the hour."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from annotator.detector import DetectionOptions, load_detector
from annotator.doctor import processor_name
from annotator.pose_model import Crops, load_pose_model
from annotator.preannotation import LabelOptions
from benchmarks.networks import export_yolo11n
from benchmarks.preannotate import BATCH, Job, load_two_stage
from benchmarks.released.models import NamedDetector, NamedPoseModel, fastestdet, model_bytes, movenet
from benchmarks.tables import markdown
from benchmarks.timing import measure_ways
from cvat_export.labels import Boxes
from frame_tools.images import read_image
from trainers.network_input import encode_input
from trainers.runtimes import Execution, Session

THREADS = 2
IMAGES = 64  # where nobody says how many
_CROPS = 32


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is, in the median of the rounds and in the quartiles. what: ours beside which."""

    what: str
    median: float
    low: float
    high: float


def report_speed(
    data: Path, ours: tuple[NamedPoseModel, NamedDetector], execution: Execution, limit: int | None, rounds: int
) -> dict[str, Any]:
    """Print sizes and ratios; the same as plain values."""
    threads = _keep_to_cores(THREADS)
    pose, detector = ours
    paths = sorted((data / "coco_people" / "images").glob("*.jpg"))[: limit or IMAGES]
    openvino = Execution("openvino", precision=execution.precision)
    with TemporaryDirectory() as folder:
        sizes = _sizes(data, pose, detector)
        print(f"{processor_name()}, {threads} cores; {len(paths)} images\n")
        print(markdown(("file", "MB"), [(name, f"{size / 1e6:.1f}") for name, size in sizes.items()]), "\n", flush=True)
        ratios = [
            *_pose_ratios(data, pose, paths, openvino, rounds),
            _detector_ratio(detector, paths, openvino, Path(folder), rounds),
            *_pipeline_ratios(ours, paths, execution, Path(folder), rounds),
        ]
    rows = [(one.what, f"{one.median:.2f}", f"{one.low:.2f} to {one.high:.2f}") for one in ratios]
    print(markdown(("speed of", "median", "quartiles"), rows))
    return {"processor": processor_name(), "cores": threads, "bytes": sizes, "ratios": [asdict(one) for one in ratios]}


def ratio(what: str, seconds: Mapping[str, Sequence[float]], ours: str, other: str) -> Ratio:
    """Of speeds, round by round."""
    found = [b / a for a, b in zip(seconds[ours], seconds[other], strict=True)]
    low, high = np.quantile(found, [0.25, 0.75])
    return Ratio(what, statistics.median(found), float(low), float(high))


def _keep_to_cores(count: int) -> int:
    """Leave this process so many cores at most, from which runtimes take the number of their threads."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    return len(os.sched_getaffinity(0))


def _sizes(data: Path, pose: NamedPoseModel, detector: NamedDetector) -> dict[str, int]:
    others = movenet(data), fastestdet(data)
    paths = {"our pose model": pose.path, "our detector": Path(detector.spec)}
    paths |= {others[0].name: others[0].path, others[1].name: Path(others[1].spec)}
    return {name: model_bytes(path) for name, path in paths.items()}


def _pose_ratios(
    data: Path, pose: NamedPoseModel, paths: Sequence[Path], execution: Execution, rounds: int
) -> list[Ratio]:
    """The bare networks on whole images as crops: what is in them does not matter."""
    ways: dict[str, Callable[[], object]] = {}
    for name, model in (("ours", pose), ("other", movenet(data))):
        loaded = load_pose_model(model.path, model.card, execution)
        batch = encode_input(loaded.card.input, _crops(loaded, paths).pixels)
        for size in (1, BATCH):
            ways[f"{name} {size}"] = partial(
                _run_all, loaded.session, [batch[i : i + size] for i in range(0, len(batch), size)]
            )
        print(f"{model.name}, pose: {loaded.session.runtime} {loaded.session.precision}", flush=True)
    seconds = measure_ways(ways, rounds)
    return [
        ratio(f"our pose model over MoveNet Lightning, {count} at a time", seconds, f"ours {size}", f"other {size}")
        for size, count in ((1, "one person"), (BATCH, f"{BATCH} people"))
    ]


def _crops(model: Any, paths: Sequence[Path]) -> Crops:
    parts = []
    for path in paths[:_CROPS]:
        pixels = read_image(path).pixels
        whole = np.array([[0, 0, pixels.shape[1], pixels.shape[0]]], np.float32)
        parts.append(model.prepare(pixels, Boxes(whole, np.ones(1, np.float32), ("person",))))
    return Crops.concatenate(parts)


def _detector_ratio(
    detector: NamedDetector, paths: Sequence[Path], execution: Execution, folder: Path, rounds: int
) -> Ratio:
    """The bare networks, an image at a time."""
    ways: dict[str, Callable[[], object]] = {}
    for name, spec in (("ours", detector.spec), ("other", str(export_yolo11n(folder)))):
        loaded = load_detector(spec, DetectionOptions(), execution)
        assert loaded.session is not None
        batches = [loaded.prepare(path.name, read_image(path).pixels).pixels[None] for path in paths[:_CROPS]]
        ways[name] = partial(_run_all, loaded.session, batches)
        print(f"{Path(spec).name}, {batches[0].shape}: {loaded.session.runtime} {loaded.session.precision}", flush=True)
    return ratio("our detector over YOLO11n at 640 px", measure_ways(ways, rounds), "ours", "other")


def _pipeline_ratios(
    ours: tuple[NamedPoseModel, NamedDetector], paths: Sequence[Path], execution: Execution, folder: Path, rounds: int
) -> list[Ratio]:
    """Everything from the files to the zip, as long as both models are ours, over these models alone."""
    pose, detector = ours
    estimator = load_two_stage(detector.spec, str(pose.path), DetectionOptions(), execution)
    jobs = {
        "preannotate": Job(list(paths), estimator, folder, LabelOptions()),
        "preannotate --report-pictures 0": Job(list(paths), estimator, folder),
    }
    first = jobs["preannotate"]
    seconds = measure_ways({"bare": first.bare, **{name: job.pipeline for name, job in jobs.items()}}, rounds)
    what = f"over its two models alone, {first.crops} people"
    return [ratio(f"{name} {what}", seconds, name, "bare") for name in jobs]


def _run_all(session: Session, batches: Sequence[Any]) -> None:
    for batch in batches:
        session.run(batch)
