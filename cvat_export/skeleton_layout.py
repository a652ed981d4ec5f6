"""Where a skeleton's joints are drawn in a template of 100 x 100 units, before any image is seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from cvat_export.skeleton import Skeleton, canonical_name

MIN_GAP = 4.0  # between two joints, in units: nearer ones are hard to tell and to grab
MARGIN = 4.0  # to the template's border
FAN_STEP_DEGREES = 30  # between neighbouring fingers
CHAIN_STEP = 5.0  # from one joint of a finger to the next

Point = tuple[float, float]

# A standing person who faces the viewer: the distance to the middle, and y. The person's left is on the viewer's right.
_BODY: dict[str, Point] = {
    "headtop": (0, 4), "head": (0, 8), "eyeinner": (2.5, 8), "eye": (6.5, 7), "eyeouter": (10.5, 7), "ear": (14.5, 10),
    "nose": (0, 12), "mouth": (3, 17), "upperneck": (0, 21), "neck": (0, 21), "thorax": (0, 26), "shoulder": (13, 27),
    "elbow": (24, 38), "wrist": (32, 50), "pinky": (39, 54), "index": (36, 58), "thumb": (30, 56), "pelvis": (0, 52),
    "midhip": (0, 52), "hip": (9, 53), "knee": (11, 71), "ankle": (12, 87), "heel": (8, 92), "footindex": (17, 95),
    "bigtoe": (15, 95), "smalltoe": (20, 94),
}  # fmt: skip
_BODY_SIGNS = {"shoulder", "hip"}  # a skeleton with these is drawn as a standing body


def lay_out(skeleton: Skeleton) -> tuple[Point, ...]:
    """A position a joint, (x, y) in 0..100, y downwards; no two nearer than MIN_GAP as long as they fit.

    A body stands and faces the viewer, and what hangs on its joints grows outwards; other skeletons hang as trees from
    their first joint. Joints without edges form a ring. The same skeleton always looks the same.
    """
    targets = _body(skeleton)
    targets |= _grown(targets, skeleton) if targets else _tree(skeleton)
    loose = [joint for joint in range(len(skeleton.joints)) if joint not in targets]
    targets |= zip(loose, _ring(len(loose)), strict=True)
    gap = MIN_GAP
    while (placed := _settle(targets, gap)) is None:
        gap *= 0.8  # some hundred joints do not fit at the full gap
    return tuple(placed[joint] for joint in range(len(skeleton.joints)))


def _body(skeleton: Skeleton) -> dict[int, Point]:
    """The joints that are parts of a body, or none where it is not one."""
    parts = {}
    for joint, name in enumerate(skeleton.joints):
        for candidate in (name, *skeleton.aliases.get(name, ())):
            part = canonical_name(candidate).replace("left", "").replace("right", "")
            if part in _BODY:
                parts[joint] = part
                break
    if not set(parts.values()) >= _BODY_SIGNS:
        return {}
    directions = {"left": 1, "right": -1, "centre": 0}
    return {
        joint: (50 + directions[skeleton.sides[joint]] * _BODY[part][0], _BODY[part][1])
        for joint, part in parts.items()
    }


def _grown(placed: dict[int, Point], skeleton: Skeleton) -> dict[int, Point]:
    """What edges join to the placed joints, fanned out in the direction in which their limb points."""
    positions = dict(placed)
    reached = list(placed)
    for joint in reached:  # grows while it is walked
        neighbours = _neighbours(joint, skeleton)
        children = [other for other in neighbours if other not in positions]
        heading = _heading(positions[joint], [positions[other] for other in neighbours if other in positions])
        for child, point in zip(children, _fan(positions[joint], heading, len(children)), strict=True):
            positions[child] = point
            reached.append(child)
    return positions


def _heading(point: Point, from_points: list[Point]) -> float:
    """The angle in which a limb points that ends at `point`: away from what it hangs on, else from the middle."""
    origin = np.mean(from_points or [(50.0, 50.0)], axis=0)
    return math.atan2(point[1] - origin[1], point[0] - origin[0])


def _fan(origin: Point, heading: float, count: int) -> Iterator[Point]:
    """`count` points around `origin`, the same on both sides of the body's middle."""
    step = math.radians(FAN_STEP_DEGREES)
    radius = CHAIN_STEP if count < 2 else max(CHAIN_STEP, MIN_GAP / (2 * math.sin(step / 2)))
    turn = 1 if origin[0] >= 50 else -1
    for number in range(count):
        angle = heading + turn * (number - (count - 1) / 2) * step
        yield origin[0] + radius * math.cos(angle), origin[1] + radius * math.sin(angle)


def _tree(skeleton: Skeleton) -> dict[int, Point]:
    """Joints that have edges, each below the one from which it was reached; the subject's left on the right."""
    children, depths = _forest(skeleton)
    order = list(_walk(children, [joint for joint, depth in depths.items() if depth == 0]))
    leaves = [joint for joint in order if not children[joint]]
    columns: dict[int, float] = {joint: column for column, joint in enumerate(leaves)}
    for joint in reversed(order):
        if below := children[joint]:
            columns[joint] = sum(columns[child] for child in below) / len(below)
    deepest = max(depths.values(), default=0)
    return {joint: (_spread(columns[joint], len(leaves) - 1), _spread(depths[joint], deepest)) for joint in order}


def _forest(skeleton: Skeleton) -> tuple[dict[int, list[int]], dict[int, int]]:
    """The children and the depth of each joint that has edges, searched breadth first; roots have depth 0."""
    children: dict[int, list[int]] = {}
    depths: dict[int, int] = {}
    for root in range(len(skeleton.joints)):
        if root in depths or not _neighbours(root, skeleton):
            continue
        depths[root] = 0
        reached = [root]
        for joint in reached:  # grows while it is walked
            children[joint] = [other for other in _neighbours(joint, skeleton) if other not in depths]
            depths |= dict.fromkeys(children[joint], depths[joint] + 1)
            reached += children[joint]
    return children, depths


def _walk(children: dict[int, list[int]], roots: list[int]) -> Iterator[int]:
    """Each joint before its children, and these from left to right."""
    waiting = roots[::-1]
    while waiting:
        joint = waiting.pop()
        yield joint
        waiting += children[joint][::-1]


def _neighbours(joint: int, skeleton: Skeleton) -> list[int]:
    """What edges join to it: the subject's right first, as it stands on the left of who looks at it."""
    columns = ("right", "centre", "left")
    return sorted(skeleton.neighbours[joint], key=lambda other: (columns.index(skeleton.sides[other]), other))


def _spread(step: float, last: float) -> float:
    """Position `step` of 0..`last` between the margins."""
    return MARGIN + step / last * (100 - 2 * MARGIN) if last > 0 else 50.0


def _ring(count: int) -> list[Point]:
    """Clockwise from the top."""
    angles = (2 * math.pi * number / max(count, 1) for number in range(count))
    return [(50 + 44 * math.sin(angle), 50 - 44 * math.cos(angle)) for angle in angles]


def _settle(targets: dict[int, Point], gap: float) -> dict[int, Point] | None:
    """Each joint where it is wanted or, where another is too near, at the nearest free spot; None if there is none."""
    steps = np.arange(MARGIN, 100 - MARGIN + 0.5)
    spots = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    free = np.ones(len(spots), bool)
    placed: dict[int, Point] = {}
    for joint, target in targets.items():
        wanted = np.clip(np.round(target, 2), MARGIN, 100 - MARGIN)
        if _near(wanted, placed.values(), gap):
            if not free.any():
                return None
            wanted = spots[free][np.argmin(np.linalg.norm(spots[free] - wanted, axis=1))]
        placed[joint] = float(wanted[0]), float(wanted[1])
        free &= np.linalg.norm(spots - wanted, axis=1) >= gap
    return placed


def _near(point: npt.NDArray[np.float64], placed: Iterable[Point], gap: float) -> bool:
    return any(math.dist(point, other) < gap for other in placed)
