"""Networks with random weights and the architectures that people use: their speed is that of trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.annotator.yolo_models import make_yolo

if TYPE_CHECKING:
    import torch

INPUT_WIDTH, INPUT_HEIGHT, JOINTS = 192, 256, 17
_CARD = {
    "name": "simple-baseline-resnet50 with random weights",
    "skeleton": "coco17",
    "input": {"width": INPUT_WIDTH, "height": INPUT_HEIGHT},
    "head": {"kind": "heatmap", "alignment": "half-pixel"},
}


def write_networks(folder: Path) -> tuple[Path, Path]:
    """Write YOLO11n and SimpleBaseline ResNet-50 as ONNX; the pose network with a card beside it."""
    return _write_yolo(folder), _write_pose(folder)


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


def _write_pose(folder: Path) -> Path:
    import torch

    torch.manual_seed(0)
    network = simple_baseline()
    example = torch.zeros(2, 3, INPUT_HEIGHT, INPUT_WIDTH)
    path = folder / "pose.onnx"
    shapes = ({0: torch.export.Dim("batch", min=1, max=1024)},)
    torch.onnx.export(network, (example,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    path.with_suffix(".card.yaml").write_text(yaml.safe_dump(_CARD))
    return path


def _write_yolo(folder: Path) -> Path:
    from ultralytics import YOLO

    weights = make_yolo("yolo11n", folder / "yolo.pt")
    exported = YOLO(weights).export(format="onnx", dynamic=True, simplify=False, imgsz=640, verbose=False)
    return Path(exported)
