"""What people did to a proposal: joints moved, hidden, swapped; the box that follows; which instance is which.

CVAT stores coordinates to two decimals and no boxes, so neither an equal coordinate nor an equal box can be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from cvat_export.errors import CvatExportError
from cvat_export.labels import FloatArray, Instance, hull_xyxy
from cvat_export.skeleton import Skeleton

ROUNDING_PX = 0.01  # two decimals: at most 0.005 a coordinate, 0.0071 px in all, and float32 beyond it
SWAP_PX = 0.02 + ROUNDING_PX  # an exchange of names goes through more roundings than one


class Fate(StrEnum):
    """What became of a proposal, or how an instance came to be."""

    CONFIRMED = "confirmed"
    EDITED = "edited"
    ADDED = "added"
    DELETED = "deleted"
    MACHINE_ONLY = "machine_only"


@dataclass(frozen=True)
class JointChange:
    """What happened to one joint.

    moved_px: None where the joint was not labelled before or after, and where it was swapped: then its name was
    exchanged, and nothing moved. visibility_before: of the position that now has this name, that is of `swapped_with`
    where there is one.
    """

    joint: str
    moved_px: float | None
    visibility_before: int
    visibility_after: int
    swapped_with: str | None = None


@dataclass(frozen=True)
class InstanceChange:
    """What happened to one instance. joints: those that changed, in the skeleton's order."""

    fate: Fate
    joints: tuple[JointChange, ...] = ()


def compare(
    proposal: Instance | None, corrected: Instance | None, skeleton: Skeleton, finished: bool
) -> InstanceChange:
    """What a person did; `finished` says whether the person's job is, so that an untouched proposal is confirmed.

    In unfinished work a proposal is MACHINE_ONLY whatever was done to it so far (its joints still tell what), and an
    addition is ADDED: nothing unfinished is truth, which is for the caller to heed. Raises CvatExportError.
    """
    if proposal is None or corrected is None:
        return InstanceChange(_fate_of_one(proposal, corrected, finished))
    joints = _joint_changes(proposal, corrected, skeleton)
    if not finished:
        return InstanceChange(Fate.MACHINE_ONLY, joints)
    touched = joints or proposal.category != corrected.category
    return InstanceChange(Fate.EDITED if touched else Fate.CONFIRMED, joints)


def swapped_pairs(proposal: Instance, corrected: Instance, skeleton: Skeleton) -> tuple[tuple[int, int], ...]:
    """The flip pairs that exchanged their positions: each joint lies where the other was proposed.

    All four are labelled, and the two were far enough apart for an exchange to be told from no change.
    """
    _check_joints(proposal, skeleton)
    _check_joints(corrected, skeleton)
    return tuple(pair for pair in skeleton.flip_pairs if _is_swapped(proposal, corrected, list(pair)))


def rejoin_bbox(proposal: Instance, corrected: Instance, width: int, height: int) -> FloatArray:
    """The box of a corrected instance, (4,) float32 xyxy: CVAT discarded it, the proposal's is the best that is known.

    The proposal's own where no joint moved, became labelled or unlabelled, or where none is labelled any more. Else
    the hull of the corrected joints, on each side as much wider as the proposal's box was than its hull, and inside
    the image of `width` x `height` px.
    """
    same_joints = np.array_equal(proposal.labelled, corrected.labelled)
    if not corrected.labelled.any() or (same_joints and (_distances(proposal, corrected) <= ROUNDING_PX).all()):
        return proposal.bbox_xyxy
    outwards = np.array([-1.0, -1.0, 1.0, 1.0])
    margins = np.zeros(4)
    if proposal.labelled.any():
        margins = np.maximum(outwards * (proposal.bbox_xyxy.astype(float) - hull(proposal)), 0)
    widened = hull(corrected).astype(float) + outwards * margins
    return np.clip(widened, 0, (width, height, width, height)).astype(np.float32)


def hull(instance: Instance) -> FloatArray:
    """The least box around the labelled joints, (4,) float32 xyxy; around all where none is labelled.

    Its own box where it has no joints at all.
    """
    return hull_xyxy(instance.xy, instance.labelled) if len(instance.xy) else instance.bbox_xyxy


def oks(first: Instance, second: Instance, skeleton: Skeleton) -> float:
    """Object keypoint similarity as COCO computes it, 0..1, over joints labelled in both; 0 where there are none.

    exp(-d² / (2 · area · (2σ)²)), the mean over joints (cocodataset.org/#keypoints-eval); the area is of first's box.
    """
    both = first.labelled & second.labelled
    if not both.any():
        return 0.0
    box_width, box_height = (first.bbox_xyxy[2:] - first.bbox_xyxy[:2]).astype(float)
    area = max(box_width * box_height, np.spacing(1))
    variances = (2 * np.asarray(skeleton.sigmas)) ** 2
    errors = _distances(first, second)[both] ** 2 / (2 * area * variances[both])
    return float(np.exp(-errors).mean())


def match_instances(
    first: Sequence[Instance], second: Sequence[Instance], skeleton: Skeleton, min_oks: float
) -> list[tuple[int, int]]:
    """Positions (in first, in second) of instances that are one subject, one to one, in the order of `first`.

    The pair of the highest OKS goes first; of equal ones, the earliest in `first`, then in `second`. Pairs below
    `min_oks` or of different categories stay apart.
    """
    scored = [
        (-similarity, i, j)
        for i, one in enumerate(first)
        for j, other in enumerate(second)
        if one.category == other.category and (similarity := oks(one, other, skeleton)) >= min_oks
    ]
    matches: dict[int, int] = {}
    for _, i, j in sorted(scored):
        if i not in matches and j not in matches.values():
            matches[i] = j
    return sorted(matches.items())


def _fate_of_one(proposal: Instance | None, corrected: Instance | None, finished: bool) -> Fate:
    if proposal is not None:
        return Fate.DELETED if finished else Fate.MACHINE_ONLY
    if corrected is None:
        raise CvatExportError("compare: got neither a proposal nor a corrected instance, expected at least one")
    return Fate.ADDED


def _joint_changes(proposal: Instance, corrected: Instance, skeleton: Skeleton) -> tuple[JointChange, ...]:
    partners: dict[int, int] = {}
    for left, right in swapped_pairs(proposal, corrected, skeleton):
        partners |= {left: right, right: left}
    distances = _distances(proposal, corrected)
    labelled = proposal.labelled & corrected.labelled
    changes = []
    for joint, name in enumerate(skeleton.joints):
        partner = partners.get(joint)
        before = int(proposal.visibility[joint if partner is None else partner])
        after = int(corrected.visibility[joint])
        moved = None
        if labelled[joint] and partner is None:
            moved = float(distances[joint]) if distances[joint] > ROUNDING_PX else 0.0
        if moved or before != after or partner is not None:
            other = None if partner is None else skeleton.joints[partner]
            changes.append(JointChange(name, moved, before, after, other))
    return tuple(changes)


def _is_swapped(proposal: Instance, corrected: Instance, pair: list[int]) -> bool:
    if not (proposal.labelled[pair].all() and corrected.labelled[pair].all()):
        return False
    before, after = proposal.xy[pair].astype(float), corrected.xy[pair].astype(float)
    apart = np.linalg.norm(before[0] - before[1]) > 2 * SWAP_PX
    exchanged = (np.linalg.norm(after - before[::-1], axis=1) <= SWAP_PX).all()
    return bool(apart and exchanged)


def _distances(first: Instance, second: Instance) -> npt.NDArray[np.float64]:
    """How far each joint of one lies from the same joint of the other, (joints,) px; 0 where not labelled in both."""
    apart: npt.NDArray[np.float64] = np.linalg.norm(first.xy.astype(float) - second.xy.astype(float), axis=1)
    return np.where(first.labelled & second.labelled, apart, 0.0)


def _check_joints(instance: Instance, skeleton: Skeleton) -> None:
    if len(instance.visibility) != len(skeleton.joints):
        raise CvatExportError(
            f"instance of {instance.category!r}: got {len(instance.visibility)} joints, expected "
            f"{len(skeleton.joints)}, as skeleton {skeleton.name!r} has; map its joints to this skeleton first"
        )
