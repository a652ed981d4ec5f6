"""The film and its truth: what the demo promises about its own footage."""

import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from cvat_export.coco import encode_coco, parse_coco
from cvat_export.labels import Visibility
from demo.film import FRAME_RATE, HEIGHT, TICKS, TIME_BASE, WIDTH, Frame, Moment, frame_count, scenes
from demo.footage import write_footage
from demo.palette import marker_colour


def moments(step_seconds: float) -> list[Moment]:
    found = []
    for scene in scenes():
        scenery = scene.scenery()
        found += [Moment(scene, scenery, float(t)) for t in np.arange(0, scene.seconds, step_seconds)]
    return found


@pytest.fixture(scope="module")
def sampled() -> list[Frame]:
    """A frame of each half second."""
    return [Frame(i * TICKS, moment.expose(), moment.people()) for i, moment in enumerate(moments(0.5))]


def test_it_is_the_same_every_time(sampled: list[Frame]) -> None:
    again = moments(0.5)[7]
    np.testing.assert_array_equal(again.expose(), sampled[7].image)
    assert [p.xy.tolist() for p in again.people()] == [p.xy.tolist() for p in sampled[7].people]


def test_it_has_people_crowds_and_nobody(sampled: list[Frame]) -> None:
    counts = [len(frame.people) for frame in sampled]
    assert set(counts) == {0, 1, 2, 3, 4}
    assert counts.count(0) >= 5


def test_it_has_cuts() -> None:
    for before, after in pairwise(scenes()[:3]):
        last = Moment(before, before.scenery(), before.seconds).expose()
        first = Moment(after, after.scenery(), 0.0).expose()
        assert np.abs(last.astype(int) - first).mean() > 10


def test_the_fast_pan_blurs_the_picture() -> None:
    scene = scenes()[1]
    scenery = scene.scenery()
    moving, still = (Moment(scene, scenery, seconds) for seconds in (3.4, 1.0))

    def edges(image: np.ndarray) -> float:
        return float(np.percentile(np.abs(np.diff(image[:200].astype(int), axis=1)), 99))

    assert edges(moving.expose()) < 0.7 * edges(still.expose())


def test_the_truth_is_inside_the_picture(sampled: list[Frame]) -> None:
    for person in (person for frame in sampled for person in frame.people):
        x1, y1, x2, y2 = person.bbox_xyxy
        assert 0 <= x1 < x2 <= WIDTH
        assert 0 <= y1 < y2 <= HEIGHT
        labelled = person.visibility > Visibility.NOT_LABELLED
        assert ((person.xy[labelled] >= 0) & (person.xy[labelled] < (WIDTH, HEIGHT))).all()
        assert not person.xy[~labelled].any()


def test_visible_joints_lie_in_the_box_and_show_their_colour(sampled: list[Frame]) -> None:
    for frame in sampled[:14]:  # the first scene: nothing is blurred
        for person in frame.people:
            for joint in np.flatnonzero(person.visibility == Visibility.VISIBLE):
                x, y = person.xy[joint]
                x1, y1, x2, y2 = person.bbox_xyxy
                assert x1 - 2 <= x <= x2 + 2  # a marker at an edge may be seen although its middle is covered
                assert y1 - 2 <= y <= y2 + 2
                around = frame.image[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3]
                assert np.abs(around.astype(int) - marker_colour(int(joint))).sum(axis=2).min() <= 6


def test_all_kinds_of_visibility_occur(sampled: list[Frame]) -> None:
    seen = {int(v) for frame in sampled for person in frame.people for v in person.visibility}
    assert seen == {0, 1, 2}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, sampled: list[Frame]) -> tuple[Path, dict]:
    path = tmp_path_factory.mktemp("footage") / "walkers.mp4"
    return path, dict(zip(range(len(sampled)), write_footage(path, sampled).images, strict=True))


def test_the_video_holds_the_frames_with_the_times_of_the_truth(encoded: tuple, sampled: list[Frame]) -> None:
    path, truth = encoded
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    assert [frame.pts for frame in decoded] == [frame.pts for frame in sampled]
    assert {frame.time_base for frame in decoded} == {TIME_BASE}
    assert [image.file_name.rsplit("-", 1)[1] for image in truth.values()] == [f"{f.pts}.jpg" for f in decoded]
    for frame, original in zip(decoded, sampled, strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - original.image).mean() < 4


def test_the_truth_survives_coco(encoded: tuple, tmp_path: Path, sampled: list[Frame]) -> None:
    truth = write_footage(tmp_path / "walkers.mp4", sampled[:5])
    again = parse_coco(json.loads(encode_coco(truth)), where="truth")
    for before, after in zip(truth.images, again.images, strict=True):
        assert before.file_name == after.file_name
        for a, b in zip(before.instances, after.instances, strict=True):
            np.testing.assert_allclose(a.xy, b.xy, atol=0.006)
            np.testing.assert_array_equal(a.visibility, b.visibility)


@pytest.mark.slow
def test_the_whole_film_is_as_long_as_promised(tmp_path: Path) -> None:
    write_footage(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == frame_count()
    assert np.diff(times) == pytest.approx(1 / FRAME_RATE)
