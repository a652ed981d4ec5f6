"""Networks with random weights and the architectures that people use: their speed is that of trained ones."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.annotator.yolo_models import make_yolo

if TYPE_CHECKING:
    import torch

DETECTOR_SIDE = 640
INPUT_WIDTH, INPUT_HEIGHT, JOINTS = 192, 256, 17
_CARD = {
    "name": "simple-baseline-resnet50 with random weights",
    "skeleton": "coco17",
    "input": {"width": INPUT_WIDTH, "height": INPUT_HEIGHT},
    "head": {"kind": "heatmap", "alignment": "half-pixel"},
}


def write_networks(folder: Path, files: str) -> tuple[Path, Path]:
    """Write YOLO11n and SimpleBaseline ResNet-50, the latter with a card beside it.

    files: `onnx`, or `torch` for an Ultralytics .pt and a TorchScript.
    """
    weights = make_yolo("yolo11n", folder / "yolo.pt", DETECTOR_SIDE)
    return (_export_yolo(weights) if files == "onnx" else weights), _write_pose(folder, files)


def simple_baseline(joints: int = JOINTS) -> torch.nn.Module:
    """Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018: three deconvolutions of 256."""
    import torch
    from torchvision.models import resnet50

    layers: list[torch.nn.Module] = [*list(resnet50(weights=None).children())[:-2]]
    channels = 2048
    for _ in range(3):
        layers += [
            torch.nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False),
            torch.nn.BatchNorm2d(256),
            torch.nn.ReLU(),
        ]
        channels = 256
    return torch.nn.Sequential(*layers, torch.nn.Conv2d(channels, joints, 1)).eval()


def _write_pose(folder: Path, files: str) -> Path:
    import torch

    torch.manual_seed(0)
    network = simple_baseline()
    example = torch.zeros(2, 3, INPUT_HEIGHT, INPUT_WIDTH)
    if files == "torch":
        path = folder / "pose.torchscript"
        torch.jit.trace(network, example).save(str(path))
    else:
        path = folder / "pose.onnx"
        shapes = ({0: torch.export.Dim("batch", min=1, max=1024)},)
        torch.onnx.export(network, (example,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    path.with_suffix(".card.yaml").write_text(yaml.safe_dump(_CARD))
    return path


def _export_yolo(weights: Path) -> Path:
    from ultralytics import YOLO

    exported = YOLO(weights).export(format="onnx", dynamic=True, simplify=False, imgsz=DETECTOR_SIDE, verbose=False)
    return Path(exported)


def export_yolo11n(folder: Path) -> Path:
    """YOLO11n of COCO's 80 classes as OpenVINO's folder, at the size at which it is used."""
    from trainers.runtimes.ultralytics_file import import_ultralytics

    import_ultralytics()
    from ultralytics import YOLO

    with contextlib.chdir(folder):  # where Ultralytics writes what has no file yet
        exported = YOLO("yolo11n.yaml").export(format="openvino", imgsz=DETECTOR_SIDE, verbose=False, device="cpu")
    return folder / exported
