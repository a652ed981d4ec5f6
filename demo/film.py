"""The demo's film: a park and a hall, cuts, pans, an empty stretch, figures that cross; and the truth about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from cvat_export.labels import FloatArray, VisibilityArray
from demo.drawing import Camera, Image, paint
from demo.figures import MARKER_RADIUS, Figure, Gesture, Point, draw_figure, joint_positions, pose
from demo.palette import JOINT_COUNT
from demo.scenery import Scenery, hall, park

WIDTH, HEIGHT, FRAME_RATE = 848, 480, 20
FOCAL_PX, CAMERA_UP, HORIZON = 765.0, 1.4, 0.45
SHUTTER = 0.5  # share of a frame's time that the shutter is open
BLUR_FROM_PX = 4.0  # pixels moved while the shutter is open
VISIBLE_SHARE = 0.5  # of a marker's disc
MIN_VISIBLE_PX = 150  # a smaller remnant of a figure is not in the truth
NEAREST = 1.5  # metres; whoever is nearer has walked past the camera
TICKS = 512  # time stamps a frame, as FFmpeg's MP4 writer has them for this frame rate
TIME_BASE = Fraction(1, TICKS * FRAME_RATE)


@dataclass(frozen=True)
class Scene:
    """A shot. camera_x: metres by seconds since its start."""

    seconds: float
    scenery: Callable[[], Scenery]
    camera_x: Callable[[float], float]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Person:
    """What is true of one figure in one frame, pixels; visibility is COCO's."""

    xy: FloatArray
    visibility: VisibilityArray
    bbox_xyxy: FloatArray
    area: int


@dataclass(frozen=True)
class Frame:
    """One picture of the film. pts: in units of TIME_BASE."""

    pts: int
    image: Image
    people: tuple[Person, ...]


def scenes() -> tuple[Scene, ...]:
    """The film, 20.5 seconds."""
    fair, dark, olive = (226, 190, 166), (134, 104, 86), (190, 152, 124)
    in_the_park = (
        Figure(0, 1.74, (-3.4, 5.2), 0.0, 1.10, phase=0.1, skin=fair),
        Figure(3, 1.62, (4.2, 6.2), math.pi, 0.95, phase=0.5, skin=dark),
        Figure(1, 1.80, (3.2, 8.6), -1.95, 0.75, phase=0.3, skin=olive),
        Figure(4, 1.55, (-11.0, 7.2), 0.0, 2.3, cadence=1.35, stance=0.42, skin=fair),
    )
    in_the_hall = (
        Figure(2, 1.78, (-1.7, 6.3), -0.9, 0.0, gesture=Gesture.WAVES, skin=dark),
        Figure(5, 1.66, (2.9, 5.4), math.pi, 0.90, phase=0.2, skin=fair),
        Figure(0, 1.84, (-2.6, 7.4), 0.15, 1.00, phase=0.7, skin=olive),
    )
    at_dusk = (
        Figure(4, 1.70, (-9.4, 6.0), 0.0, 2.2, cadence=1.35, stance=0.42, phase=0.2, skin=olive),
        Figure(2, 1.76, (2.3, 11.0), -1.68, 1.05, phase=0.4, skin=fair),
    )
    return (
        Scene(7.5, lambda: park(WIDTH, HEIGHT, HORIZON, evening=False), lambda s: -0.9 + 0.22 * s, in_the_park),
        Scene(6.0, lambda: hall(WIDTH, HEIGHT, HORIZON), _whip, in_the_hall),
        Scene(2.5, lambda: park(WIDTH, HEIGHT, HORIZON, evening=True), lambda s: 3.0 - 0.5 * s, ()),
        Scene(4.5, lambda: park(WIDTH, HEIGHT, HORIZON, evening=True), lambda s: 1.5 - 0.2 * s, at_dusk),
    )


def frame_count(shots: Sequence[Scene] | None = None) -> int:
    """How many frames the film has, or one of these shots."""
    return sum(round(scene.seconds * FRAME_RATE) for scene in shots or scenes())


def _whip(seconds: float) -> float:
    """Still, then a fast pan there, and a slow one back."""
    there = 1.9 * (0.5 + 0.5 * math.tanh(5.0 * (seconds - 3.4)))
    return -0.3 + there - 0.16 * max(0.0, seconds - 4.0)


def film(shots: Sequence[Scene] | None = None) -> Iterator[Frame]:
    """Every frame of the film, or of one of these shots, in order."""
    pts = 0
    for scene in shots or scenes():
        scenery = scene.scenery()
        for index in range(round(scene.seconds * FRAME_RATE)):
            moment = Moment(scene, scenery, index / FRAME_RATE)
            yield Frame(pts, moment.expose(), moment.people())
            pts += TICKS


@dataclass(frozen=True)
class Moment:
    """A scene at an instant, as the camera sees it."""

    scene: Scene
    scenery: Scenery
    seconds: float

    def expose(self) -> Image:
        """The picture, averaged over the time that the shutter is open where much moves."""
        opened = SHUTTER / FRAME_RATE
        moved = abs(self.scene.camera_x(self.seconds + opened) - self.camera.x) * FOCAL_PX / 6
        if moved < BLUR_FROM_PX:
            return self._drawn[0]
        count = min(6, 2 + int(moved / 3))
        times = self.seconds + ((np.arange(count) + 0.5) / count - 0.5) * opened
        exposures = [Moment(self.scene, self.scenery, float(time))._drawn[0] for time in times]
        return np.mean(exposures, axis=0).round().astype(np.uint8)

    def people(self) -> tuple[Person, ...]:
        """The truth, at the middle of the exposure."""
        found = (self._person(number, figure) for number, figure in enumerate(self.scene.figures))
        return tuple(person for person in found if person is not None)

    @cached_property
    def camera(self) -> Camera:
        """Where the camera is."""
        return Camera(self.scene.camera_x(self.seconds), CAMERA_UP, FOCAL_PX, WIDTH, HEIGHT, HORIZON)

    @cached_property
    def _poses(self) -> tuple[Mapping[str, Point], ...]:
        return tuple(pose(figure, self.seconds) for figure in self.scene.figures)

    @cached_property
    def _drawn(self) -> tuple[Image, Image]:
        """The picture without blur, and who owns each of its pixels (0: nobody)."""
        image = self.scenery.render(self.camera)
        owners = np.zeros(image.shape[:2], np.uint8)
        distances = [figure.position(self.seconds)[1] for figure in self.scene.figures]
        for number in sorted(range(len(distances)), key=lambda n: -distances[n]):
            if distances[number] > NEAREST:
                figure, points = self.scene.figures[number], self._poses[number]
                _cast_shadow(image, figure.position(self.seconds), figure.height, self.camera)
                paint(image, owners, draw_figure(figure, points, self.camera, _first_owner(number)))
        return image, owners

    @cached_property
    def _owned(self) -> npt.NDArray[np.intp]:
        """Pixels an owner, (256,)."""
        return cv2.calcHist([self._drawn[1]], [0], None, [256], [0, 256])[:, 0].astype(np.intp)

    def _person(self, number: int, figure: Figure) -> Person | None:
        first = _first_owner(number)
        last = first + JOINT_COUNT
        area = int(self._owned[first : last + 1].sum())
        if area < MIN_VISIBLE_PX:
            return None
        x, y, width, height = cv2.boundingRect(cv2.inRange(self._drawn[1], np.array(first), np.array(last)))
        points = joint_positions(self._poses[number])
        xy, scale = self.camera.project(points)
        discs = math.pi * (scale * MARKER_RADIUS * figure.height) ** 2
        visible = self._owned[first + 1 : last + 1] >= VISIBLE_SHARE * discs
        inside = np.all((xy >= 0) & (xy < (WIDTH, HEIGHT)), axis=1, keepdims=True)
        visibility = np.where(inside[:, 0], np.where(visible, 2, 1), 0).astype(np.uint8)
        box = np.array([x, y, x + width, y + height], np.float32)
        return Person(np.where(inside, xy, 0).astype(np.float32), visibility, box, area)


def _first_owner(number: int) -> int:
    """Of the n-th figure's body; its markers follow, one a joint."""
    return 1 + (1 + JOINT_COUNT) * number


def _cast_shadow(image: Image, place: tuple[float, float], height: float, camera: Camera) -> None:
    """Darken the floor under somebody's feet."""
    (centre,), (scale,) = camera.project(np.array([[*place, 0.0]]))
    axes = height * scale * np.array([0.20, 0.034])
    x1, y1 = np.maximum(np.floor(centre - axes - 2), 0).astype(int)
    x2, y2 = np.ceil(centre + axes + 2).clip(0, (camera.width, camera.height)).astype(int)
    if x1 >= x2 or y1 >= y2:
        return
    shade = np.ones((y2 - y1, x2 - x1), np.float32)
    middle = np.round((centre - (x1, y1) - 0.5) * 16).astype(int).tolist()
    cv2.ellipse(shade, middle, np.round(axes * 16).astype(int).tolist(), 0, 0, 360, 0.78, -1, cv2.LINE_8, 4)
    image[y1:y2, x1:x2] = (image[y1:y2, x1:x2] * cv2.blur(shade, (5, 3))[..., None]).astype(np.uint8)
