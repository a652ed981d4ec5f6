"""How unsure a top-down pose model is of the subjects of one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotator.batches import batches
from annotator.detector import RgbImage
from annotator.pose_model import Crops, PoseModel, joints_in_image
from cvat_export.labels import Boxes, Keypoints
from trainers.metrics.pairs import oks_given_boxes
from trainers.model_run import run_model
from trainers.pose_decoding import decode_outputs, mirrored_back, peak_entropies

SHIFT = 0.05  # of the box's sides, to the lower right and to the upper left
NOBODY = {"peaks": 0.0, "flip": 0.0, "shift": 0.0}


def pose_doubts(model: PoseModel, image: RgbImage, boxes: Boxes, batch_size: int) -> dict[str, float]:
    """The signals peaks, flip and shift of `SIGNALS`, each the mean over the subjects; NaN for what the card rules out.

    Joints that are scored too low to be proposed have no say in peaks, nor in an OKS where both poses leave them out.
    """
    if not len(boxes):
        return dict(NOBODY)
    crops = model.prepare(image, boxes)
    straight, entropy = _straight(model, crops, batch_size)
    moved = [_straight(model, model.prepare(image, _shifted(boxes, by)), batch_size)[0] for by in (SHIFT, -SHIFT)]
    found = {"peaks": _mean_entropy(entropy, straight.scores >= model.card.min_joint_score)}
    found["flip"] = math.nan
    if model.card.flip_test:
        found["flip"] = _apart(model, straight, _mirrored(model, crops, batch_size), boxes)
    return found | {"shift": float(np.mean([_apart(model, straight, other, boxes) for other in moved]))}


def _straight(model: PoseModel, crops: Crops, batch_size: int) -> tuple[Keypoints, npt.NDArray[np.float32] | None]:
    """The joints in the image, and how torn the model is for each, (n, joints), if its head tells."""
    joints, entropies = [], []
    for batch in batches(crops, batch_size):
        outputs = run_model(model.card, model.session, batch.pixels)
        joints.append(joints_in_image(decode_outputs(model.card, outputs), batch.to_image))
        entropies.append(peak_entropies(model.card, outputs))
    told = [entropy for entropy in entropies if entropy is not None]
    return Keypoints.concatenate(joints), np.concatenate(told) if told else None


def _mirrored(model: PoseModel, crops: Crops, batch_size: int) -> Keypoints:
    parts = []
    for batch in batches(crops, batch_size):
        outputs = run_model(model.card, model.session, np.ascontiguousarray(batch.pixels[:, :, ::-1]))
        joints = mirrored_back(model.card, decode_outputs(model.card, outputs))
        parts.append(joints_in_image(joints, batch.to_image))
    return Keypoints.concatenate(parts)


def _shifted(boxes: Boxes, share: float) -> Boxes:
    sides = boxes.bbox_xyxy[:, 2:] - boxes.bbox_xyxy[:, :2]
    return Boxes(boxes.bbox_xyxy + np.tile(np.float32(share) * sides, 2), boxes.scores, boxes.class_names)


def _mean_entropy(entropy: npt.NDArray[np.float32] | None, proposed: npt.NDArray[np.bool_]) -> float:
    if entropy is None:
        return math.nan
    return float(np.where(proposed & ~np.isnan(entropy), entropy, 0).mean())


def _apart(model: PoseModel, straight: Keypoints, other: Keypoints, boxes: Boxes) -> float:
    """1 - OKS, the mean over the subjects; 0 for one of which neither proposes a joint."""
    least = model.card.min_joint_score
    proposed = (straight.scores >= least) | (other.scores >= least)
    lost: Sequence[npt.NDArray[np.bool_]] = [keypoints.visibility == 0 for keypoints in (straight, other)]
    xy = np.where((lost[0] | lost[1])[..., None], np.nan, other.xy)
    oks = oks_given_boxes(xy, straight.xy, proposed, boxes.bbox_xyxy, model.skeleton.sigmas)
    return float(np.where(np.isnan(oks), 0, 1 - oks).mean())
