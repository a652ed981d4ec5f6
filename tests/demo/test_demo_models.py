"""The marker models on encoded footage, used as a user's models are; and the comparison that the demo prints."""

from pathlib import Path

import av
import numpy as np
import pytest

from annotator.detector import DetectionOptions, detect_image, load_detector
from annotator.pose_model import estimate_image, load_pose_model
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton
from demo.comparison import compare, match
from demo.film import TICKS, Frame, Moment, scenes
from demo.footage import write_footage
from demo.marker_models import write_models
from demo.palette import MARKER_HUES, SUIT_HUES
from trainers.runtimes import Execution

F32 = Execution(precision="f32")
EVERY_SECONDS = 0.6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], Dataset]:
    """Frames after H.264, with their truth."""
    frames: list[Frame] = []
    for scene in scenes():
        scenery = scene.scenery()
        for seconds in np.arange(0, scene.seconds, EVERY_SECONDS):
            moment = Moment(scene, scenery, float(seconds))
            frames.append(Frame(len(frames) * TICKS, moment.expose(), moment.people()))
    path = tmp_path_factory.mktemp("footage") / "walkers.mp4"
    truth = write_footage(path, frames)
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], truth


@pytest.fixture(scope="module")
def proposals(models: tuple[Path, Path], footage: tuple[list[np.ndarray], Dataset]) -> Dataset:
    detector = load_detector(str(models[0]), DetectionOptions(), F32)
    pose = load_pose_model(models[1], None, F32)
    images = []
    for pixels, image in zip(footage[0], footage[1].images, strict=True):
        boxes = detect_image(detector, image.file_name, pixels)
        joints = estimate_image(pose, pixels, boxes)
        people = [
            Instance(
                "person", boxes.bbox_xyxy[i], joints.xy[i], np.where(joints.scores[i] >= 0.2, 2, 0).astype(np.uint8)
            )
            for i in range(len(boxes))
        ]
        images.append(LabelledImage(image.file_name, image.width, image.height, tuple(people)))
    return Dataset(footage[1].categories, tuple(images))


def test_the_card_travels_in_the_model_alone(models: tuple[Path, Path]) -> None:
    models[1].with_name("marker_pose.card.json").unlink()
    assert load_pose_model(models[1], None, F32).skeleton == read_skeleton("coco17")


def test_people_and_joints_are_found_after_h264(footage: tuple, proposals: Dataset) -> None:
    comparison = compare(footage[1], proposals)
    assert comparison.people > 60
    assert comparison.found / comparison.people > 0.92
    assert comparison.found / comparison.proposed > 0.92
    assert comparison.joints_right / comparison.joints > 0.85


def test_joints_are_found_to_half_a_pixel(footage: tuple, proposals: Dataset) -> None:
    errors = []
    for true, proposed in zip(footage[1].images, proposals.images, strict=True):
        for a, b in match(true.instances, proposed.instances):
            person, proposal = true.instances[a], proposed.instances[b]
            both = (person.visibility == 2) & (proposal.visibility == 2)
            errors += np.linalg.norm(person.xy - proposal.xy, axis=1)[both].tolist()
    assert len(errors) > 600
    assert np.median(errors) < 0.5


def test_empty_frames_stay_empty(footage: tuple, proposals: Dataset) -> None:
    empty = [i for i, image in enumerate(footage[1].images) if not image.instances]
    assert len(empty) >= 4
    assert not any(proposals.images[i].instances for i in empty)


def test_hues_are_apart() -> None:
    for hues, least in ((MARKER_HUES, 2 * np.pi / 17), (SUIT_HUES, np.pi / 3)):
        around = np.sort(np.array(hues))
        assert np.diff([*around, around[0] + 2 * np.pi]).min() == pytest.approx(least)


def person(x: float, shift: float = 0.0) -> Instance:
    xy = np.tile(np.array([[x, 50.0]], np.float32), (17, 1))
    return Instance("person", np.array([x - 20, 0, x + 20, 100], np.float32), xy + shift, np.full(17, 2, np.uint8))


def dataset(*people: Instance) -> Dataset:
    return Dataset((Category("person", read_skeleton("coco17")),), (LabelledImage("a/f.jpg", 640, 480, people),))


def test_a_comparison_counts_what_was_missed_and_made_up() -> None:
    outcome = compare(dataset(person(50), person(200)), dataset(person(50, shift=6.0), person(400)))
    assert (outcome.people, outcome.found, outcome.proposed) == (2, 1, 2)
    assert (outcome.joints, outcome.joints_right) == (34, 17)  # 6 px to the right and down: 8.5 of the 10 allowed
    assert compare(dataset(person(50)), dataset(person(50, shift=8.0))).joints_right == 0  # 11.3


def test_nobody_is_matched_twice() -> None:
    assert match([person(50)], [person(51), person(50)]) == [(0, 1)]
