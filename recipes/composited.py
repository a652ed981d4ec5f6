"""People cut out of plain studios and pasted into pictures without anybody, with the truth about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cvat_export.atomic import write_bytes
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance, Visibility
from frame_tools.frame import RgbImage
from frame_tools.images import encode_image, read_image
from trainers.crops import transform_points

SEED = 21
PICTURES = 600
QUALITY = 88
MOST_PEOPLE = 5
HEIGHTS = (0.08, 1.3)  # of people, shares of the picture's height, as often small as large
LEAST_SEEN = 0.4  # of a person within the picture and not behind others
BRIGHTNESS = (0.55, 1.15)

# Of GrabCut (Rother et al., 2004), which is told the limbs, what lies outside the box, and what looks like the studio.
_ROUNDS = 3
_LIMB = 0.03  # of a limb's certain width, a share of the box's height
_AROUND = 0.04  # of the box, in which an outline may still be
_STUDIO = 0.12  # around it, shares of the box's height: where the studio's colour is taken
_SAME_COLOUR = 12.0  # of Lab's a and b, whatever the light: walls with shadows on them
_PALEST = 1.6  # times as grey as its wall a shadow is
_DARKEST_SHADOW, _BRIGHTEST = 1.8, 1.1  # times as dark and as bright as most of the studio
_PLAUSIBLE = (0.15, 0.75)  # share of the box that is the person; else the cut has failed
_MOST_STUDIO = 0.1  # share of the cut that may look like the studio

Mask = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CutOut:
    """A person alone. pixels: (height, width, 3). mask: (height, width) 0..1. xy: (joints, 2) in these pixels."""

    pixels: RgbImage
    mask: Mask
    xy: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Pasted:
    """mask: what is seen of them in the whole picture. whole: the sum of all of them, in or out of it."""

    mask: Mask
    whole: float
    xy: npt.NDArray[np.float64]


def write_composited(
    folder: Path, people: Sequence[CutOut], category: Category, backgrounds: Sequence[Path], pictures: int = PICTURES
) -> Dataset:
    """The pictures in `folder`, and the labels of them, named by their files alone."""
    random = np.random.default_rng(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number in tqdm(range(pictures), desc="composited", disable=None):
        pixels = read_image(backgrounds[int(random.integers(len(backgrounds)))]).pixels
        canvas, found = compose_people(pixels, people, random)
        name = f"composited_{number:04d}.jpg"
        write_bytes(folder / name, encode_image(canvas, ".jpg", QUALITY))
        instances = tuple(_instance(one, category.name) for one in found)
        images.append(LabelledImage(name, canvas.shape[1], canvas.shape[0], instances))
    return Dataset((category,), tuple(images))


def cut_out(pixels: RgbImage, person: Instance, edges: Sequence[tuple[int, int]]) -> CutOut | None:
    """The person of a picture in which nobody else is; None where the cut is not to be believed."""
    height = float(person.bbox_xyxy[3] - person.bbox_xyxy[1])
    left, top, right, bottom = _grown(person.bbox_xyxy, (_AROUND + _STUDIO) * height, pixels)
    part, xy = pixels[top:bottom, left:right], person.xy - np.array((left, top), np.float32)
    box = person.bbox_xyxy - np.array((left, top, left, top), np.float32)
    inner = _grown(box, _AROUND * height, part)
    around = np.ones(part.shape[:2], bool)
    kept = slice(inner[1], inner[3]), slice(inner[0], inner[2])
    around[kept] = False
    if not around.any():
        return None
    studio = _like_studio(part, around)
    marks = np.where(studio, cv2.GC_PR_BGD, cv2.GC_PR_FGD).astype(np.uint8)
    marks[around] = cv2.GC_BGD
    corners = xy.round().astype(int).tolist()
    for one, other in edges:
        if person.visibility[one] and person.visibility[other]:
            cv2.line(marks, corners[one], corners[other], cv2.GC_FGD, max(1, round(_LIMB * height)))
    cv2.grabCut(part, marks, None, *np.zeros((2, 1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    inside = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    inside = _largest(cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    share = inside.sum() / max(1.0, float((box[2] - box[0]) * (box[3] - box[1])))
    if not _PLAUSIBLE[0] <= share <= _PLAUSIBLE[1] or studio[inside > 0].mean() > _MOST_STUDIO:
        return None
    soft = cv2.GaussianBlur(cv2.erode(inside, np.ones((3, 3), np.uint8)).astype(np.float32), (3, 3), 0)
    return CutOut(part[kept], soft[kept], xy - np.array(inner[:2], np.float32))  # type: ignore[arg-type]


def _grown(bbox_xyxy: npt.NDArray[Any], margin: float, pixels: RgbImage) -> list[int]:
    limits = (pixels.shape[1], pixels.shape[0]) * 2
    grown: list[int] = (bbox_xyxy + np.array((-margin, -margin, margin, margin))).clip(0, limits).astype(int).tolist()
    return grown


def _like_studio(pixels: RgbImage, around: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Where it has a colour, light or dark, that is common around the person."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light, *studio = np.median(lab[around], axis=0)
    lit = (light / lab[..., 0].clip(1)).clip(1, _PALEST)  # some shadows pale as they darken
    ways = [lab[..., 1:] * factor[..., None] - studio for factor in (np.ones_like(lit), lit)]
    near: npt.NDArray[np.bool_] = np.linalg.norm(ways, axis=-1).min(axis=0) < _SAME_COLOUR
    return near & (lab[..., 0] > light / _DARKEST_SHADOW) & (lab[..., 0] < light * _BRIGHTEST)


def _largest(mask: Any) -> Any:
    _, regions, facts, _ = cv2.connectedComponentsWithStats(mask)
    sizes = facts[1:, cv2.CC_STAT_AREA]
    return (regions == 1 + sizes.argmax()).astype(np.uint8) if len(sizes) else mask


def compose_people(
    picture: RgbImage, people: Sequence[CutOut], random: np.random.Generator
) -> tuple[RgbImage, list[_Pasted]]:
    """A copy with some of them in it, nearer ones before others, and what is to be seen of each."""
    canvas, found = picture.copy(), list[_Pasted]()
    for foot, height, left in sorted(_place(random) for _ in range(random.integers(1, MOST_PEOPLE + 1))):
        cut = people[int(random.integers(len(people)))]
        scale = height * picture.shape[0] / cut.pixels.shape[0]
        to_picture = np.array([[scale, 0, left * picture.shape[1]], [0, scale, (foot - height) * picture.shape[0]]])
        pixels, mask = _placed(cut, to_picture, picture.shape)
        whole = float(cut.mask.sum()) * scale**2
        hidden = [_Pasted(one.mask * (1 - mask), one.whole, one.xy) for one in found]
        if mask.sum() < LEAST_SEEN * whole or any(one.mask.sum() < LEAST_SEEN * one.whole for one in hidden):
            continue
        lit = (pixels * random.uniform(*BRIGHTNESS)).clip(0, 255)
        canvas = (canvas + mask[..., None] * (lit - canvas)).round().astype(np.uint8)
        xy = transform_points(to_picture[None], cut.xy[None].astype(np.float64))[0]
        found = [*hidden, _Pasted(mask, whole, xy)]
    return canvas, found


def _place(random: np.random.Generator) -> tuple[float, float, float]:
    """Where somebody's feet are and how tall they are, shares of the picture's height, and where their left is."""
    height = float(np.exp(random.uniform(*np.log(HEIGHTS))))
    top = random.uniform(-0.05, max(0.0, 1 - LEAST_SEEN * height))
    return top + height, height, random.uniform(-0.2, 0.95)


def _placed(cut: CutOut, to_picture: npt.NDArray[np.float64], shape: tuple[int, ...]) -> tuple[Any, Mask]:
    """The person's pixels and mask where they come to lie in a picture of that shape."""
    scale, size = to_picture[0, 0], (shape[1], shape[0])
    shrunk, mask = cut.pixels, cut.mask
    if scale < 1:  # averaged, not sampled
        small = max(1, round(cut.pixels.shape[1] * scale)), max(1, round(cut.pixels.shape[0] * scale))
        shrunk = cv2.resize(cut.pixels, small, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        mask = cv2.resize(cut.mask, small, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        scale = 1.0
    affine = np.array([[scale, 0, to_picture[0, 2]], [0, scale, to_picture[1, 2]]])
    moved = [cv2.warpAffine(one, affine, size, flags=cv2.INTER_LINEAR) for one in (shrunk, mask)]
    return moved[0].astype(np.float32), moved[1]  # type: ignore[return-value]


def _instance(person: _Pasted, category: str) -> Instance:
    """Boxed where they are seen; joints behind others are occluded, those outside the picture are not labelled."""
    rows, columns = np.nonzero(person.mask > 0.5)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    height, width = person.mask.shape
    inside = np.all((person.xy >= 0) & (person.xy < (width, height)), axis=1)
    x, y = np.where(inside[:, None], person.xy, 0).astype(int).T
    near = cv2.dilate(person.mask, np.ones((5, 5), np.uint8))  # a joint may lie on the outline
    seen = np.where(near[y, x] > 0.5, Visibility.VISIBLE, Visibility.OCCLUDED)
    visibility = np.where(inside, seen, Visibility.NOT_LABELLED).astype(np.uint8)
    return Instance(category, box, np.where(inside[:, None], person.xy, 0).astype(np.float32), visibility)
