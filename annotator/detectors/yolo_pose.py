"""One-stage Ultralytics pose networks: detector and pose model in one file."""

from __future__ import annotations

from pathlib import Path

from annotator.detector import DetectionOptions
from annotator.detectors.model_file import load_model_file
from annotator.detectors.network import NetworkDetector
from annotator.errors import AnnotatorError
from annotator.named_models import find_model
from trainers.runtimes import Execution


def load_one_stage(path: str | Path, options: DetectionOptions, execution: Execution) -> NetworkDetector:
    """A network with a pose head, whose `detect_poses` gives boxes and joints at once; `joint_count` says how many."""
    network = load_model_file(find_model(path), options, execution)
    if not network.joint_count:
        raise AnnotatorError(f"{path}: a detector without joints, expected an Ultralytics pose model (task 'pose')")
    return network
