"""What stands behind the figures: painted once as wide strips, moved with the camera according to their depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from demo.drawing import Camera, FloatArray, Image
from demo.palette import Rgb

STRIP_WIDTH = 2400  # pixels; wider than the way of any camera here
TEXTURE_PX_A_METRE = 48


@dataclass(frozen=True)
class Strip:
    """A picture that stands upright at a depth; its left edge lies at world x 0 minus `left` metres.

    phases: picture (height, width, 3), alpha and 1 - alpha (height, width) float32, moved left by 0, 1/4, 1/2, 3/4
    of a pixel: a slow pan must not jerk, and shifting each frame would cost more than all figures. top: the image
    row of its first row.
    """

    depth: float
    phases: tuple[tuple[Image, FloatArray, FloatArray], ...]
    top: int
    left: float

    def blend(self, image: Image, camera: Camera) -> None:
        """Lay it over the image."""
        shift = camera.focal_px / self.depth * (camera.x + self.left) - camera.width / 2
        quarters = round(max(shift, 0.0) * len(self.phases))
        start, phase = divmod(quarters, len(self.phases))
        picture, alpha, beneath = (part[:, start : start + camera.width] for part in self.phases[phase])
        rows = image[self.top : self.top + len(picture)]
        count = len(rows)
        rows[:] = cv2.blendLinear(picture[:count], rows, alpha[:count], beneath[:count])


@dataclass(frozen=True)
class Scenery:
    """Sky, strips from far to near, and a floor seen from above: its rows are depth, its columns repeat."""

    sky: Image
    strips: tuple[Strip, ...]
    floor: Image

    def render(self, camera: Camera) -> Image:
        """The background as the camera sees it, a new array."""
        image = self.sky.copy()
        line = int(camera.horizon * camera.height)
        image[line:] = self.floor[-1, 0]  # as far as the texture has faded away
        map_x, map_y = _floor_map(replace(camera, x=0.0), len(self.floor))
        shifted = map_x + np.float32(camera.x * TEXTURE_PX_A_METRE + self.floor.shape[1] / 2)
        image[-len(map_y) :] = cv2.remap(self.floor, shifted, map_y, cv2.INTER_LINEAR)
        for strip in self.strips:
            strip.blend(image, camera)
        return image


@cache
def _floor_map(camera: Camera, texture_rows: int) -> tuple[FloatArray, FloatArray]:
    """For each pixel of the rows nearer than the texture's end: its column, from the middle, and its row."""
    rows = np.arange(int(camera.horizon * camera.height) + 1, camera.height, dtype=np.float32) + 0.5
    depth = camera.focal_px * camera.up / (rows - camera.horizon * camera.height)
    depth = depth[TEXTURE_PX_A_METRE * depth < texture_rows - 1]
    columns = (np.arange(camera.width, dtype=np.float32) + 0.5 - camera.width / 2) / camera.focal_px
    map_x = TEXTURE_PX_A_METRE * depth[:, None] * columns[None]
    return map_x, np.repeat(TEXTURE_PX_A_METRE * depth[:, None], camera.width, axis=1)


def park(width: int, height: int, horizon: float, evening: bool) -> Scenery:
    """Hills, trees and a paved way."""
    rng = np.random.default_rng(5)
    top, bottom = ((176, 176, 196), (232, 214, 202)) if evening else ((186, 204, 218), (232, 234, 230))
    line = int(horizon * height)
    hills = _strip(60, line - 82, 90, lambda p, a: _ridge(p, a, rng, (168, 176, 182), 48, 23), width)
    woods = _strip(26, line - 106, 115, lambda p, a: _trees(p, a, rng, (142, 156, 140), 60, 41), width)
    trees = _strip(13, line - 168, 190, lambda p, a: _trees(p, a, rng, (120, 136, 116), 16, 74), width)
    floor = _paving(rng, (186, 182, 172), (150, 158, 136))
    return Scenery(_gradient(width, height, top, bottom), (hills, woods, trees), floor)


def hall(width: int, height: int, horizon: float) -> Scenery:
    """A wall with windows and a wooden floor."""
    rng = np.random.default_rng(6)
    line = int(horizon * height)
    wall_bottom = line + int(0.215 * height)
    wall = _strip(10.5, 0, wall_bottom, lambda p, a: _windows(p, a), width)
    floor = _planks(rng, (186, 168, 150))
    return Scenery(_gradient(width, height, (200, 200, 200), (200, 200, 200)), (wall,), floor)


def _strip(depth: float, top: int, height: int, fill: Callable[[Image, FloatArray], None], width: int) -> Strip:
    picture = np.zeros((height, STRIP_WIDTH, 3), np.uint8)
    alpha = np.zeros((height, STRIP_WIDTH), np.float32)
    fill(picture, alpha)
    phases = tuple(_shift(picture, alpha, quarter / 4) for quarter in range(4))
    return Strip(depth, phases, top, left=0.25 * STRIP_WIDTH * depth / width)


def _shift(picture: Image, alpha: FloatArray, pixels: float) -> tuple[Image, FloatArray, FloatArray]:
    """Both moved to the left, and what is left of what lies behind."""
    matrix = np.array([[1, 0, -pixels], [0, 1, 0]])
    size = (alpha.shape[1], alpha.shape[0])
    moved = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    opaque = cv2.warpAffine(alpha, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return moved, opaque, 1 - opaque  # type: ignore[return-value]


def _gradient(width: int, height: int, top: Rgb, bottom: Rgb) -> Image:
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    column = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    return np.repeat(column, width, axis=1).round().astype(np.uint8)


def _fade(floor: FloatArray) -> Image:
    """Fade the texture away with distance, where it would alias."""
    metres = np.arange(len(floor), dtype=np.float32) / TEXTURE_PX_A_METRE
    share = np.clip((15 - metres) / 11, 0, 1)[:, None, None]
    mean = floor[-TEXTURE_PX_A_METRE:].reshape(-1, 3).mean(axis=0)
    faded = (mean + (floor - mean) * share).clip(0, 255).astype(np.uint8)
    return np.tile(faded, (1, 4, 1))  # as wide as any camera here sees


def _ridge(picture: Image, alpha: FloatArray, rng: np.random.Generator, colour: Rgb, mean: float, swing: float) -> None:
    x = np.arange(STRIP_WIDTH)
    waves = sum(np.sin(x / rng.uniform(70, 330) + rng.uniform(0, 6)) / 3 for _ in range(3))
    tops = len(picture) - mean - swing * np.asarray(waves)
    picture[:] = colour
    alpha[:] = np.clip(np.arange(len(picture))[:, None] - tops[None] + 0.5, 0, 1)


def _trees(picture: Image, alpha: FloatArray, rng: np.random.Generator, colour: Rgb, count: int, size: int) -> None:
    """Trunks and crowns of a few overlapping discs."""
    height = len(picture)
    picture[:] = colour
    for x in np.sort(rng.uniform(0, STRIP_WIDTH, count)):
        tint = rng.uniform(0.90, 1.06)
        crown = tuple(float(tint * channel) for channel in colour)
        trunk = (int(x), height - 1), (int(x), height - int(1.1 * size))
        for canvas, paint in ((picture, (112, 104, 98)), (alpha, 1.0)):
            cv2.line(canvas, *trunk, paint, max(3, size // 11), cv2.LINE_AA)
        for _ in range(7):
            centre = (int(x + rng.normal(0, 0.26 * size)), int(height - size * rng.uniform(1.0, 1.75)))
            radius = int(size * rng.uniform(0.24, 0.42))
            shade = float(rng.uniform(0.94, 1.05))
            cv2.circle(picture, centre, radius, tuple(shade * channel for channel in crown), -1, cv2.LINE_AA)
            cv2.circle(alpha, centre, radius, 1.0, -1, cv2.LINE_AA)
    alpha[-3:] = 1  # a hem of grass


def _windows(picture: Image, alpha: FloatArray) -> None:
    height = len(picture)
    picture[:] = _gradient(1, height, (214, 208, 200), (196, 188, 180))
    alpha[:] = 1
    frame, pane, glow = (236, 234, 230), (188, 202, 212), (204, 215, 222)
    top, bottom = int(0.14 * height), int(0.62 * height)
    for left in range(60, STRIP_WIDTH, 300):
        right = left + 190
        cv2.rectangle(picture, (left - 8, top - 8), (right + 8, bottom + 8), frame, -1)
        cv2.rectangle(picture, (left, top), (right, bottom), pane, -1)
        streak = [(left + 20, bottom), (left + 110, top), (left + 160, top), (left + 70, bottom)]
        cv2.fillConvexPoly(picture, np.array(streak), glow, cv2.LINE_AA)
        cv2.line(picture, (left + 95, top), (left + 95, bottom), frame, 6)
        cv2.line(picture, (left, (top + bottom) // 2), (right, (top + bottom) // 2), frame, 6)
        cv2.rectangle(picture, (left - 16, bottom + 8), (right + 16, bottom + 18), (222, 218, 212), -1)
    picture[int(0.93 * height) :] = (150, 140, 132)
    picture[int(0.925 * height) : int(0.935 * height)] = (122, 114, 108)


def _paving(rng: np.random.Generator, stone: Rgb, grass: Rgb) -> Image:
    """Grass, and from 3.5 m to 8.5 m a way of slabs; the texture's rows are depth."""
    metre = TEXTURE_PX_A_METRE
    texture = np.empty((16 * metre, 12 * metre, 3), np.float32)
    texture[:] = grass
    speckle = cv2.GaussianBlur(rng.normal(0, 1, texture.shape[:2]).astype(np.float32), (0, 0), 3)
    texture += 70 * speckle[..., None]
    for row in range(7 * metre // 2, 17 * metre // 2, metre):
        for column in range(0, texture.shape[1], 3 * metre // 2):
            tint = rng.uniform(0.96, 1.03)
            texture[row : row + metre, column : column + 3 * metre // 2] = np.array(stone) * tint
            texture[row : row + 2, column : column + 3 * metre // 2] *= 0.9
            texture[row : row + metre, column : column + 2] *= 0.9
    return _fade(texture)


def _planks(rng: np.random.Generator, wood: Rgb) -> Image:
    metre = TEXTURE_PX_A_METRE
    texture = np.empty((16 * metre, 12 * metre, 3), np.float32)
    plank = metre // 3
    for column in range(0, texture.shape[1], plank):
        row = -int(rng.integers(0, 2 * metre))
        while row < len(texture):
            cut = slice(max(row, 0), max(row + 2 * metre, 0))
            texture[cut, column : column + plank] = np.array(wood) * rng.uniform(0.93, 1.05)
            texture[max(row, 0) : max(row + 1, 0), column : column + plank] *= 0.85
            row += 2 * metre
        texture[:, column] *= 0.88
    grain = cv2.GaussianBlur(rng.normal(0, 1, texture.shape[:2]).astype(np.float32), (0, 0), 1, sigmaY=12)
    return _fade(texture + 25 * grain[..., None])
