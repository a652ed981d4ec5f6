"""A joint is drawn where it is: the picture's own pixels say so."""

import numpy as np
import pytest

from cvat_export.drawing import DrawingStyle, draw_instances, joint_colours
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton

ONE = Skeleton("one", ("tip",))
PAIR = Skeleton("pair", ("left_eye", "right_eye"), edges=((0, 1),), flip_pairs=((0, 1),))


def _instance(points, visibility=2):
    points = np.array(points, np.float32)
    return Instance("thing", np.zeros(4), points, np.full(len(points), visibility))


@pytest.mark.parametrize("point", [(20.5, 30.5), (20.0, 30.0), (21.25, 29.75)])
def test_a_disc_is_centred_on_its_joint(point):
    drawn = draw_instances(np.zeros((60, 50, 3), np.uint8), [_instance([point])], ONE, DrawingStyle(boxes=False))
    weight = drawn.sum(axis=2).astype(float)
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    centre = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
    assert centre == pytest.approx(point, abs=0.1)


def test_the_image_given_is_not_painted_on():
    image = np.zeros((60, 50, 3), np.uint8)
    draw_instances(image, [_instance([(20, 20)])], ONE)
    assert not image.any()


def test_left_and_right_differ_and_own_colours_win():
    left, right = joint_colours(PAIR)
    assert left != right
    assert joint_colours(Skeleton("s", ("a",), colours={"a": "#102030"})) == ((16, 32, 48),)


def test_an_occluded_joint_is_a_ring():
    style = DrawingStyle(boxes=False)
    ring = draw_instances(np.zeros((60, 60, 3), np.uint8), [_instance([(30.5, 30.5)], visibility=1)], ONE, style)
    assert ring.any()
    assert not ring[30, 30].any()


def test_joints_not_labelled_are_not_drawn():
    drawn = draw_instances(
        np.zeros((60, 60, 3), np.uint8), [_instance([(9, 9), (20, 20)], 0)], PAIR, DrawingStyle(False)
    )
    assert not drawn.any()


def test_far_outside_and_names_and_scores_are_survived():
    instance = _instance([(-1e5, 20), (1e9, 20)])
    draw_instances(np.zeros((60, 60, 3), np.uint8), [instance], PAIR, DrawingStyle(names=True, scores=True))


def test_one_colour_is_one_colour():
    black = np.zeros((60, 60, 3), np.uint8)
    drawn = draw_instances(black, [_instance([(9, 9), (40, 40)])], PAIR, DrawingStyle(False, colour=(200, 0, 0)))
    assert drawn[..., 0].any()
    assert not drawn[..., 1:].any()
