"""A trained model -> the pool that a strategy chooses from: what `annotator select` measures, of many crops at once.

Each image shows one subject, whose box is that of its label, so that crops are cut once for all models.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from annotator.acquisition.doubts import SHIFT
from annotator.acquisition.embeddings import pose_vector, rgb_thumbnail
from annotator.acquisition.measuring import Measured
from annotator.acquisition.pool import Bools, Floats, Indices, Pool
from annotator.pipeline import judge_visibility
from annotator.pose_model import Crops, PoseModel, joints_in_image
from annotator.predictions import FrameSource, Prediction
from benchmarks.selection.data_sets import Subjects
from cvat_export.joint_mapping import map_joints
from cvat_export.labels import Boxes, Keypoints
from trainers.metrics.pairs import oks_given_boxes
from trainers.model_run import run_model
from trainers.pose_decoding import decode_outputs, mirrored_back, peak_entropies

TIME_BASE = (
    "2/5"  # seconds from frame to frame of a video: neighbours, and no others, are less than half a second apart
)
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Views:
    """The pool of a data set as models are shown it: n images, and n crops of each kind that `pose_doubts` cuts."""

    subjects: Subjects
    straight: Crops
    shifted: tuple[Crops, Crops]

    @cached_property
    def boxes(self) -> npt.NDArray[np.float32]:
        """(n, 4)"""
        return np.stack([sample.instance.bbox_xyxy for sample in self.subjects.pool])

    @cached_property
    def thumbnails(self) -> list[npt.NDArray[np.uint8]]:
        """Of the whole images."""
        return [rgb_thumbnail(image) for image in self.subjects.images]


def cut_views(model: PoseModel, subjects: Subjects) -> Views:
    """As any model with this one's input sees them."""
    straight, right, left = (_cut(model, subjects, by) for by in (0.0, SHIFT, -SHIFT))
    return Views(subjects, straight, (right, left))


def propose(model: PoseModel, views: Views, rows: Indices) -> list[Prediction]:
    """What the model proposes for some images, joints that it does not believe in as not labelled."""
    wanted = views.subjects.skeleton
    found = map_joints(_estimate(model, taken(views.straight, rows))[0], model.skeleton, wanted)
    least = model.card.min_joint_score
    return [judge_visibility(_prediction(views, int(row), _row(found, place)), least) for place, row in enumerate(rows)]


def doubts(model: PoseModel, views: Views, rows: Indices) -> dict[str, Floats]:
    """The signals of `pose_doubts` for some images, each (rows,)."""
    crops = taken(views.straight, rows)
    straight, entropy = _estimate(model, crops)
    proposed = straight.scores >= model.card.min_joint_score
    boxes = views.boxes[rows]
    mirrored = _estimate_mirrored(model, crops)
    moved = [_estimate(model, taken(shifted, rows))[0] for shifted in views.shifted]
    return {
        "peaks": np.where(proposed & ~np.isnan(entropy), entropy, 0).mean(axis=1),
        "flip": _apart(model, straight, mirrored, boxes),
        "shift": np.mean([_apart(model, straight, other, boxes) for other in moved], axis=0),
    }


def make_pool(
    views: Views,
    predictions: Sequence[Prediction],
    labelled: Collection[int],
    signals: dict[str, Floats],
    others: Sequence[Prediction] = (),
) -> Pool:
    """What a strategy is given. signals: of the images that are not labelled, in order; others: another model's."""
    is_labelled = np.zeros(len(predictions), bool)
    is_labelled[list(labelled)] = True
    measured = Measured(
        views.subjects.skeleton,
        predictions=list(predictions),
        doubts=_by_source(predictions, is_labelled, signals),
        others={prediction.source: prediction for prediction in others},
        thumbnails=list(views.thumbnails),
        poses=[pose_vector(prediction) for prediction in predictions],
    )
    embeddings, blocks = measured.embeddings()
    return Pool(embeddings, is_labelled, np.zeros_like(is_labelled), measured.signals(), blocks)


def taken(crops: Crops, rows: Indices) -> Crops:
    """Some of the crops."""
    return Crops(crops.pixels[rows], crops.to_image[rows])


def blind_pool(count: int, labelled: Collection[int]) -> Pool:
    """For strategies that look at nothing."""
    is_labelled = np.zeros(count, bool)
    is_labelled[list(labelled)] = True
    return Pool(np.zeros((count, 1), np.float32), is_labelled, np.zeros(count, bool))


def _cut(model: PoseModel, subjects: Subjects, shift: float) -> Crops:
    parts = []
    for sample, image in zip(subjects.pool, subjects.images, strict=True):
        box = sample.instance.bbox_xyxy
        moved = box + np.tile(np.float32(shift) * (box[2:] - box[:2]), 2)
        parts.append(model.prepare(image, _boxes(moved)))
    return Crops.concatenate(parts)


def _boxes(bbox_xyxy: npt.NDArray[np.float32]) -> Boxes:
    return Boxes(bbox_xyxy[None], np.ones(1, np.float32), ("subject",))


def _estimate(model: PoseModel, crops: Crops) -> tuple[Keypoints, npt.NDArray[np.float32]]:
    """The joints in the images, and the entropy of their maps' peaks, (n, joints)."""
    joints, entropies = [], []
    for start in range(0, len(crops), _BATCH):
        batch = crops[start : start + _BATCH]
        outputs = run_model(model.card, model.session, batch.pixels)
        joints.append(joints_in_image(decode_outputs(model.card, outputs), batch.to_image))
        entropy = peak_entropies(model.card, outputs)
        assert entropy is not None  # the networks here give heatmaps
        entropies.append(entropy)
    return Keypoints.concatenate(joints), np.concatenate(entropies)


def _estimate_mirrored(model: PoseModel, crops: Crops) -> Keypoints:
    joints = []
    for start in range(0, len(crops), _BATCH):
        batch = crops[start : start + _BATCH]
        outputs = run_model(model.card, model.session, np.ascontiguousarray(batch.pixels[:, :, ::-1]))
        joints.append(joints_in_image(mirrored_back(model.card, decode_outputs(model.card, outputs)), batch.to_image))
    return Keypoints.concatenate(joints)


def _apart(model: PoseModel, straight: Keypoints, other: Keypoints, boxes: npt.NDArray[np.float32]) -> Floats:
    """(n,) 1 - OKS over the joints that either proposes; 0 where neither proposes one."""
    least = model.card.min_joint_score
    proposed: Bools = (straight.scores >= least) | (other.scores >= least)
    lost = (straight.visibility == 0) | (other.visibility == 0)
    xy = np.where(lost[..., None], np.nan, other.xy)
    oks = oks_given_boxes(xy, straight.xy, proposed, boxes, model.skeleton.sigmas)
    return np.where(np.isnan(oks), 0, 1 - oks)


def _prediction(views: Views, row: int, keypoints: Keypoints) -> Prediction:
    sample, subjects = views.subjects.pool[row], views.subjects
    height, width = subjects.images[row].shape[:2]
    source = FrameSource(subjects.name, _place(sample.file_name), TIME_BASE)
    if not subjects.is_video:
        source = FrameSource(sample.file_name, 0)
    return Prediction(sample.file_name, width, height, source, _boxes(sample.instance.bbox_xyxy), keypoints)


def _place(file_name: str) -> int:
    """A frame's place in its video, which its name ends with."""
    return int("".join(letter for letter in file_name if letter.isdecimal()))


def _row(keypoints: Keypoints, row: int) -> Keypoints:
    rows = slice(row, row + 1)
    return Keypoints(keypoints.xy[rows], keypoints.scores[rows], keypoints.visibility[rows])


def _by_source(
    predictions: Sequence[Prediction], is_labelled: Bools, signals: dict[str, Floats]
) -> dict[FrameSource, dict[str, float]]:
    sources = [one.source for one, known in zip(predictions, is_labelled, strict=True) if not known]
    return {
        source: {name: float(values[place]) for name, values in signals.items()}
        for place, source in enumerate(sources)
        if signals
    }
