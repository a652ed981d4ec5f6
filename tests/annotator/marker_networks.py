"""Networks whose right answer is known: they find coloured dots on black, and say so in every kind of head.

A pixel that a dot covers in part is darker in proportion, whatever averaged or interpolated it. `_coverage` undoes the
colour without a threshold, so the centre of a dot is where its pixels put it, to a small fraction of a pixel.

Left and right have colours of their own; a mirrored picture is known by its two centre joints, which stand in the
wrong order there, and makes the network take left for right, as people and trained networks do.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cvat_export.skeleton import Skeleton
from trainers.model_card import CropCard, ModelCard, dump_card, parse_card
from trainers.runtimes.metadata import CARD_KEY

COLOURS = {  # joint -> which of red, green and blue it shines in
    "west": (1, 1, 1),
    "east": (1, 1, 0),
    "left_hand": (1, 0, 0),
    "right_hand": (0, 1, 0),
    "left_foot": (0, 0, 1),
    "right_foot": (1, 0, 1),
    "tail": (0, 1, 1),
}
MARKERS = Skeleton("markers", tuple(COLOURS), flip_pairs=((2, 3), (4, 5)))
MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
STRIDE, HEATMAP_SIGMA_CELLS = 4, 2.0
SPLIT_RATIO, SIMCC_SIGMA_BINS = 2, 6.0

HEADS: dict[str, dict[str, Any]] = {
    "half-pixel": {"kind": "heatmap", "alignment": "half-pixel"},
    "stride": {"kind": "heatmap", "alignment": "stride"},
    "align-corners": {"kind": "heatmap", "alignment": "align-corners"},
    "sigmoid-stages": {"kind": "heatmap", "alignment": "half-pixel", "activation": "sigmoid", "background_channels": 1},
    "simcc": {"kind": "simcc", "split_ratio": SPLIT_RATIO, "alignment": "half-pixel"},
    "simcc-stride": {"kind": "simcc", "split_ratio": SPLIT_RATIO, "alignment": "stride", "activation": "softmax"},
    "fraction": {"kind": "coordinates", "order": ["y", "x", "score"]},
    "pixel-indices": {"kind": "coordinates", "order": ["x", "y"], "unit": "pixel-indices", "rows": 9},
}
FORMATS = ("torchscript", "onnx", "openvino", "pt2")


def marker_card(
    head: str, size: tuple[int, int] = (96, 128), colours: str = "rgb", crop: CropCard | None = None
) -> ModelCard:
    """The card of the network that `save_marker_model` writes for it."""
    content = {
        "name": f"markers-{head}",
        "skeleton": "unset",
        "input": {"width": size[0], "height": size[1], "colours": colours, "mean": list(MEAN), "std": list(STD)},
        "head": HEADS[head],
    }
    card = parse_card(content | {"skeleton": {"joints": list(MARKERS.joints)}}, where="marker card")
    return card.model_copy(update={"skeleton": MARKERS, "crop": crop or CropCard(padding=1.0)})


def save_marker_model(path: Path, format: str, head: str, card: ModelCard) -> Path:
    """The network in a file of this format, the card in it (beside it for OpenVINO)."""
    import torch

    network = _network(head, card).eval()
    example = torch.rand(2, 3, card.input.height, card.input.width)
    text = dump_card(card)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript and the quick ONNX exporter are deprecated
        _save(network, example, path, format, text)
    return path


def _save(network: Any, example: Any, path: Path, format: str, card: str) -> None:
    import torch

    match format:
        case "torchscript":
            torch.jit.save(torch.jit.trace(network, example), path, _extra_files={CARD_KEY: card})
        case "pt2":
            program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
            torch.export.save(program, path, extra_files={CARD_KEY: card})
        case "onnx":
            _save_onnx(network, example, path, card)
        case "openvino":
            import openvino

            converted = openvino.convert_model(network, example_input=example, input=[-1, *example.shape[1:]])
            openvino.save_model(converted, path, compress_to_fp16=False)
            path.with_name(f"{path.stem}.card.json").write_text(card, "utf-8")


def draw_markers(
    size: tuple[int, int], xy: npt.NDArray[np.floating[Any]], radius: Sequence[float] | float
) -> npt.NDArray[np.uint8]:
    """An image of `size` (width, height) with a dot at each joint, its edge blended by the area it covers.

    radius: in pixels, of circles, or (x, y) of ellipses.
    """
    radii = np.broadcast_to(np.asarray(radius, np.float64), (2,))
    width, height = size
    image = np.zeros((height, width, 3))
    for centre, colour in zip(xy, COLOURS.values(), strict=True):
        first = np.floor(centre - radii - 1).clip(0).astype(int)
        last = np.minimum(np.ceil(centre + radii + 1).astype(int), size)
        fine = 8  # sub-pixels a side
        axes = [(np.arange((b - a) * fine) + 0.5) / fine + a for a, b in zip(first, last, strict=True)]
        inside = ((axes[0] - centre[0]) / radii[0]) ** 2 + ((axes[1][:, None] - centre[1]) / radii[1]) ** 2 <= 1
        covered = inside.reshape(last[1] - first[1], fine, last[0] - first[0], fine).mean(axis=(1, 3))
        image[first[1] : last[1], first[0] : last[0]] += covered[..., None] * colour
    return (255 * image.clip(0, 1)).round().astype(np.uint8)


def _save_onnx(network: Any, example: Any, path: Path, card: str) -> None:
    import onnx
    import torch

    # torch's newer exporter takes thirty times as long for these few operators.
    torch.onnx.export(
        network, (example,), path, dynamo=False, input_names=["images"], dynamic_axes={"images": {0: "batch"}}
    )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {CARD_KEY: card})
    onnx.save(model, path)


def _network(head: str, card: ModelCard) -> Any:
    import torch

    size = card.input.size

    class Markers(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor
        pixel_x: torch.Tensor
        pixel_y: torch.Tensor
        along_x: torch.Tensor
        along_y: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
            self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
            self.register_buffer("pixel_x", torch.arange(size[0]) + 0.5)
            self.register_buffer("pixel_y", torch.arange(size[1]) + 0.5)
            for name, matrix in _head_matrices(head, size).items():
                self.register_buffer(name, torch.from_numpy(matrix))

        def forward(self, images: torch.Tensor) -> Any:
            pixels = images * self.std + self.mean
            if card.input.colours == "bgr":
                pixels = pixels[:, [2, 1, 0]]
            coverage = _as_seen(_coverage(pixels), self.pixel_x)
            match card.head.kind:
                case "heatmap":
                    return self.maps(coverage)
                case "simcc":
                    return self.bins(coverage.sum(2), self.along_x), self.bins(coverage.sum(3), self.along_y)
            return self.rows(coverage)

        def maps(self, coverage: torch.Tensor) -> torch.Tensor:
            maps = self.along_y @ coverage @ self.along_x.T
            maps = maps / (maps.amax((2, 3), keepdim=True) + 1e-6)
            if head != "sigmoid-stages":
                return maps
            background = maps.new_ones(1, 1, 1, 1) - maps.amax(1, keepdim=True)
            logits = torch.logit(torch.cat([maps, background], 1).clamp(1e-4, 1 - 1e-4))
            return torch.stack([torch.zeros_like(logits), logits], 1)

        def bins(self, marginal: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
            spread = marginal @ along.T
            share = spread / (spread.sum(2, keepdim=True) + 1e-6)
            return torch.log(share + 1e-9) if head == "simcc-stride" else share / (share.amax(2, keepdim=True) + 1e-6)

        def rows(self, coverage: torch.Tensor) -> torch.Tensor:
            mass = coverage.sum((2, 3))
            x = (coverage.sum(2) * self.pixel_x).sum(2) / mass
            y = (coverage.sum(3) * self.pixel_y).sum(2) / mass
            if head == "fraction":
                return torch.stack([y / size[1], x / size[0], mass / (mass + 1)], 2)[:, None]
            beyond = torch.full_like(x[:, :2], -5.0)
            return torch.stack([torch.cat([x - 0.5, beyond], 1), torch.cat([y - 0.5, beyond], 1)], 2).flatten(1)

    return Markers()


def _coverage(pixels: Any) -> Any:
    """How much of each pixel each joint's dot covers, (n, joints, h, w): its darkest channel less all others."""
    import torch

    maps = []
    for colour in COLOURS.values():
        lit = [channel for channel in range(3) if colour[channel]]
        dark = [channel for channel in range(3) if not colour[channel]]
        own = pixels[:, lit].amin(1)
        maps.append(torch.relu(own - pixels[:, dark].amax(1)) if dark else torch.relu(own))
    coverage = torch.stack(maps, 1)
    return torch.where(coverage < 0.02, torch.zeros_like(coverage), coverage)  # the rounding of bytes


def _as_seen(coverage: Any, pixel_x: Any) -> Any:
    """Left and right exchanged where the centre joints say that the picture is mirrored."""
    import torch

    mass = coverage.sum((2, 3))
    x = (coverage.sum(2) * pixel_x).sum(2) / (mass + 1e-6)
    mirrored = (x[:, 0] > x[:, 1])[:, None, None, None]
    return torch.where(mirrored, coverage[:, list(MARKERS.flip_order)], coverage)


def _head_matrices(head: str, size: tuple[int, int]) -> dict[str, npt.NDArray[np.float32]]:
    """Rows of Gaussians about the place of each cell or bin, as the papers define it, over the pixels' centres."""
    spec = HEADS[head]
    if spec["kind"] == "coordinates":
        return {}
    matrices = {}
    for name, pixels in zip(("along_x", "along_y"), size, strict=True):
        step, sigma = (
            (STRIDE, HEATMAP_SIGMA_CELLS) if spec["kind"] == "heatmap" else (1 / SPLIT_RATIO, SIMCC_SIGMA_BINS)
        )
        count = round(pixels / step)
        places = {
            "half-pixel": [(i + 0.5) * step for i in range(count)],
            "stride": [i * step + 0.5 for i in range(count)],
            "align-corners": [i * (pixels - 1) / (count - 1) + 0.5 for i in range(count)],
        }[spec["alignment"]]
        distance = np.array(places)[:, None] - (np.arange(pixels) + 0.5)
        matrices[name] = np.exp(-(distance**2) / (2 * (sigma * step) ** 2)).astype(np.float32)
    return matrices


def embedded_card(path: Path) -> dict[str, Any]:
    """The card in a TorchScript archive, read without any of our code."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(f"extra/{CARD_KEY}"))
        content: dict[str, Any] = json.loads(archive.read(name))
    return content
