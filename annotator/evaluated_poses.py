"""The poses that are evaluated: read from a file, or estimated by a model on the truth's images."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from annotator.detector import DetectionOptions, RgbImage
from annotator.errors import AnnotatorError
from annotator.estimators import EstimatorOptions, OneStage, PoseEstimator, TwoStage, load_estimator
from annotator.inputs import BadInput, InputImage, Loader
from annotator.pipeline import cut_shards, process
from annotator.pose_model import PoseModel, load_pose_model
from annotator.predictions import PREDICTIONS_FILE, FrameSource, Prediction, with_joint_scores
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.errors import CvatExportError
from cvat_export.export_reading import read_export
from cvat_export.label_files import open_label_files
from cvat_export.labels import Boxes, Instance, Visibility, hull_xyxy
from cvat_export.skeleton import Skeleton
from frame_tools.errors import FrameToolsError
from trainers.image_files import ImageRef
from trainers.label_sources import LabelledData, Sample
from trainers.runtimes import Execution, Session

_LISTED = 3  # file names that a note gives
_FAR_PX = 1e9
_PREDICTION_SUFFIXES = frozenset({".json", ".zip"})
_IR_ROOT = "net"


@dataclass(frozen=True, eq=False)
class Poses:
    """What was estimated. of_image: by the truth's file name; an image without any is missing or has none.

    subjects: where the truth's boxes were given, for each image which of its instances each row is of. has_boxes:
    whether boxes are more than the hull of the joints. left_out: images of the truth that could not be looked at.
    """

    name: str
    skeleton: Skeleton
    of_image: Mapping[str, tuple[Instance, ...]]
    subjects: Mapping[str, tuple[int, ...]] | None = None
    has_boxes: bool = True
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelRequest:
    """A model and how it is run. detection: see `load_detector`; None for the truth's boxes.

    one_stage: a model that finds people by itself. calibrated: whether scores are as its card's calibration says.
    """

    pose: str | Path
    card: Path | None = None
    detection: str | None = None
    one_stage: bool = False
    flip_test: bool = False
    batch_size: int = 8
    workers: int = 2
    execution: Execution = Execution()
    boxes: DetectionOptions = DetectionOptions()
    calibrated: bool = True


def is_predictions(path: Path) -> bool:
    """Whether a path on the command line is labels, and not a model."""
    suffix = path.suffix.lower()
    return suffix in _PREDICTION_SUFFIXES or (suffix == ".xml" and not _is_ir(path)) or (path / "annotations").is_dir()


def _is_ir(path: Path) -> bool:
    """Whether an XML file is OpenVINO's, not CVAT's."""
    with open_label_files(path) as files:
        return [file.root_tag for file in files] == [_IR_ROOT]


def read_poses(path: Path, data: LabelledData) -> Poses:
    """From a dataset of any of our formats, or from COCO's list of results. Raises AnnotatorError, CvatExportError."""
    rows = _result_rows(path)
    return _from_dataset(path, data) if rows is None else _from_results(path, rows, data)


def estimate_poses(request: ModelRequest, data: LabelledData, progress: Callable[[int], object]) -> Poses:
    """Run a model on the truth's images. progress: called with how many are done. Raises AnnotatorError."""
    if not data.files:
        raise AnnotatorError(
            f"none of the {len(data.images)} images of the truth was found; say where they are with --images FOLDER"
        )
    given = None
    if request.one_stage or request.detection is not None:
        estimator: PoseEstimator = _load_estimator(request)
    else:
        given = given_boxes(data)
        model = _load_model(request)
        estimator = TwoStage(
            _GivenBoxes({n: b for n, (b, _) in given.items()}), model, model.skeleton, request.batch_size
        )
    found, bad = _run(estimator, data, request.workers, progress)
    names = set(data.files) - {item.file for item in bad}
    left_out = tuple(image.file_name for image in data.images if image.file_name not in names)
    notes = [f"{item.file}: left out: {item.error}" for item in bad[:_LISTED]]
    return Poses(
        name=estimator.pose.name,
        skeleton=estimator.skeleton,
        of_image=found,
        subjects=None if given is None else {name: rows for name, (_, rows) in given.items()},
        notes=tuple(notes),
        left_out=left_out,
    )


def given_boxes(data: LabelledData) -> dict[str, tuple[Boxes, tuple[int, ...]]]:
    """For each image the boxes that training would take, and which of the image's instances each is of."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    for sample in data.samples:
        samples[sample.file_name].append(sample)
    found = {}
    for image in data.images:
        waiting = samples.get(image.file_name, [])[::-1]
        rows, boxes = [], []
        for position, instance in enumerate(image.instances):
            if waiting and _same_joints(waiting[-1].instance, instance):
                rows.append(position)
                boxes.append(waiting.pop().instance.bbox_xyxy)
        corners = np.array(boxes, np.float32).reshape(-1, 4)
        found[image.file_name] = (
            Boxes(corners, np.ones(len(rows), np.float32), (data.category,) * len(rows)),
            tuple(rows),
        )
    return found


def _same_joints(one: Instance, other: Instance) -> bool:
    return (
        not other.is_crowd
        and np.array_equal(one.visibility, other.visibility)
        and np.array_equal(one.xy, other.xy, equal_nan=True)
    )


@dataclass
class _GivenBoxes:
    """A detector that knows the truth."""

    boxes: Mapping[str, Boxes]
    name: str = "truth"
    sha256: str | None = None
    session: Session | None = None

    def prepare(self, file_name: str, image: RgbImage) -> str:
        return file_name

    def detect(self, prepared: Sequence[str]) -> list[Boxes]:
        return [self.boxes[file_name] for file_name in prepared]


def _load_model(request: ModelRequest) -> PoseModel:
    model = load_pose_model(request.pose, request.card, request.execution, request.flip_test)
    if request.calibrated:
        return model
    return replace(model, card=model.card.model_copy(update={"calibration": None}))


def _load_estimator(request: ModelRequest) -> PoseEstimator:
    return load_estimator(
        EstimatorOptions(
            detection=str(request.pose) if request.one_stage else request.detection,
            pose=str(request.pose),
            pose_card=request.card,
            flip_test=request.flip_test,
            batch_size=request.batch_size,
            boxes=request.boxes,
            execution=request.execution,
        )
    )


def _run(
    estimator: PoseEstimator, data: LabelledData, workers: int, progress: Callable[[int], object]
) -> tuple[dict[str, tuple[Instance, ...]], list[BadInput]]:
    found: dict[str, tuple[Instance, ...]] = {}
    bad: list[BadInput] = []
    loaders = [
        _loader(image.file_name, data.files[image.file_name]) for image in data.images if image.file_name in data.files
    ]
    with ThreadPoolExecutor(workers) as pool:
        for shard in process(cut_shards(loaders), estimator, pool):
            for _, prediction in shard.rows:
                found[prediction.file_name] = _scored(prediction, data.category, isinstance(estimator, OneStage))
            bad += shard.bad
            progress(len(shard.rows) + len(shard.bad))
    return found, bad


def _loader(file_name: str, ref: ImageRef) -> Loader:
    def load() -> InputImage | BadInput:
        try:
            return InputImage(file_name, ref.read(), b"", FrameSource("", 0))
        except (FrameToolsError, CvatExportError, OSError) as error:
            return BadInput(file_name, str(error))

    return load


def _scored(prediction: Prediction, category: str, one_stage: bool) -> tuple[Instance, ...]:
    """The subjects with the score by which AP ranks them: of the box, of a top-down model times the joints' mean."""
    found = prediction.labelled(category).instances
    if one_stage:
        return found
    scores = prediction.boxes.scores * prediction.keypoints.scores.mean(axis=1)
    return tuple(replace(one, score=float(score)) for one, score in zip(found, scores, strict=True))


def _result_rows(path: Path) -> list[Any] | None:
    """The rows of COCO's format of results, a list; None for anything else."""
    if not path.is_file() or path.suffix.lower() != ".json":
        return None
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise AnnotatorError(f"{path}: cannot be read as JSON: {error}") from error
    return content if isinstance(content, list) else None


def _from_results(path: Path, rows: Sequence[Any], data: LabelledData) -> Poses:
    names = {image.extra.get("id"): image.file_name for image in data.images}
    joints = len(data.skeleton.joints)
    found: dict[str, list[Instance]] = defaultdict(list)
    strangers, without_score = 0, 0
    for number, row in enumerate(rows):
        where = f"{path}: row {number}"
        if not isinstance(row, Mapping) or "image_id" not in row or "keypoints" not in row:
            raise AnnotatorError(f"{where}: got {str(row)[:60]!r}, expected image_id, keypoints and score")
        without_score += row.get("score") is None
        instance = _result(row, joints, data.category, where)
        if row["image_id"] in names:
            found[names[row["image_id"]]].append(instance)
        else:
            strangers += 1
    notes = _notes_on_images(data, set(found), strangers, "results")
    if without_score:
        notes.append(f"{without_score} of {len(rows)} results have no score: taken as 1")
    has_boxes = bool(rows) and all(isinstance(row.get("bbox"), list) for row in rows)
    return Poses(path.name, data.skeleton, _tuples(found), has_boxes=has_boxes, notes=tuple(notes))


def _result(row: Mapping[str, Any], joints: int, category: str, where: str) -> Instance:
    """The third number of a joint is a visibility where all are 0, 1 or 2, else the joint's score."""
    try:
        xyv = np.array(row["keypoints"], np.float64).reshape(joints, 3)
        score = None if row.get("score") is None else float(row["score"])
        if not (np.abs(xyv) < _FAR_PX).all() or not np.isfinite(1.0 if score is None else score):
            raise ValueError("NaN, infinity or a coordinate far outside")
        flags = bool(np.isin(xyv[:, 2], (0, 1, 2)).all())
        xy = xyv[:, :2].astype(np.float32)
        corners = hull_xyxy(xy, np.ones(joints, bool))
        if isinstance(row.get("bbox"), list):
            x, y, width, height = (float(value) for value in row["bbox"])
            corners = np.array([x, y, x + width, y + height], np.float32)
    except (TypeError, ValueError) as error:
        raise AnnotatorError(f"{where}: expected {joints} joints of x, y, v as the truth has: {error}") from error
    return Instance(
        category=category,
        bbox_xyxy=corners,
        xy=xy,
        visibility=(xyv[:, 2] if flags else np.full(joints, Visibility.VISIBLE)).astype(np.uint8),
        score=score,
        joint_scores=None if flags else xyv[:, 2].astype(np.float32),
    )


def _from_dataset(path: Path, data: LabelledData) -> Poses:
    root = path / "annotations" if (path / "annotations").is_dir() else path
    export = read_export(root)
    dataset = export.dataset
    folder = next((f for f in (path, path.parent, path.parent.parent) if (f / PREDICTIONS_FILE).is_file()), None)
    if folder is not None:
        dataset = with_joint_scores(dataset, folder)
    category = _category(dataset, data.category, path)
    assert category.skeleton is not None
    names, strangers = _match_images(data.images, dataset.images)
    found: dict[str, list[Instance]] = {name: [] for name in names.values()}
    for position, name in names.items():
        found[name] += [i for i in dataset.images[position].instances if i.category == category.name]
    notes = [*export.notes, *_notes_on_images(data, set(found), strangers, "images")]
    everybody = [instance for instances in found.values() for instance in instances]
    if without := sum(instance.score is None for instance in everybody):
        notes.append(f"{without} of {len(everybody)} estimates have no score: taken as 1")
    return Poses(path.name, category.skeleton, _tuples(found), notes=tuple(notes))


def _category(dataset: Dataset, wanted: str, path: Path) -> Category:
    jointed = [category for category in dataset.categories if category.skeleton is not None]
    named = [category for category in jointed if category.name == wanted]
    if len(named or jointed) != 1:
        names = ", ".join(category.name for category in jointed) or "none"
        raise AnnotatorError(f"{path}: got the categories with joints {names}, expected {wanted!r} among them, or one")
    return (named or jointed)[0]


def _match_images(truth: Sequence[LabelledImage], others: Sequence[LabelledImage]) -> tuple[dict[int, str], int]:
    """For each position in `others` the truth's file name, by whole name, else by base name, else without suffix."""
    names: dict[int, str] = {}
    strangers = 0
    keys: list[Callable[[str], str]] = [str, lambda n: PurePosixPath(n).name, lambda n: PurePosixPath(n).stem]
    tables = [_by_key(truth, key) for key in keys]
    for position, image in enumerate(others):
        found = (table.get(key(image.file_name)) for key, table in zip(keys, tables, strict=True))
        name = next((name for name in found if name is not None), None)
        if name is None:
            strangers += 1
        else:
            names[position] = name
    return names, strangers


def _by_key(images: Sequence[LabelledImage], key: Callable[[str], str]) -> dict[str, str]:
    """File names by a key that only one of them has."""
    counts = Counter(key(image.file_name) for image in images)
    return {key(i.file_name): i.file_name for i in images if counts[key(i.file_name)] == 1}


def _notes_on_images(data: LabelledData, found: set[str], strangers: int, what: str) -> list[str]:
    if not found:
        raise AnnotatorError(
            f"none of the {len(data.images)} images of the truth is in the estimates ({strangers} {what} of others); "
            "images are matched by file name, results by image_id"
        )
    notes = []
    missing = [image.file_name for image in data.images if image.file_name not in found and image.instances]
    if missing:
        notes.append(f"{len(missing)} images of the truth have no estimate, and count as missed: {_listed(missing)}")
    if strangers:
        notes.append(f"{strangers} {what} of the estimates are not in the truth, and do not count")
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _tuples(found: Mapping[str, list[Instance]]) -> dict[str, tuple[Instance, ...]]:
    return {name: tuple(instances) for name, instances in found.items()}
