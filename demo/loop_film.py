"""Films of random scenes, for a loop that needs more to choose from than the demo's film has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from demo.cast import random_figure
from demo.figures import Figure, Gesture
from demo.film import FOCAL_PX, HEIGHT, HORIZON, WIDTH, Scene
from demo.scenery import Scenery, hall, park

SCENES, SECONDS = 12, 5.0
PEOPLE = (2, 3, 1, 4, 3, 0, 2)  # scene by scene, again and again
PLACES: tuple[Callable[[], Scenery], ...] = (
    partial(park, WIDTH, HEIGHT, HORIZON, evening=False),
    partial(hall, WIDTH, HEIGHT, HORIZON),
    partial(park, WIDTH, HEIGHT, HORIZON, evening=True),
)
LEFTMOST, RIGHTMOST = -0.9, 8.0  # metres; where a camera may begin, so that no strip of scenery ends
NEAR, FAR = 2.8, 10.5  # metres away from the camera, as long as a scene lasts
STANDING = tuple(Gesture)
WALKING = (Gesture.NONE, Gesture.NONE, Gesture.NONE, Gesture.WAVES, Gesture.ARMS_UP, Gesture.ARMS_OUT)


def random_scenes(count: int = SCENES, seed: int = 0) -> tuple[Scene, ...]:
    """Scenes of 5 seconds in turn in the park, the hall and the park at dusk; the n-th depends on the seed alone."""
    return tuple(_scene(number, np.random.default_rng((seed, number))) for number in range(count))


def _scene(number: int, random: np.random.Generator) -> Scene:
    camera_x = _camera(random)
    people = tuple(_figure(random, camera_x(SECONDS / 2)) for _ in range(PEOPLE[number % len(PEOPLE)]))
    return Scene(SECONDS, PLACES[number % len(PLACES)], camera_x, people)


def _camera(random: np.random.Generator) -> Callable[[float], float]:
    """Still, a slow pan, a look to and fro, or a jerk."""
    start, way = random.uniform(LEFTMOST, RIGHTMOST), random.uniform(0.2, 0.5)
    moves: tuple[Callable[[float], float], ...] = (
        lambda seconds: start,
        lambda seconds: start + way * seconds,
        lambda seconds: start + 2 * way * math.sin(seconds) ** 2,
        lambda seconds: start + 2 * way * (1 + math.tanh(5 * (seconds - SECONDS / 2))),
    )
    return moves[random.integers(len(moves))]


def _figure(random: np.random.Generator, camera_x: float) -> Figure:
    """Somebody who is before the camera at half of the scene, and near enough all the time."""
    while True:
        figure = random_figure(random)
        if random.random() < 0.15:
            figure = replace(figure, speed=0.0, cadence=0.95, stance=0.6)
        gestures = WALKING if figure.speed else STANDING
        x = camera_x + random.uniform(-0.42, 0.42) * WIDTH / FOCAL_PX * figure.start[1]
        way = figure.speed * SECONDS / 2
        dx, dy = way * math.cos(figure.heading), way * math.sin(figure.heading)
        away = figure.start[1]
        if away - abs(dy) > NEAR and away + abs(dy) < FAR:
            gesture = gestures[random.integers(len(gestures))]
            return replace(figure, start=(x - dx, away - dy), gesture=gesture)
