"""Labels that the recipes learn from beside those that people drew: python -m recipes.derive DATA DERIVED.

DATA is the folder with the data sets, DERIVED is written. Every file is COCO JSON; images stay where they are, but for
those that are drawn or composited. Nothing is random that a seed does not decide.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from annotator.predictions import Prediction, read_predictions
from cvat_export.atomic import write_bytes
from cvat_export.coco import encode_coco, read_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance, Visibility
from cvat_export.skeleton import read_skeleton
from demo.program import run_annotator
from frame_tools.images import read_image
from recipes.composited import CutOut, cut_out, write_composited
from recipes.drawn import write_drawn

PERSON = Category("person", read_skeleton("coco17"))
_CARDS = Path(__file__).parents[1] / "tests" / "cards"
EMPTY = ("scenes/empty", "coco_people/negatives")
# Of scenes/empty, where somebody is to be seen after all, by the picture's number. All 362 were looked at.
NOT_EMPTY = (17, 21, 81, 82, 91, 93, 109, 132, 138, 212, 225, 228, 233, 238, 263)
TEST_SHARE = 3
STANDING_TEST = 300  # so many of standing_people, the first, no recipe sees

# Of lspet's faces, which a teacher adds. Lengths are shares of the box's longer side.
FACE_JOINTS = 5
SAME_JOINT = 0.1  # a teacher's joint is right that lies so near to the person's
LEAST_SAME = 0.75  # share of the body's joints that must be right before the teacher's face is believed
LEAST_FACE_SCORE = 0.4

# Of scenes without labels, where two teachers must agree.
LEAST_BOX_SCORE = 0.5
LEAST_SIDE_PX = 40.0  # of a box's longer side, for poses
AGREED = 0.07
LEAST_TEACHER_SCORE = 0.3
LEAST_AGREED = 9  # joints, for a pose; for a box two thirds of them


def derive(data: Path, derived: Path) -> None:
    """Write all derived files; those that are there already are kept."""
    makers = {
        "empty_train.json": lambda: _empty(data),
        "coco_listed.json": lambda: _coco(data, True),
        "coco_unlisted.json": lambda: _coco(data, False),
        "standing_train.json": lambda: _standing(data),
        "lspet_faces.json": lambda: _lspet(data),
        "scenes.json": lambda: _scenes(data, derived / "teachers"),
        "drawn.json": lambda: write_drawn(derived / "drawn"),
        "composited.json": lambda: _composited(data, derived / "composited"),
    }
    derived.mkdir(parents=True, exist_ok=True)
    for name, make in makers.items():
        if not (derived / name).exists():
            dataset = make()
            write_bytes(derived / name, encode_coco(dataset))
            print(f"{name}: {len(dataset.images)} images, {sum(len(i.instances) for i in dataset.images)} people")


def kept_out(files: Iterable[Path]) -> list[Path]:
    """Those of pictures without people that no recipe sees: every third by name, if nobody is there."""
    return _without_people(sorted(files, key=lambda path: path.name)[::TEST_SHARE])


def _without_people(files: Iterable[Path]) -> list[Path]:
    somebody = {f"scene_{number:04d}" for number in NOT_EMPTY}
    return [path for path in files if path.stem not in somebody]


def _empty(data: Path) -> Dataset:
    """Pictures without anybody, named below DATA."""
    images = []
    for folder in EMPTY:
        files = set((data / folder).iterdir())
        for path in _without_people(sorted(files - set(kept_out(files)))):
            height, width = read_image(path).pixels.shape[:2]
            images.append(LabelledImage(str(path.relative_to(data)), width, height, ()))
    return Dataset((PERSON,), tuple(images))


def _coco(data: Path, listed: bool) -> Dataset:
    """The photographs in which everybody has a box, or those in which somebody small may have none."""
    dataset = read_coco(data / "coco_people/annotations/person_keypoints_train.json")
    images = tuple(image for image in dataset.images if image.extra.get("all_people_listed", True) is listed)
    return Dataset(dataset.categories, images)


def _standing(data: Path) -> Dataset:
    """Those whom no test sees; their joints are named and ordered as COCO's."""
    dataset = read_coco(data / "standing_people/annotations/person_keypoints.json")
    return Dataset(dataset.categories, dataset.images[STANDING_TEST:])


def _composited(data: Path, folder: Path) -> Dataset:
    """People of standing_people, before what is behind nobody."""
    standing, edges = _standing(data), PERSON.skeleton.edges if PERSON.skeleton else ()
    people: list[CutOut | None] = []
    for image in tqdm(standing.images, desc="cut out", disable=None):
        pixels = read_image(data / "standing_people/images" / image.file_name).pixels
        people += [cut_out(pixels, person, edges) for person in image.instances if len(image.instances) == 1]
    backgrounds = [data / image.file_name for image in _empty(data).images]
    return write_composited(folder, [cut for cut in people if cut], PERSON, backgrounds)


def _lspet(data: Path) -> Dataset:
    """Twelve joints that people labelled, and MoveNet's face where its body agrees with theirs."""
    dataset = read_coco(data / "lspet/annotations/person_keypoints_train.json")
    rows = json.loads((data / "lspet/annotations/movenet_coco17_pseudo_labels_train.json").read_text())
    proposals = {row["image_id"]: np.array(row["keypoints"], np.float32).reshape(-1, 3) for row in rows}
    skeleton = dataset.categories[0].skeleton
    assert skeleton is not None and PERSON.skeleton is not None
    sources = PERSON.skeleton.sources_in(skeleton)
    images = []
    for image in dataset.images:
        proposal = proposals.get(image.extra["id"])
        people = tuple(with_face(person, sources, proposal) for person in image.instances)
        images.append(LabelledImage(image.file_name, image.width, image.height, people))
    return Dataset((PERSON,), tuple(images))


def with_face(person: Instance, sources: Sequence[int | None], proposal: npt.NDArray[np.float32] | None) -> Instance:
    """The body in the order of `sources`; of `proposal`, (joints, 3) x, y, score, the face where the body agrees."""
    xy = np.zeros((len(sources), 2), np.float32)
    visibility = np.zeros(len(sources), np.uint8)
    for joint, source in enumerate(sources):
        if source is not None:
            xy[joint], visibility[joint] = person.xy[source], person.visibility[source]
    if proposal is not None:
        longer = float((person.bbox_xyxy[2:] - person.bbox_xyxy[:2]).max())
        labelled = visibility > 0
        near = np.linalg.norm(proposal[:, :2] - xy, axis=1) < SAME_JOINT * longer
        shoulders = labelled[5:7].all() and near[5:7].all()
        if shoulders and near[labelled].mean() >= LEAST_SAME:
            believed = (proposal[:, 2] >= LEAST_FACE_SCORE) & (np.arange(len(sources)) < FACE_JOINTS)
            xy[believed], visibility[believed] = proposal[believed, :2], Visibility.VISIBLE
    return Instance(PERSON.name, person.bbox_xyxy, xy, visibility)


def _scenes(data: Path, folder: Path) -> Dataset:
    """People whom FastestDet finds, with the joints on which MoveNet and BlazePose agree."""
    models, images = data / "models", data / "scenes/people"
    first = _propose(images, folder / "movenet", models / "fastestdet.onnx", models / "movenet_lightning_int8.tflite")
    boxes = folder / "movenet/annotations/person_keypoints_default.json"
    second = _propose(images, folder / "blazepose", boxes, models / "blazepose_landmark_lite.tflite")
    return Dataset((PERSON,), tuple(_agreed(one, other) for one, other in zip(first, second, strict=True)))


def _propose(images: Path, output: Path, detection: Path, pose: Path) -> list[Prediction]:
    card = _CARDS / f"{pose.stem.removesuffix('_int8')}.yaml"
    models = ("--detection", str(detection), "--pose", str(pose), "--pose-card", str(card))
    least = ("--min-score", "0.35", "--min-joint-score", "0")
    options = ("--flip-test", "--skeleton", "coco17", "--report-pictures", "0")
    run_annotator("preannotate", str(images), "-o", str(output), *models, *least, *options)
    return list(read_predictions(output / "predictions.jsonl"))


def _agreed(one: Prediction, other: Prediction) -> LabelledImage:
    found = [agreed_person(one, other, row) for row in range(len(one.boxes))]
    return LabelledImage(one.file_name, one.width, one.height, tuple(person for person in found if person))


def agreed_person(one: Prediction, other: Prediction, row: int) -> Instance | None:
    """None where too few joints agree to believe in a person; without joints where they are too few for a pose."""
    box = one.boxes.bbox_xyxy[row]
    longer = float((box[2:] - box[:2]).max())
    apart = np.linalg.norm(one.keypoints.xy[row] - other.keypoints.xy[row], axis=1)
    agreed = (apart < AGREED * longer) & (one.keypoints.scores[row] >= LEAST_TEACHER_SCORE)
    if one.boxes.scores[row] < LEAST_BOX_SCORE or agreed.sum() < LEAST_AGREED * 2 / 3:
        return None
    is_pose = agreed.sum() >= LEAST_AGREED and longer >= LEAST_SIDE_PX
    visibility = np.where(agreed & is_pose, Visibility.VISIBLE, Visibility.NOT_LABELLED).astype(np.uint8)
    middle = (one.keypoints.xy[row] + other.keypoints.xy[row]) / 2
    return Instance(PERSON.name, box, np.where(visibility[:, None] > 0, middle, 0).astype(np.float32), visibility)


def main() -> None:
    """Run the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("derived", type=Path)
    arguments = parser.parse_args()
    derive(arguments.data.absolute(), arguments.derived.absolute())


if __name__ == "__main__":
    main()
