"""Labelled images -> what a detector is shown: the image in the network's input, and where the subjects lie in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from cvat_export.labels import FloatArray
from frame_tools.frame import RgbImage
from trainers.augmentation import ImageAugmentation, change_colours, compose
from trainers.codecs import Size
from trainers.crops import invert_affines, pixel_indices
from trainers.detection.boxed_images import BoxedImage
from trainers.image_files import read_again
from trainers.letterbox import Letterbox, fit
from trainers.picture_cache import PictureCache

_REACH = 1.25  # times as large as in the input images are kept, for those that are shown enlarged
_LEAST_SEEN = 0.25  # share of a subject that must be in the picture, or nobody can say whether it is one
_TILES = 4
_CENTRE = (0.35, 0.65)  # where the corners of a mosaic's images meet, as a share of the input's sides


@dataclass(frozen=True, eq=False)
class ShownImage:
    """One image as the network sees it.

    pixels: (height, width, 3) uint8 RGB. bbox_xyxy: (n, 4) in pixels of it, what is seen of each subject.
    ignored_xyxy: (m, 4) where somebody may be. complete: whether nobody is outside these.
    """

    pixels: RgbImage
    bbox_xyxy: FloatArray
    ignored_xyxy: FloatArray
    complete: bool


class ImageView:
    """Images in a network's input, plainly or with random changes. Thread safe. budget_bytes: see `PictureCache`."""

    def __init__(
        self, images: Sequence[BoxedImage], input_size: Size, border: tuple[int, int, int], budget_bytes: int = 0
    ) -> None:
        self.images = images
        self.input_size = input_size
        self._border = border
        self.letterboxes = [fit(image.size, input_size, colour=border, smooth=True) for image in images]
        self._complete = [place for place, image in enumerate(images) if image.complete]
        total = 3 * sum(width * height for width, height in map(_kept_size, self.letterboxes))
        self._cache = PictureCache(total, budget_bytes, is_exact=False)

    def __len__(self) -> int:
        return len(self.images)

    def plain(self, index: int) -> ShownImage:
        """The image as a detector in use would be given it."""
        image, letterbox = self.images[index], self.letterboxes[index]
        return ShownImage(
            letterbox.apply(read_again(image.image, image.file_name)),
            letterbox.place(image.bbox_xyxy.reshape(-1, 2)).reshape(-1, 4),
            letterbox.place(image.ignored_xyxy.reshape(-1, 2)).reshape(-1, 4),
            image.complete,
        )

    def changed(self, index: int, random: np.random.Generator, settings: ImageAugmentation) -> ShownImage:
        """The image with random changes, alone or with others: the same for the same state of `random`."""
        if self.images[index].complete and random.random() < settings.mosaic_probability:
            shown = self._mosaic(index, random, settings)
        else:
            shown = self._alone(index, random, settings)
        return replace(shown, pixels=change_colours(shown.pixels, settings, random))

    def _alone(self, index: int, random: np.random.Generator, settings: ImageAugmentation) -> ShownImage:
        """The image larger or smaller, and not in the middle."""
        size = np.array(self.input_size)
        upright, turned_size = _turn(self.images[index].size, random, settings)
        ratio = float((size / turned_size).min()) * (1 + settings.scale) ** random.uniform(-1, 1)
        offset = (size - ratio * np.array(turned_size)) / 2 + random.uniform(-1, 1, 2) * settings.shift * size
        to_input = compose(np.column_stack([np.eye(2) * ratio, offset]), upright)
        canvas = np.full((self.input_size[1], self.input_size[0], 3), self._border, np.uint8)
        return self._draw(canvas, index, to_input, (0, 0, *self.input_size))

    def _mosaic(self, index: int, random: np.random.Generator, settings: ImageAugmentation) -> ShownImage:
        """Four images whose corners meet; whoever reaches over the border of a quarter is cut off there."""
        width, height = self.input_size
        x, y = (int(share * side) for share, side in zip(random.uniform(*_CENTRE, 2), self.input_size, strict=True))
        quarters = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
        chosen = [index, *random.choice(self._complete, _TILES - 1).tolist()]
        canvas = np.full((height, width, 3), self._border, np.uint8)
        parts = []
        for place, quarter in zip(random.permutation(_TILES), quarters, strict=True):
            upright, turned_size = _turn(self.images[chosen[place]].size, random, settings)
            sides = np.array([quarter[2] - quarter[0], quarter[3] - quarter[1]])
            ratios = sides / turned_size
            ratio = random.uniform(ratios.min(), ratios.max()) * random.uniform(0.8, 1.25)
            corner = [
                x - (ratio * turned_size[0] if quarter[0] == 0 else 0),
                y - (ratio * turned_size[1] if quarter[1] == 0 else 0),
            ]
            to_input = compose(np.column_stack([np.eye(2) * ratio, corner]), upright)
            parts.append(self._draw(canvas, chosen[place], to_input, quarter))
        return ShownImage(
            canvas,
            np.concatenate([part.bbox_xyxy for part in parts]),
            np.concatenate([part.ignored_xyxy for part in parts]),
            complete=True,
        )

    def _draw(
        self, canvas: RgbImage, index: int, to_input: npt.NDArray[np.float64], part: tuple[int, int, int, int]
    ) -> ShownImage:
        """Draw an image into a part of the canvas, x1, y1, x2, y2, in place; its subjects as they are seen there."""
        left, top, right, bottom = part
        image = self.images[index]
        pixels, from_image = self._picture(index)
        moved = to_input.copy()
        moved[:, 2] -= (left, top)
        from_picture = compose(moved, invert_affines(from_image[None])[0])
        canvas[top:bottom, left:right] = cv2.warpAffine(
            pixels,
            pixel_indices(from_picture),
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR,
            borderValue=self._border,
        )
        boxes, unclear = _seen(_moved(image.bbox_xyxy, to_input), part)
        crowds = [np.clip(_moved(image.ignored_xyxy, to_input), (left, top) * 2, (right, bottom) * 2)]
        return ShownImage(canvas, boxes, np.concatenate([unclear, *crowds]).astype(np.float32), image.complete)

    def _picture(self, index: int) -> tuple[RgbImage, npt.NDArray[np.float64]]:
        """The image at the size at which it is kept, and image pixels -> pixels of that, (2, 3)."""
        size = _kept_size(self.letterboxes[index])
        scale = np.array(size) / np.array(self.images[index].size)
        pixels = self._cache.get(index, partial(_reduced, self.images[index], size))
        return pixels, np.column_stack([np.diag(scale), np.zeros(2)])


def _kept_size(letterbox: Letterbox) -> Size:
    width, height = (
        round(min(_REACH * scaled, side))
        for scaled, side in zip(letterbox.scaled_size, letterbox.image_size, strict=True)
    )
    return width, height


def _reduced(image: BoxedImage, size: Size) -> RgbImage:
    pixels = read_again(image.image, image.file_name)
    return (
        pixels if size == image.size else np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    )


def _turn(size: Size, random: np.random.Generator, settings: ImageAugmentation) -> tuple[npt.NDArray[np.float64], Size]:
    """A flip and a turn by quarters: image pixels -> pixels of the turned image, and its size."""
    width, height = size
    matrix = np.column_stack([np.eye(2), np.zeros(2)])
    if random.random() < settings.flip_probability:
        matrix = np.array([[-1.0, 0, width], [0, 1, 0]])
    if random.random() < settings.turn_probability:
        for _ in range(random.integers(1, 4)):
            matrix = compose(np.array([[0.0, -1, height], [1, 0, 0]]), matrix)
            width, height = height, width
    return matrix, (width, height)


def _moved(bbox_xyxy: FloatArray, affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Boxes (n, 4) under an affine of flips, quarter turns, scale and shift."""
    corners = bbox_xyxy.reshape(-1, 2) @ affine[:, :2].T + affine[:, 2]
    corners = corners.reshape(-1, 2, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _seen(bbox_xyxy: npt.NDArray[np.float64], part: tuple[int, int, int, int]) -> tuple[FloatArray, FloatArray]:
    """What is seen of boxes (n, 4) in a part of the input: enough to be a subject, and too little to be none."""
    seen = bbox_xyxy.clip(part[:2] * 2, part[2:] * 2)
    areas, whole = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (seen, bbox_xyxy))
    share = areas / np.maximum(whole, 1e-9)
    return seen[share >= _LEAST_SEEN].astype(np.float32), seen[(share > 0) & (share < _LEAST_SEEN)].astype(np.float32)
