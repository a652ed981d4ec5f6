"""Labelled images -> tables of truth and estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cvat_export.dataset import LabelledImage
from cvat_export.labels import Instance, hull_xyxy
from cvat_export.skeleton import DEFAULT_SIGMA, Skeleton
from trainers.errors import TrainersError
from trainers.metrics.pairs import Floats
from trainers.metrics.tables import EstimateTable, TruthTable


@dataclass(frozen=True)
class CommonJoints:
    """The joints that the truth and all estimates have, by name. truth, estimated: their places in each."""

    skeleton: Skeleton
    truth: tuple[int, ...]
    estimated: tuple[tuple[int, ...], ...]


def common_joints(truth: Skeleton, *estimated: Skeleton) -> CommonJoints:
    """In the order of the truth, with its sigmas unless only an estimate's skeleton has any. Raises TrainersError."""
    sources = [truth.sources_in(other) for other in estimated]
    kept = tuple(place for place in range(len(truth.joints)) if all(source[place] is not None for source in sources))
    if not kept:
        others = "; ".join(", ".join(other.joints) for other in estimated)
        raise TrainersError(
            f"truth and estimates have no joint in common: the truth has {', '.join(truth.joints)}; the estimates "
            f"have {others}; give a skeleton with aliases for the other's names"
        )
    taken = tuple(tuple(source[place] or 0 for place in kept) for source in sources)
    skeleton = restrict(truth, kept)
    measured = [(other, places) for other, places in zip(estimated, taken, strict=True) if has_sigmas(other)]
    if measured and not has_sigmas(truth):
        other, places = measured[0]
        skeleton = replace(skeleton, sigmas=tuple(other.sigmas[place] for place in places))
    return CommonJoints(skeleton, kept, taken)


def has_sigmas(skeleton: Skeleton) -> bool:
    """Whether somebody measured or chose them: a skeleton without has the same default for every joint."""
    return any(sigma != DEFAULT_SIGMA for sigma in skeleton.sigmas)


def restrict(skeleton: Skeleton, joints: Sequence[int]) -> Skeleton:
    """The skeleton with only these joints; edges and pairs that lose an end are gone."""
    place = {joint: number for number, joint in enumerate(joints)}
    names = tuple(skeleton.joints[joint] for joint in joints)
    return Skeleton(
        name=skeleton.name,
        joints=names,
        edges=tuple((place[a], place[b]) for a, b in skeleton.edges if a in place and b in place),
        flip_pairs=tuple((place[a], place[b]) for a, b in skeleton.flip_pairs if a in place and b in place),
        sigmas=tuple(skeleton.sigmas[joint] for joint in joints),
        aliases={name: words for name, words in skeleton.aliases.items() if name in names},
        colours={name: colour for name, colour in skeleton.colours.items() if name in names},
    )


def truth_table(images: Sequence[LabelledImage], joints: Sequence[int]) -> TruthTable:
    """Everything labelled in the images, which are numbered as they come. joints: the ones to evaluate.

    The area is that of COCO's row where it has one above 0 (the outline's), else the box's, else that of the joints'
    hull.
    """
    rows = [(number, instance) for number, image in enumerate(images) for instance in image.instances]
    instances = [instance for _, instance in rows]
    return TruthTable(
        image=np.array([number for number, _ in rows], np.intp),
        xy=_joint_positions(instances, joints),
        labelled=_joint_flags(instances, joints),
        bbox_xywh=_boxes(instances),
        area=np.array([true_area(instance) for instance in instances], np.float64),
        crowd=np.array([instance.is_crowd for instance in instances], bool),
    )


def estimate_table(instances_of_images: Sequence[Sequence[Instance]], joints: Sequence[int]) -> EstimateTable:
    """What was estimated in each image; a subject without a score has 1."""
    rows = [(number, instance) for number, found in enumerate(instances_of_images) for instance in found]
    instances = [instance for _, instance in rows]
    scores = [
        np.full(len(joints), np.nan) if i.joint_scores is None else i.joint_scores[list(joints)] for i in instances
    ]
    return EstimateTable(
        image=np.array([number for number, _ in rows], np.intp),
        xy=_joint_positions(instances, joints),
        proposed=_joint_flags(instances, joints),
        bbox_xywh=_boxes(instances),
        scores=np.array([1.0 if i.score is None else i.score for i in instances], np.float64),
        joint_scores=np.array(scores, np.float64).reshape(len(instances), len(joints)),
    )


def true_area(instance: Instance) -> float:
    """px², see `truth_table`."""
    own = instance.extra.get("area")
    if isinstance(own, int | float) and own > 0:
        return float(own)
    hull = hull_xyxy(instance.xy, instance.labelled) if len(instance.xy) else instance.bbox_xyxy
    for box in (_as_written(instance.bbox_xyxy), hull.astype(np.float64)):
        width, height = box[2:] - box[:2]
        if width > 0 and height > 0:
            return float(width * height)
    return 0.0


def _joint_positions(instances: Sequence[Instance], joints: Sequence[int]) -> Floats:
    rows = [instance.xy[list(joints)] for instance in instances]
    return _as_written(np.array(rows, np.float32).reshape(len(rows), len(joints), 2))


def _joint_flags(instances: Sequence[Instance], joints: Sequence[int]) -> npt.NDArray[np.bool_]:
    rows = [instance.labelled[list(joints)] for instance in instances]
    return np.array(rows, bool).reshape(len(rows), len(joints))


def _boxes(instances: Sequence[Instance]) -> Floats:
    corners = _as_written(np.array([i.bbox_xyxy for i in instances], np.float32).reshape(-1, 4))
    size = (corners[:, 2:] - corners[:, :2]).round(6)
    return np.concatenate([corners[:, :2], size], axis=1)


def _as_written(values: npt.NDArray[np.float32]) -> Floats:
    """The numbers of two decimals that a file had before they became float32, so that sizes at a limit stay there."""
    exact = values.astype(np.float64)
    written = exact.round(2)
    return np.where(written.astype(np.float32) == values, written, exact)
