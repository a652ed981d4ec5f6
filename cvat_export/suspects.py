"""Which proposals are likely wrong, by rules that need nobody's labels: for a person to look at these first.

A rule says what it saw in words and numbers; it is a hint, not a verdict. The thresholds were chosen on human labels
(COCO, Leeds Sports Pose, cats), of which a rule should name few: shares given below are of COCO's people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cvat_export.changes import oks
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance, box_iou
from cvat_export.skeleton import Skeleton

# Shoulders or hips nearer to each other than this share of the box's side are seen from the side: which of them lies
# left of the other then says nothing. The side is the root of the box's area, as in OKS.
MIN_SEPARATION = 0.1
# Shoulders twist against hips, but not by more than about 135 degrees in the image: 0.2 % of people.
OPPOSED_COSINE = -0.7

# A limb that points at the camera looks short: of one person in ten some limb is this many times its twin. Hardly ever
# (under 1 %) while it also takes this share of the box's diagonal.
LIMB_RATIO = 2.5
LONG_LIMB = 0.35
LONGEST_LIMB = 1.1  # of the box's diagonal, which no limb inside the box exceeds; joints may lie a little outside

OUTSIDE_SHARE = 0.5  # of the box's side; hidden legs under a table lie up to 0.4 outside a box of what is seen (2 %)

# Scores of MoveNet on Leeds Sports Pose: of poses below this mean 70 % are off by more than 0.15 of the box's side, of
# all 23 %.
LOW_MEAN_SCORE = 0.4
LOW_JOINT_SCORE = 0.3  # a joint that is hardly better than none; proposals leave out what is below 0.2
LOW_JOINTS_SHARE = 0.5  # above this many such joints 74 % are off as above

DOUBLE_OKS = 0.7  # people who overlap reach 0.5, hardly any pair lies between; above, one person is labelled twice
DOUBLE_IOU = 0.8  # for boxes whose joints cannot be compared; two real people reach it once in 2,000


@dataclass(frozen=True)
class Suspicion:
    """What a rule saw. rule: a key of `RULES`. joints: the names it concerns. text: words and numbers for a person."""

    rule: str
    joints: tuple[str, ...]
    text: str


Rule = Callable[[Sequence[Instance], int, Skeleton], list[Suspicion]]


def find_suspects(instances: Sequence[Instance], skeleton: Skeleton) -> list[tuple[Suspicion, ...]]:
    """What is suspicious of each of one image's instances; an empty tuple where nothing is. Raises CvatExportError.

    Joints that are not labelled never count, nor do crowds, which hold several subjects.
    """
    for instance in instances:
        if len(instance.visibility) != len(skeleton.joints):
            raise CvatExportError(
                f"find_suspects: got an instance of {instance.category!r} with {len(instance.visibility)} joints, "
                f"expected {len(skeleton.joints)}, as skeleton {skeleton.name!r} has"
            )
    return [
        () if instance.is_crowd else tuple(s for rule in RULES.values() for s in rule(instances, position, skeleton))
        for position, instance in enumerate(instances)
    ]


def crossed_sides(instances: Sequence[Instance], position: int, skeleton: Skeleton) -> list[Suspicion]:
    """Left and right exchanged in a part of the body.

    Only pairs that a trunk holds together are judged (see `_trunk_pairs`): shoulders, hips, eyes. Arms and legs cross
    in real life, so ankles, knees and wrists never fire alone: a swap of these alone is not found. Where the direction
    from right to left of two trunk pairs is opposed, the one with which more of the subject's pairs agree is believed,
    and the other named together with the pairs that hang on it and are opposed as well.
    """
    instance = instances[position]
    across = {pair: _across(instance, pair) for pair in skeleton.flip_pairs if instance.labelled[list(pair)].all()}
    least = MIN_SEPARATION * _side(instance)
    trunk = [pair for pair in _trunk_pairs(skeleton) if pair in across and np.linalg.norm(across[pair]) > least]
    if not trunk:
        return []
    believed = max(trunk, key=lambda pair: _support(across[pair], across.values()))
    suspicions = []
    for pair in trunk:
        cosine = _cosine(across[pair], across[believed])
        if cosine < OPPOSED_COSINE:
            opposed = {other for other, vector in across.items() if vector @ across[believed] < 0}
            joints = [joint for limb in _limbs_from(pair, opposed, skeleton) for joint in limb]
            text = (
                f"{_names(pair, skeleton)} run against {_names(believed, skeleton)} (cosine {cosine:.2f}): "
                "left and right look swapped"
            )
            suspicions.append(Suspicion("crossed_sides", tuple(skeleton.joints[joint] for joint in joints), text))
    return suspicions


def limb_lengths(instances: Sequence[Instance], position: int, skeleton: Skeleton) -> list[Suspicion]:
    """A limb, that is an edge, much longer than its twin on the other side and long for the box, or too long for it."""
    instance = instances[position]
    diagonal = float(np.linalg.norm(instance.bbox_xyxy[2:] - instance.bbox_xyxy[:2]))
    if not diagonal or not skeleton.edges:
        return []
    ends = instance.xy[np.array(skeleton.edges)].astype(np.float64)
    drawn = instance.labelled[np.array(skeleton.edges)].all(axis=1)
    measured = np.where(drawn, np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1), 0.0).tolist()
    lengths = {frozenset(edge): length for edge, length in zip(skeleton.edges, measured, strict=True)}
    suspicions = []
    for edge in dict.fromkeys(skeleton.edges):
        length = lengths.get(frozenset(edge), 0.0)
        twin = lengths.get(frozenset(skeleton.flip_order[joint] for joint in edge), 0.0)
        found = f"{_names(edge, skeleton, '–')} is {length:.0f} px long"
        if twin and length > max(LIMB_RATIO * twin, LONG_LIMB * diagonal):
            text = f"{found}, {length / twin:.1f} times the other side's {twin:.0f} px"
        elif length > LONGEST_LIMB * diagonal:
            text = f"{found}, {length / diagonal:.1f} times the box's diagonal"
        else:
            continue
        suspicions.append(Suspicion("limb_lengths", tuple(skeleton.joints[joint] for joint in edge), text))
    return suspicions


def low_scores(instances: Sequence[Instance], position: int, skeleton: Skeleton) -> list[Suspicion]:
    """The model itself hardly believes in the joints. Nothing where nobody kept their scores."""
    instance = instances[position]
    if instance.joint_scores is None or not instance.labelled.any():
        return []
    count = int(instance.labelled.sum())
    mean = float(instance.joint_scores[instance.labelled].mean())
    if mean < LOW_MEAN_SCORE:
        low = instance.labelled & (instance.joint_scores < LOW_MEAN_SCORE)
        text = f"the mean score of its {count} joints is {mean:.2f}"
    else:
        low = instance.labelled & (instance.joint_scores < LOW_JOINT_SCORE)
        if low.sum() <= LOW_JOINTS_SHARE * count:
            return []
        text = f"{low.sum()} of its {count} joints score below {LOW_JOINT_SCORE}"
    return [Suspicion("low_scores", _named(low, skeleton), text)]


def outside_box(instances: Sequence[Instance], position: int, skeleton: Skeleton) -> list[Suspicion]:
    """Joints that lie far outside the box of their subject."""
    instance = instances[position]
    side = _side(instance)
    beyond = np.maximum(np.maximum(instance.bbox_xyxy[:2] - instance.xy, instance.xy - instance.bbox_xyxy[2:]), 0)
    distances = np.linalg.norm(beyond, axis=1)
    outside = instance.labelled & (distances > OUTSIDE_SHARE * side)
    if not side or not outside.any():
        return []
    names = _named(outside, skeleton)
    text = f"{', '.join(names)}: up to {distances[outside].max():.0f} px outside the box, whose side is {side:.0f} px"
    return [Suspicion("outside_box", names, text)]


def doubles(instances: Sequence[Instance], position: int, skeleton: Skeleton) -> list[Suspicion]:
    """A second instance on a subject that has a better one: of lower score, or further back where scores are equal."""
    instance = instances[position]
    rank = (-(instance.score or 0.0), position)
    for other_position, other in enumerate(instances):
        better = (-(other.score or 0.0), other_position) < rank
        if not better or other.is_crowd or other.category != instance.category:
            continue
        both = instance.labelled & other.labelled
        fewer = min(instance.labelled.sum(), other.labelled.sum())
        overlap = float(box_iou(instance.bbox_xyxy, other.bbox_xyxy))
        where = f"number {other_position + 1} of the image"
        if fewer and both.sum() >= fewer / 2:
            if (similarity := oks(other, instance, skeleton)) > DOUBLE_OKS:
                return [Suspicion("doubles", _named(both, skeleton), f"lies on {where} (OKS {similarity:.2f})")]
        elif overlap > DOUBLE_IOU:
            return [Suspicion("doubles", (), f"its box lies on that of {where} (IoU {overlap:.2f})")]
    return []


RULES: Mapping[str, Rule] = {
    "crossed_sides": crossed_sides,
    "limb_lengths": limb_lengths,
    "low_scores": low_scores,
    "outside_box": outside_box,
    "doubles": doubles,
}


def _trunk_pairs(skeleton: Skeleton) -> Iterator[tuple[int, int]]:
    """Flip pairs whose joints an edge joins, or that hang on one joint of the middle (LSP's shoulders on its neck)."""
    for left, right in skeleton.flip_pairs:
        shared = set(skeleton.neighbours[left]) & set(skeleton.neighbours[right])
        if right in skeleton.neighbours[left] or any(skeleton.sides[joint] == "centre" for joint in shared):
            yield left, right


def _support(vector: npt.NDArray[np.float64], others: Iterable[npt.NDArray[np.float64]]) -> tuple[float, float]:
    """How many more pairs point the same way than the other; of equals, the wider pair is surer of its direction."""
    return sum(float(np.sign(other @ vector)) for other in others), float(np.linalg.norm(vector))


def _limbs_from(pair: tuple[int, int], allowed: set[tuple[int, int]], skeleton: Skeleton) -> list[tuple[int, int]]:
    """`pair` and those of `allowed` that edges join to it on both sides, one after the other: hips, knees, ankles."""
    reached = [pair]
    for left, right in reached:
        for other in skeleton.flip_pairs:
            joined = other[0] in skeleton.neighbours[left] and other[1] in skeleton.neighbours[right]
            if joined and other in allowed and other not in reached:
                reached.append(other)
    return reached


def _across(instance: Instance, pair: tuple[int, int]) -> npt.NDArray[np.float64]:
    """From a pair's second joint to its first, (2,) px."""
    return instance.xy[pair[0]].astype(np.float64) - instance.xy[pair[1]]


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _side(instance: Instance) -> float:
    """The side of a square as large as the box, px."""
    width, height = np.maximum(instance.bbox_xyxy[2:].astype(float) - instance.bbox_xyxy[:2], 0)
    return float(np.sqrt(width * height))


def _named(chosen: npt.NDArray[np.bool_], skeleton: Skeleton) -> tuple[str, ...]:
    return tuple(skeleton.joints[joint] for joint in np.flatnonzero(chosen))


def _names(pair: tuple[int, int], skeleton: Skeleton, between: str = " and ") -> str:
    return between.join(skeleton.joints[joint] for joint in pair)
