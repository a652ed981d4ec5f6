"""Films of random scenes: the same for everybody, with people of all kinds, before scenery that does not end."""

import math
from pathlib import Path

import av
import numpy as np
from click.testing import CliRunner

from cvat_export.coco import read_coco
from demo.__main__ import main
from demo.figures import Gesture
from demo.film import FOCAL_PX, WIDTH, Moment, film, frame_count
from demo.loop_film import FAR, NEAR, SECONDS, random_scenes
from demo.scenery import STRIP_WIDTH

SCENES = random_scenes(24)


def test_a_film_is_a_minute_unless_told_otherwise() -> None:
    assert frame_count(random_scenes()) == 1200
    assert len(random_scenes(3)) == 3


def test_a_scene_depends_on_seed_and_number_alone() -> None:
    assert [scene.figures for scene in random_scenes(3)] == [scene.figures for scene in SCENES[:3]]
    assert random_scenes(1, seed=1)[0].figures != SCENES[0].figures


def test_people_differ() -> None:
    figures = [figure for scene in SCENES for figure in scene.figures]
    assert {len(scene.figures) for scene in SCENES} == {0, 1, 2, 3, 4}
    assert {figure.gesture for figure in figures} == set(Gesture)
    assert {figure.suit for figure in figures} == set(range(6))
    assert {round(2 * figure.heading / math.pi) % 4 for figure in figures} == {0, 1, 2, 3}
    stand = sum(not figure.speed for figure in figures)
    assert 0.1 < stand / len(figures) < 0.6
    assert not any(f.speed for f in figures if f.gesture in (Gesture.BENDS, Gesture.SQUATS))


def test_nobody_comes_too_near_or_goes_too_far() -> None:
    for figure in (figure for scene in SCENES for figure in scene.figures):
        assert all(NEAR < figure.position(seconds)[1] < FAR for seconds in (0, SECONDS))


def test_the_scenery_is_wide_enough() -> None:
    strips = {scene.scenery: scene.scenery().strips for scene in SCENES}
    for scene in SCENES:
        for strip in strips[scene.scenery]:
            places = np.array(
                [scene.camera_x(float(seconds)) for seconds in np.arange(-0.05, scene.seconds + 0.05, 0.05)]
            )
            shifts = FOCAL_PX / strip.depth * (places + strip.left) - WIDTH / 2
            assert 0 <= shifts.min() <= shifts.max() < STRIP_WIDTH - WIDTH - 1


def test_people_are_seen() -> None:
    counts = [len(Moment(scene, scene.scenery(), SECONDS / 2).people()) for scene in SCENES[:12]]
    there = [len(scene.figures) for scene in SCENES[:12]]
    assert sum(counts) >= 0.8 * sum(there)
    assert counts[5] == 0


def test_the_command_writes_film_and_truth(tmp_path: Path) -> None:
    arguments = [
        "footage",
        str(tmp_path / "a.mp4"),
        "--truth",
        str(tmp_path / "a.json"),
        "--scenes",
        "1",
        "--seed",
        "3",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    with av.open(str(tmp_path / "a.mp4")) as container:
        times = [frame.pts for frame in container.decode(video=0)]
    images = read_coco(tmp_path / "a.json").images
    assert [image.file_name.rsplit("-", 1)[1] for image in images] == [f"{pts}.jpg" for pts in times]
    assert len(times) == 100
    assert [len(f.people) for f in film(random_scenes(1, seed=3))][::50] == [len(i.instances) for i in images][::50]
