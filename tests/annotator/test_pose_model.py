"""Proof of the geometry: networks that find coloured dots must find them where they were drawn; and real models."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from annotator.errors import AnnotatorError
from annotator.pose_model import Crops, estimate_image, load_pose_model
from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Boxes
from cvat_export.skeleton import Skeleton, read_skeleton
from frame_tools.images import read_image
from tests.annotator.marker_networks import (
    COLOURS,
    FORMATS,
    HEADS,
    MARKERS,
    draw_markers,
    embedded_card,
    marker_card,
    save_marker_model,
)
from trainers.crops import crop_affines, invert_affines, transform_points
from trainers.errors import TrainersError
from trainers.model_card import CropCard, dump_card
from trainers.runtimes import Execution

pytest.importorskip("torch", reason="the marker networks are built with torch: pip install -e '.[train]'")

SUFFIXES = {"torchscript": ".torchscript", "onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
EVERY_FORMAT = [pytest.param(name, marks=pytest.mark.slow) if name == "pt2" else name for name in FORMATS]
EXACT = Execution(precision="f32")  # bf16 has 8 bits: 0.4 of a 192 pixel input's pixels, for coordinates
TOLERANCE_PX = 0.5  # in the original image
# Where the crop makes the image much smaller, half a pixel of the image is no longer to be had from bytes, and OpenCV
# warps in steps of 1/32 pixel: then a sixteenth of an input pixel. At 8 times and less the rule above is the stricter.
TOLERANCE_INPUT_PX = 1 / 16
CARDS = Path(__file__).parents[1] / "cards"


@pytest.fixture(scope="session")
def marker_model(tmp_path_factory):
    """A marker model with the card in its file, written and loaded once; other crops are put into the loaded card."""
    folder = tmp_path_factory.mktemp("markers")
    loaded = {}

    def get(head="half-pixel", format="torchscript", flip_test=False, crop=None, size=(96, 128), colours="rgb"):
        key = (head, format, size, colours)
        if key not in loaded:
            path = folder / f"{head}-{size[0]}-{colours}{SUFFIXES[format]}"
            save_marker_model(path, format, head, marker_card(head, size, colours))
            loaded[key] = load_pose_model(path, None, EXACT)
        model = loaded[key]
        card = model.card.model_copy(update={"crop": crop}) if crop else model.card
        return replace(model, card=card, flip_test=flip_test)

    return get


def _without_card(folder):
    """A TorchScript model that says nothing of itself."""
    import torch

    path = save_marker_model(folder / "bare.torchscript", "torchscript", "fraction", marker_card("fraction"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.load(path), path)
    return path


def _boxes(*corners):
    return Boxes(np.float32(corners).reshape(-1, 4), np.ones(len(corners)), ("dots",) * len(corners))


def _grid(model, image_size, box):
    """3 x 3 cells over what the model's crop of `box` sees of the image: first corner, cell, dots' radii, room to move.

    Dots are as large as they must be to be seen: two pixels of the input, 1.5 of the image.
    """
    size, crop = model.card.input.size, model.card.crop
    to_image = invert_affines(crop_affines(np.array([box]), size, crop.padding, crop.fit))
    seen = transform_points(to_image, np.array([[[0, 0], size]]))[0]
    pixel = to_image[0, [0, 1], [0, 1]]
    radius = np.maximum(1.5, 2 * pixel)
    first = np.maximum(seen[0], 0) + 1.5 * radius
    last = np.minimum(seen[1], image_size) - 1.5 * radius
    cell = (last - first) / 3
    return first, cell, radius, (cell - 3 * radius - 2 * pixel) / 2


def _scene(model, image_size, box, seed):
    """Dots at random places, one a cell, (joints, 2), and their radii.

    The two centre joints stand in the outer columns, so that a mirrored scene can be told.
    """
    first, cell, radius, room = _grid(model, image_size, box)
    assert (room > 0).all(), "too small a box for seven dots"
    places = np.array([[0, 1], [2, 1], [0, 0], [2, 0], [1, 2], [2, 2], [0, 2]])  # columns and rows of the grid
    moved = np.random.default_rng(seed).uniform(-1, 1, (7, 2)) * room
    return first + (places + 0.5) * cell + moved, radius


def _error(model, image_size, box, seed=0):
    """The greatest distance between a dot and where the model says it is, in pixels of the image."""
    xy, radius = _scene(model, image_size, box, seed)
    found = estimate_image(model, draw_markers(image_size, xy, radius), _boxes(box))
    assert (found.visibility == 2).all()
    assert (found.scores > 0.5).all()
    return np.linalg.norm(found.xy[0] - xy, axis=1).max()


BOXES = {  # of an image of 301 x 397 pixels
    "inside": (60, 50, 240, 330),
    "whole image": (0, 0, 301, 397),
    "over every border": (-40, -60, 350, 460),
    "half outside left": (-150, 40, 150, 380),
    "half outside right below": (160, 220, 440, 560),
    "small": (100.3, 90.7, 161.9, 170.2),
    "wide": (3, 150, 298, 290),
    "tall": (120, 2, 220, 395),
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("format", EVERY_FORMAT)
@pytest.mark.parametrize("head", ["half-pixel", "simcc", "fraction"])
def test_every_runtime_finds_every_joint(marker_model, head, format, box):
    assert _error(marker_model(head, format), (301, 397), box) < TOLERANCE_PX


@pytest.mark.parametrize("flip_test", [False, True], ids=["plain", "flip-test"])
@pytest.mark.parametrize("head", HEADS)
def test_every_head_finds_every_joint(marker_model, head, flip_test):
    model = marker_model(head, flip_test=flip_test)
    errors = {name: _error(model, (301, 397), box) for name, box in BOXES.items()}
    assert max(errors.values()) < TOLERANCE_PX, errors


@pytest.mark.parametrize("fit", ["contain", "stretch"])
@pytest.mark.parametrize("padding", [1.0, 1.1, 1.25, 1.5, 1.75, 2.0])
@pytest.mark.parametrize("flip_test", [False, True], ids=["plain", "flip-test"])
def test_every_padding_and_fit(marker_model, padding, fit, flip_test):
    for head in ("half-pixel", "stride", "simcc", "fraction"):
        model = marker_model(head, flip_test=flip_test, crop=CropCard(padding=padding, fit=fit))
        for box in (BOXES["inside"], BOXES["half outside left"], BOXES["wide"]):
            assert _error(model, (301, 397), box) < TOLERANCE_PX, (head, box)


@pytest.mark.parametrize("size", [(64, 64), (128, 96), (97, 131)], ids=str)
@pytest.mark.parametrize("head", ["fraction", "simcc"])
def test_inputs_of_any_shape(marker_model, head, size):
    for box in BOXES.values():
        assert _error(marker_model(head, size=size, flip_test=True), (301, 397), box) < TOLERANCE_PX


@pytest.mark.parametrize("head", ["half-pixel", "stride", "align-corners", "simcc", "fraction"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_box_in_any_image(marker_model, head, data):
    """Boxes at any fraction of a pixel, up to a third outside on any side, enlarged and reduced by the crop."""
    model = marker_model(head, flip_test=data.draw(st.booleans(), label="flip test"))
    size = [data.draw(st.integers(150, 640), label=side) for side in ("width", "height")]
    sides = [data.draw(st.floats(side / 3, side), label="box") for side in size]
    first = [data.draw(st.floats(-b / 3, a - b * 2 / 3), label="x, y") for a, b in zip(size, sides, strict=True)]
    box = (*first, first[0] + sides[0], first[1] + sides[1])
    assume((_grid(model, size, box)[3] > 0).all())
    assert _error(model, tuple(size), box, seed=1) < TOLERANCE_PX


@pytest.mark.parametrize("head", ["half-pixel", "simcc", "fraction"])
@pytest.mark.parametrize("times", [7.5, 16])
def test_a_box_far_larger_than_the_input(marker_model, head, times):
    box = (1, 2, 1 + 96 * times, 2 + 128 * times)
    limit = max(TOLERANCE_PX, TOLERANCE_INPUT_PX * times)
    assert _error(marker_model(head), (int(97 * times), int(129 * times)), box) < limit


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_rotated_picture(marker_model, orientation, tmp_path):
    """Found in the upright picture, whatever the EXIF tag says; the file is written by PIL, which knows the tags."""
    model = marker_model("half-pixel")
    xy, radius = _scene(model, (301, 397), BOXES["inside"], seed=2)
    upright = Image.fromarray(draw_markers((301, 397), xy, radius))
    turned_by = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}.get(orientation, [])  # the inverse of each tag
    stored = upright
    for method in turned_by:
        stored = stored.transpose(Image.Transpose(method))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "phone.png", exif=exif)
    found = estimate_image(model, read_image(tmp_path / "phone.png").pixels, _boxes(BOXES["inside"]))
    assert np.linalg.norm(found.xy[0] - xy, axis=1).max() < TOLERANCE_PX


def test_the_networks_colour_order(marker_model):
    assert _error(marker_model("fraction", colours="bgr"), (301, 397), BOXES["inside"]) < TOLERANCE_PX


def test_the_flip_test_exchanges_sides(marker_model):
    """A skeleton without pairs leaves the sides of the mirrored answer as they are: the test above must notice."""
    model = marker_model("fraction", flip_test=True)
    xy, radius = _scene(model, (301, 397), BOXES["inside"], seed=0)
    image = draw_markers((301, 397), xy, radius)
    without_pairs = model.card.model_copy(update={"skeleton": Skeleton("no pairs", MARKERS.joints)})
    found = estimate_image(replace(model, card=without_pairs), image, _boxes(BOXES["inside"]))
    assert np.linalg.norm(found.xy[0, 2] - xy[2]) > 5


def test_a_dot_that_is_not_there_is_not_labelled(marker_model):
    for head in ("half-pixel", "fraction"):
        model = marker_model(head, flip_test=True)
        xy, radius = _scene(model, (301, 397), BOXES["inside"], seed=0)
        image = draw_markers((301, 397), xy, radius)
        left, top = np.floor(xy[6] - radius - 2).astype(int)
        right, bottom = np.ceil(xy[6] + radius + 2).astype(int)
        image[top:bottom, left:right] = 0
        found = estimate_image(model, image, _boxes(BOXES["inside"]))
        assert found.visibility[0].tolist() == [2, 2, 2, 2, 2, 2, 0]
        assert found.scores[0, 6] == 0
        assert (found.xy[0, 6] == 0).all()


def test_crops_of_many_images_come_back_in_order(marker_model):
    model = marker_model("fraction")
    scenes = [_scene(model, (301, 397), box, seed) for seed, box in enumerate(BOXES.values())]
    images = [draw_markers((301, 397), xy, radius) for xy, radius in scenes]
    parts = [model.prepare(image, _boxes(box)) for image, box in zip(images, BOXES.values(), strict=True)]
    parts.insert(2, model.prepare(images[0], Boxes.empty()))
    together = Crops.concatenate(parts)
    assert len(together) == len(BOXES)
    pieces = [model.estimate(together[start : start + 3]) for start in range(0, len(together), 3)]
    xy = np.concatenate([piece.xy for piece in pieces])
    assert np.linalg.norm(xy - np.array([scene[0] for scene in scenes]), axis=2).max() < TOLERANCE_PX


def test_nobody_gives_nobody(marker_model):
    model = marker_model("fraction")
    found = estimate_image(model, np.zeros((50, 60, 3), np.uint8), Boxes.empty())
    assert found.xy.shape == (0, len(COLOURS), 2)


@pytest.mark.parametrize("format", EVERY_FORMAT)
def test_the_card_inside_the_model_is_used(marker_model, format):
    model = marker_model("simcc", format)
    assert model.card == marker_card("simcc")
    assert len(model.sha256) == 64
    assert model.skeleton == MARKERS


def test_a_card_given_wins_over_the_one_inside(tmp_path):
    path = save_marker_model(tmp_path / "model.torchscript", "torchscript", "fraction", marker_card("fraction"))
    given = marker_card("fraction", crop=CropCard(padding=1.7))
    (tmp_path / "given.json").write_text(dump_card(given))
    assert load_pose_model(path, tmp_path / "given.json", EXACT).card == given


def test_a_card_beside_the_model(tmp_path):
    path = _without_card(tmp_path)
    (tmp_path / "bare.card.yaml").write_text(dump_card(marker_card("fraction")))
    assert load_pose_model(path, None, EXACT).card == marker_card("fraction")


def test_no_card_shows_how_to_write_one(tmp_path):
    path = _without_card(tmp_path)
    with pytest.raises(AnnotatorError) as raised:
        load_pose_model(path, None, EXACT)
    for part in (str(path), "bare.card.yaml", "--pose-card", "skeleton: ?", "  width: ?", "head:"):
        assert part in str(raised.value)


def test_a_card_of_another_model_is_refused_before_any_image(tmp_path):
    path = tmp_path / "model.torchscript"
    card = marker_card("half-pixel")
    save_marker_model(path, "torchscript", "half-pixel", card.model_copy(update={"skeleton": read_skeleton("coco17")}))
    assert len(embedded_card(path)["skeleton"]["joints"]) == 17
    with pytest.raises(
        TrainersError, match=r"card 'markers-half-pixel': head.output: .*shape \(2, 7, 32, 24\), expected "
    ):
        load_pose_model(path, None, EXACT)


def test_a_flip_test_that_the_card_forbids(tmp_path):
    path = tmp_path / "model.torchscript"
    card = marker_card("fraction").model_copy(update={"flip_test": False})
    save_marker_model(path, "torchscript", "fraction", card)
    load_pose_model(path, None, EXACT, flip_test=False)
    with pytest.raises(AnnotatorError, match="flip_test: false; leave --flip-test out"):
        load_pose_model(path, None, EXACT, flip_test=True)


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("model_file", "card", "expected"),
    [
        ("movenet_lightning_int8.tflite", "movenet_lightning.yaml", 0.96),
        ("blazepose_landmark_lite.tflite", "blazepose_landmark_lite.yaml", 0.96),
    ],
)
def test_people_standing(shared_data, model_file, card, expected):
    """PCK at a tenth of the box's longer side, boxes given. A lower figure means that the geometry is wrong."""
    model = load_pose_model(shared_data / "models" / model_file, CARDS / card, Execution())
    folder = shared_data / "standing_people"
    dataset = json.loads((folder / "annotations/person_keypoints.json").read_text())
    labels = Skeleton("labels", tuple(dataset["categories"][0]["keypoints"]))
    people = {person["image_id"]: person for person in dataset["annotations"]}
    correct = []
    for image in dataset["images"][:300]:
        person = people[image["id"]]
        x, y, width, height = person["bbox"]
        pixels = read_image(folder / "images" / image["file_name"]).pixels
        found = map_joints(estimate_image(model, pixels, _boxes((x, y, x + width, y + height))), model.skeleton, labels)
        truth = np.reshape(person["keypoints"], (-1, 3))
        distance = np.linalg.norm(found.xy[0] - truth[:, :2], axis=1)
        correct += (distance <= 0.1 * max(width, height))[truth[:, 2] > 0].tolist()
    pck = np.mean(correct)
    print(f"{model_file}: PCK@0.1 {pck:.4f} of {len(correct)} joints")
    assert pck >= expected


def test_the_dots_are_where_they_were_drawn():
    """The oracle of this file, against OpenCV: the centre of gravity of each colour's light."""
    xy = np.array([[20.3, 30.7], [70.1, 31.2], [20, 60], [70.5, 60.5], [45, 80], [70, 80], [20, 80.0]])
    image = draw_markers((90, 100), xy, 5).astype(np.float32)
    for joint, (channel, others) in {2: (0, (1, 2)), 3: (1, (0, 2)), 4: (2, (0, 1))}.items():
        alone = np.where(image[..., others].max(axis=2) == 0, image[..., channel], 0)
        moments = cv2.moments(alone)
        centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"] + 0.5
        np.testing.assert_allclose(centre, xy[joint], atol=0.02)
