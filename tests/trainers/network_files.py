"""One small network in every format that can be written here."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import openvino
import torch

CARD_TEXT = '{"name": "tiny"}'
SIDE_PX = 32


@dataclass(frozen=True)
class NetworkFiles:
    """paths: by a name such as "onnx-fixed". network: the torch module that all of them were made of."""

    network: Any
    paths: dict[str, Path]


def write_networks(folder: Path) -> NetworkFiles:
    """Two outputs, (n, 4) and (n, 5, 16, 16), from images (n, 3, 32, 32); "fixed" files take a batch of one."""
    torch.manual_seed(0)
    network = Tiny().eval()
    example = torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(3))
    paths = {
        name: folder / file
        for name, file in {
            "torchscript": "tiny.torchscript",
            "torchscript-baked": "baked.pt",
            "pt2-free": "free.pt2",
            "pt2-fixed": "fixed.pt2",
            "onnx-free": "free.onnx",
            "onnx-fixed": "fixed.onnx",
            "ir-free": "free.xml",
            "ir-fixed": "fixed.xml",
        }.items()
    }
    extra = {"model_card.json": CARD_TEXT}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(paths["torchscript"]), _extra_files=extra)
        torch.jit.trace(BakedBatch(network), example[:1]).save(str(paths["torchscript-baked"]), _extra_files=extra)
        for name, rows, free in (("free", 2, True), ("fixed", 1, False)):
            shapes = ({0: torch.export.Dim("batch")},) if free else None
            program = torch.export.export(network, (example[:rows],), dynamic_shapes=shapes)
            torch.export.save(program, paths[f"pt2-{name}"], extra_files=extra)
            torch.onnx.export(
                network,
                (example[:rows],),
                paths[f"onnx-{name}"],
                dynamo=False,
                input_names=["images"],
                output_names=["pooled", "features"],
                dynamic_axes={key: {0: "batch"} for key in ("images", "pooled", "features")} if free else None,
            )
            model = onnx.load(paths[f"onnx-{name}"])
            onnx.helper.set_model_props(model, extra)
            onnx.save(model, paths[f"onnx-{name}"])
            graph = openvino.Core().read_model(paths[f"onnx-{name}"])
            openvino.save_model(graph, paths[f"ir-{name}"], compress_to_fp16=False)
            (folder / f"{name}.card.json").write_text(CARD_TEXT)
    return NetworkFiles(network, paths)


class Tiny(torch.nn.Module):
    """A convolution, and the means of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.head = torch.nn.Linear(5, 4)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.relu(self.stem(images))
        return self.head(features.mean(dim=(2, 3))), features


class BakedBatch(torch.nn.Module):
    """What tracing makes of careless code: every row is answered as if it were the first."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, features = self.network(images)
        return pooled[:1].expand(images.shape[0], 4) * 1, features
