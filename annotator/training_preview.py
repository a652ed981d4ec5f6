"""A page of what a network will see in its training, with what it is to answer laid over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from annotator.report import PICTURES, Tile, contact_sheet, write_page
from cvat_export.atomic import write_bytes
from cvat_export.drawing import draw_boxes
from cvat_export.labels import Visibility
from frame_tools.images import encode_image
from trainers.codecs import Size, encode_heatmaps
from trainers.crops import RgbImage
from trainers.detection.data import read_detection_data
from trainers.detection.image_views import ImageView
from trainers.letterbox import GREY
from trainers.new_network import make_network, map_size
from trainers.samples import Shown
from trainers.training_config import DetectionConfig, PoseConfig, TrainingConfig
from trainers.training_data import make_views, read_training_data

VISIBLE_COLOUR = (80, 255, 80)
OCCLUDED_COLOUR = (255, 60, 170)
_SAMPLES = 24
_VERSIONS = 4  # of each sample: those of the first epochs
_SHOWN_HEIGHT_PX = 384


def write_preview(out: Path, config: PoseConfig) -> Path:
    """Write OUT/preview.html with subjects spread over the data; the changes are those of the first epochs."""
    data = read_training_data(config)
    view, _ = make_views(config, data)
    maps = map_size(make_network(config, data.skeleton), config.input.size)

    def draw(index: int, random: np.random.Generator) -> tuple[RgbImage, str]:
        shown = view.changed(index, random, config.augmentation)
        return _overlay(shown, maps, config.target.sigma), _counts(shown)

    return _write_page(
        out,
        config,
        draw,
        [sample.file_name for sample in view.store.samples],
        "Training crops",
        "What the network will see in its first epochs, and what it is to answer: green where a visible joint is, "
        "pink where an occluded one is. Look for joints beside their place, and for changes that no camera makes.",
        {"subjects": len(view), "maps": "x".join(map(str, maps))},
    )


def write_image_preview(out: Path, config: DetectionConfig) -> Path:
    """The same for a detector: images with the boxes that it learns."""
    view = ImageView(read_detection_data(config).split.training, config.input.size, GREY)

    def draw(index: int, random: np.random.Generator) -> tuple[RgbImage, str]:
        shown = view.changed(index, random, config.augmentation)
        ignored = draw_boxes(shown.pixels, shown.ignored_xyxy, OCCLUDED_COLOUR)
        return draw_boxes(ignored, shown.bbox_xyxy, VISIBLE_COLOUR), f"{len(shown.bbox_xyxy)} boxes"

    return _write_page(
        out,
        config,
        draw,
        [image.file_name for image in view.images],
        "Training images",
        "What the detector will see in its first epochs, and what it is to find: green boxes. In pink ones (crowds, "
        "and who is mostly outside) nothing is learnt; nor outside the green ones where not everybody has a box.",
        {"images": len(view)},
    )


def _write_page(
    out: Path,
    config: TrainingConfig,
    draw: Callable[[int, np.random.Generator], tuple[RgbImage, str]],
    names: Sequence[str],
    title: str,
    text: str,
    figures: dict[str, object],
) -> Path:
    (out / PICTURES).mkdir(parents=True, exist_ok=True)
    chosen = np.linspace(0, len(names) - 1, min(_SAMPLES, len(names))).astype(int).tolist()
    tiles = []
    for index in chosen:
        drawn = [draw(index, np.random.default_rng((config.seed, epoch, index))) for epoch in range(_VERSIONS)]
        name = f"preview_{index:06d}.jpg"
        picture = np.concatenate([pixels for pixels, _ in drawn], axis=1)
        write_bytes(out / PICTURES / name, encode_image(picture, ".jpg", quality=85))
        tiles.append(Tile(f"{PICTURES}/{name}", names[index], (", ".join(said for _, said in drawn),)))
    page = out / "preview.html"
    size = "x".join(map(str, config.input.size))
    write_page(page, title, text, {**figures, "input": size}, [contact_sheet("Four epochs each", tiles)])
    return page


def _overlay(shown: Shown, maps_size: Size, sigma: float) -> RgbImage:
    """The crop, enlarged, with the targets of visible and of occluded joints in two colours."""
    height, width = shown.pixels.shape[:2]
    scale = max(1, round(_SHOWN_HEIGHT_PX / height))
    size = (width * scale, height * scale)
    maps = encode_heatmaps(shown.xy, (width, height), maps_size, "half-pixel", sigma)
    canvas = cv2.resize(shown.pixels, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    for visibility, colour in ((Visibility.VISIBLE, VISIBLE_COLOUR), (Visibility.OCCLUDED, OCCLUDED_COLOUR)):
        chosen = maps[shown.visibility == visibility]
        if len(chosen):
            glow = cv2.resize(chosen.max(axis=0), size, interpolation=cv2.INTER_LINEAR)[..., None] * 0.75
            canvas = canvas * (1 - glow) + np.array(colour, np.float32) * glow
    return canvas.round().clip(0, 255).astype(np.uint8)


def _counts(shown: Shown) -> str:
    labelled, occluded = (shown.visibility > 0).sum(), (shown.visibility == Visibility.OCCLUDED).sum()
    return f"{labelled} joints, {occluded} occluded"
