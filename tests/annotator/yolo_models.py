"""Ultralytics networks with random weights that nevertheless find something, and their exports."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from trainers.runtimes.ultralytics_file import import_ultralytics

SIDE_PX = 160
CLASS_NAMES = {0: "cat", 1: "person", 2: "mouse"}


def make_yolo(architecture: str, path: Path, trained_side_px: int = SIDE_PX) -> Path:
    """A .pt of this architecture ("yolo11n", "yolo11n-pose", …) with our three classes.

    Batch statistics come from noise, and the classes' biases are set so that one anchor in 50 scores above 0.5.
    """
    import_ultralytics()
    import torch
    from ultralytics.nn.tasks import DetectionModel, PoseModel

    torch.manual_seed(7)
    kind = PoseModel if architecture.endswith("-pose") else DetectionModel
    network = kind(f"{architecture}.yaml", nc=len(CLASS_NAMES), verbose=False)
    coarse = torch.rand(16, 3, SIDE_PX // 16, SIDE_PX // 16, generator=torch.Generator().manual_seed(1))
    images = torch.nn.functional.interpolate(coarse, scale_factor=16)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
        network.eval()
        for name in ("cv3", "one2one_cv3"):
            if getattr(network.model[-1], name, None) is not None:
                _spread_scores(network, images, name)
    network.names, network.task = CLASS_NAMES, "pose" if kind is PoseModel else "detect"
    torch.save({"model": network, "train_args": {"imgsz": trained_side_px, "task": network.task}}, path)
    return path


def export_yolo(weights: Path, format: str, folder: Path, **options: object) -> Path:
    """What Ultralytics' own exporter makes of the weights, in a folder of its own."""
    from ultralytics import YOLO

    folder.mkdir()
    copied = shutil.copy(weights, folder)
    return Path(YOLO(copied).export(format=format, imgsz=SIDE_PX, verbose=False, device="cpu", **options))


def convert_to_openvino(onnx: Path, folder: Path) -> Path:
    """An IR with the metadata.yaml that Ultralytics writes, made quicker than by its exporter."""
    import ast

    import onnx as onnx_package
    import openvino

    folder.mkdir()
    openvino.save_model(openvino.Core().read_model(onnx), folder / f"{onnx.stem}.xml", compress_to_fp16=False)
    said = {entry.key: entry.value for entry in onnx_package.load(onnx).metadata_props}
    for key in ("names", "imgsz", "kpt_shape", "args", "stride", "channels"):
        if key in said:
            said[key] = ast.literal_eval(said[key])
    (folder / "metadata.yaml").write_text(yaml.safe_dump(said))
    return folder


def export_pt2(weights: Path, path: Path) -> Path:
    """The network through torch.export with a batch of one, Ultralytics' metadata as an extra file."""
    import json

    import torch
    from ultralytics import YOLO

    network = YOLO(weights).model.eval()
    network.model[-1].export = True
    program = torch.export.export(network, (torch.zeros(1, 3, SIDE_PX, SIDE_PX),))
    said = {"task": network.task, "names": network.names, "imgsz": [SIDE_PX, SIDE_PX], "stride": 32}
    if network.task == "pose":
        said["kpt_shape"] = list(network.model[-1].kpt_shape)
    torch.export.save(program, path, extra_files={"config.txt": json.dumps(said)})
    return path


def _spread_scores(network, images, branch: str) -> None:
    import torch

    head = network.model[-1]
    if branch.startswith("one2one"):
        head.end2end = True
    convolutions = [sequence[-1] for sequence in getattr(head, branch)]
    found: list[torch.Tensor] = []
    hooks = [
        convolution.register_forward_hook(lambda _, __, output: found.append(output.flatten(2)))
        for convolution in convolutions
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    head.end2end = False
    logits = torch.cat(found, dim=2)
    middle = torch.quantile(logits.flatten(), 0.98)
    scale = 2 / (logits.max() - middle)  # no score so near 1 that several are equal
    shift = middle * scale
    for convolution in convolutions:
        convolution.weight *= scale
        convolution.bias.copy_(convolution.bias * scale - shift)
