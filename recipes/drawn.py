"""Figures like those of the demo's film, in other places, poses, sizes and skins, with the truth about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvat_export.atomic import write_bytes
from cvat_export.dataset import Dataset, LabelledImage
from demo.cast import random_figure
from demo.film import HEIGHT, HORIZON, WIDTH, Moment, Scene
from demo.footage import footage_category, instance_of
from demo.scenery import Scenery, hall, park
from frame_tools.images import encode_image

SEED = 20
PICTURES = 300
QUALITY = 88


def write_drawn(folder: Path, pictures: int = PICTURES) -> Dataset:
    """The pictures in `folder`, and the labels of them, named by their files alone."""
    random = np.random.default_rng(SEED)
    places = [park(WIDTH, HEIGHT, HORIZON, evening) for evening in (False, True)] + [hall(WIDTH, HEIGHT, HORIZON)]
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number in range(pictures):
        moment = _moment(places[number % len(places)], random)
        name = f"drawn_{number:04d}.jpg"
        write_bytes(folder / name, encode_image(moment.expose(), ".jpg", QUALITY))
        images.append(LabelledImage(name, WIDTH, HEIGHT, tuple(map(instance_of, moment.people()))))
    return Dataset((footage_category(),), tuple(images))


def _moment(scenery: Scenery, random: np.random.Generator) -> Moment:
    figures = tuple(random_figure(random) for _ in range(random.integers(0, 5)))
    start, pan = random.uniform(-0.9, 1.2), random.choice([0.0, 0.0, 0.3, 3.0])
    return Moment(Scene(1.0, lambda: scenery, lambda seconds: start + pan * seconds, figures), scenery, 0.0)
