"""The models that are measured: ours, and those of others in the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainers.runtimes.formats import identify, model_parts

_CARDS = Path(__file__).parents[2] / "tests" / "cards"


@dataclass(frozen=True)
class NamedPoseModel:
    """name: in tables. card: of a file that carries none. flip_test: whether the mirrored crop is looked at too."""

    name: str
    path: Path
    card: Path | None = None
    flip_test: bool = False


@dataclass(frozen=True)
class NamedDetector:
    """name: in tables. spec: as --detection takes it."""

    name: str
    spec: str


def movenet(data: Path) -> NamedPoseModel:
    """Single person, for sports: 192×192."""
    path = data / "models" / "movenet_lightning_int8.tflite"
    return NamedPoseModel("MoveNet Lightning", path, _CARDS / "movenet_lightning.yaml")


def blazepose(data: Path) -> NamedPoseModel:
    """MediaPipe's landmark model, given upright crops where MediaPipe turns them along the body: 256×256."""
    path = data / "models" / "blazepose_landmark_lite.tflite"
    return NamedPoseModel("BlazePose lite", path, _CARDS / "blazepose_landmark_lite.yaml")


def fastestdet(data: Path) -> NamedDetector:
    """COCO's 80 classes."""
    return NamedDetector("FastestDet", str(data / "models" / "fastestdet.onnx"))


def blazepose_detector(data: Path) -> NamedDetector:
    """See docs/detectors.md for what its boxes are."""
    return NamedDetector("BlazePose's", str(data / "models" / "blazepose_detection.tflite"))


def model_bytes(path: Path) -> int:
    """On disk, with the weights beside the file."""
    return sum(part.stat().st_size for part in model_parts(identify(path)))


HOG = NamedDetector("hog", "hog")
