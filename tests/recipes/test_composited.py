"""People who are cut out and pasted stay who they are, and are labelled where they are seen."""

import cv2
import numpy as np

from cvat_export.dataset import Category
from cvat_export.labels import Instance, Visibility
from cvat_export.skeleton import Skeleton
from frame_tools.images import encode_image, read_image
from recipes.composited import BRIGHTNESS, compose_people, cut_out, write_composited

HEIGHT, WIDTH = 300, 200
BOX = np.array([70, 50, 130, 250], np.float32)
STICK = Category("person", Skeleton("stick", ("head", "foot"), ((0, 1),)))
WALL, CLOTHES = (90, 160, 200), (180, 40, 40)


def _studio(shadow=True):
    """A red ellipse before a blue wall on which its shadow lies."""
    pixels = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
    if shadow:
        cv2.ellipse(pixels, (118, 160), (25, 90), 0, 0, 360, tuple(int(0.75 * one) for one in WALL), -1)
    cv2.ellipse(pixels, (100, 150), (28, 98), 0, 0, 360, CLOTHES, -1)
    joints = np.array([[100, 60], [100, 240]], np.float32)
    return pixels, Instance("person", BOX, joints, np.full(2, Visibility.VISIBLE, np.uint8))


def _cut(shadow=True):
    found = cut_out(*_studio(shadow), STICK.skeleton.edges)
    assert found is not None
    return found


def test_a_person_is_cut_out_without_the_shadow():
    cut = _cut()
    area = np.pi * 28 * 98
    assert abs(cut.mask.sum() - area) < 0.08 * area
    assert cut.pixels[cut.mask > 0.99].mean(axis=0).tolist() == list(CLOTHES)
    row, column = cut.xy[0].astype(int)[::-1]
    assert cut.mask[row, column] == 1


def test_whoever_wears_the_walls_colour_is_left_out():
    pixels, person = _studio()
    pixels[:] = WALL
    assert cut_out(pixels, person, STICK.skeleton.edges) is None


def test_whoever_fills_the_picture_is_left_out():
    pixels, person = _studio()
    whole = Instance("person", np.array([0, 0, WIDTH, HEIGHT], np.float32), person.xy, person.visibility)
    assert cut_out(pixels, whole, STICK.skeleton.edges) is None


def test_pasted_people_cover_what_their_masks_say():
    random = np.random.default_rng(3)
    for _ in range(30):
        canvas, found = compose_people(np.zeros((240, 320, 3), np.uint8), [_cut(shadow=False)], random)
        drawn = canvas[..., 0] > 0.5 * BRIGHTNESS[0] * CLOTHES[0]
        masks = np.array([one.mask for one in found]).reshape(-1, 240, 320)
        assert (masks.sum(axis=0) < 1.01).all()  # who is behind others is not seen there
        assert (drawn == (masks.sum(axis=0) > 0.5)).mean() > 0.98


def test_labels_lie_on_the_people(tmp_path):
    background = tmp_path / "wall.png"
    background.write_bytes(encode_image(np.zeros((240, 320, 3), np.uint8), ".png"))
    dataset = write_composited(tmp_path / "out", [_cut(shadow=False)], STICK, [background], pictures=12)
    again = write_composited(tmp_path / "again", [_cut(shadow=False)], STICK, [background], pictures=12)
    people = [(image, person) for image in dataset.images for person in image.instances]
    assert len(people) > 12
    for image, person in people:
        name = image.file_name
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        red = read_image(tmp_path / "out" / name).pixels[..., 0] > 40
        x1, y1, x2, y2 = person.bbox_xyxy.astype(int)
        assert 0 <= x1 < x2 <= 320 and 0 <= y1 < y2 <= 240
        assert red[y1:y2, x1:x2].mean() > 0.3
        for (x, y), visibility in zip(person.xy.astype(int), person.visibility, strict=True):
            assert visibility != Visibility.VISIBLE or red[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].any()
    assert {v for _, person in people for v in person.visibility.tolist()} == {0, 1, 2}
    assert [i.instances[0].bbox_xyxy.tolist() for i in dataset.images if i.instances] == [
        i.instances[0].bbox_xyxy.tolist() for i in again.images if i.instances
    ]
