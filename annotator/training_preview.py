"""A page of training crops as the network will see them, with the targets that it learns laid over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from annotator.report import PICTURES, Tile, contact_sheet, write_page
from cvat_export.atomic import write_bytes
from cvat_export.labels import Visibility
from frame_tools.images import encode_image
from trainers.augmentation import Augmentation
from trainers.codecs import Size, encode_heatmaps
from trainers.samples import SampleView, Shown

VISIBLE_COLOUR = (80, 255, 80)
OCCLUDED_COLOUR = (255, 60, 170)
_SAMPLES = 24
_VERSIONS = 4  # of each sample: those of the first epochs
_SHOWN_HEIGHT_PX = 384


def write_preview(
    out: Path, view: SampleView, augmentation: Augmentation, map_size: Size, sigma: float, seed: int
) -> Path:
    """Write OUT/preview.html with samples spread over the data; the changes are those of the first epoch."""
    (out / PICTURES).mkdir(parents=True, exist_ok=True)
    chosen = np.linspace(0, len(view) - 1, min(_SAMPLES, len(view))).astype(int).tolist()
    tiles = []
    for index in chosen:
        shown = [
            view.changed(index, augmentation, np.random.default_rng((seed, epoch, index))) for epoch in range(_VERSIONS)
        ]
        picture = np.concatenate([_overlay(one, map_size, sigma) for one in shown], axis=1)
        name = f"preview_{index:06d}.jpg"
        write_bytes(out / PICTURES / name, encode_image(picture, ".jpg", quality=85))
        tiles.append(Tile(f"{PICTURES}/{name}", view.store.samples[index].file_name, (_counts(shown),)))
    page = out / "preview.html"
    write_page(
        page,
        "Training crops",
        "What the network will see in its first epochs, and what it is to answer: green where a visible joint is, "
        "pink where an occluded one is. Look for joints beside their place, and for changes that no camera makes.",
        {"subjects": len(view), "input": "x".join(map(str, view.input_size)), "maps": "x".join(map(str, map_size))},
        [contact_sheet("Subjects, four epochs each", tiles)],
    )
    return page


def _overlay(shown: Shown, map_size: Size, sigma: float) -> npt.NDArray[np.uint8]:
    """The crop, enlarged, with the targets of visible and of occluded joints in two colours."""
    height, width = shown.pixels.shape[:2]
    scale = max(1, round(_SHOWN_HEIGHT_PX / height))
    size = (width * scale, height * scale)
    maps = encode_heatmaps(shown.xy, (width, height), map_size, "half-pixel", sigma)
    canvas = cv2.resize(shown.pixels, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    for visibility, colour in ((Visibility.VISIBLE, VISIBLE_COLOUR), (Visibility.OCCLUDED, OCCLUDED_COLOUR)):
        chosen = maps[shown.visibility == visibility]
        if len(chosen):
            glow = cv2.resize(chosen.max(axis=0), size, interpolation=cv2.INTER_LINEAR)[..., None] * 0.75
            canvas = canvas * (1 - glow) + np.array(colour, np.float32) * glow
    return canvas.round().clip(0, 255).astype(np.uint8)


def _counts(shown: list[Shown]) -> str:
    labelled = sum(int((one.visibility > 0).sum()) for one in shown)
    occluded = sum(int((one.visibility == Visibility.OCCLUDED).sum()) for one in shown)
    return f"{labelled} joints in the crops, {occluded} of them occluded"
