"""Instances <-> CVAT's skeleton shapes, as its API writes them (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cvat_export.changes import ROUNDING_PX
from cvat_export.labels import Instance, Visibility, hull_xyxy

Shape = Mapping[str, Any]


def encode_shape(
    instance: Instance, frame: int, label_id: int, joint_ids: Mapping[int, int], attributes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A skeleton that a program proposes. joint_ids: id of a sublabel -> index of its joint."""
    common = {"frame": frame, "group": 0, "z_order": 0, "rotation": 0.0, "source": "auto"}
    elements = [
        {
            **common,
            "type": "points",
            "label_id": sublabel,
            "occluded": bool(instance.visibility[joint] == Visibility.OCCLUDED),
            "outside": bool(instance.visibility[joint] == Visibility.NOT_LABELLED),
            "points": instance.xy[joint].astype(float).round(2).tolist(),
            "attributes": [],
        }
        for sublabel, joint in joint_ids.items()
    ]
    shape = {"type": "skeleton", "label_id": label_id, "occluded": False, "outside": False, "points": []}
    score = {} if instance.score is None else {"score": round(float(np.clip(instance.score, 0, 1)), 4)}
    return {**common, **shape, **score, "attributes": list(attributes), "elements": elements}


def decode_shape(shape: Shape, category: str, joint_ids: Mapping[int, int]) -> Instance:
    """The skeleton as an instance; its box is that of its labelled joints. A joint that is missing is not labelled."""
    xy = np.zeros((len(joint_ids), 2), np.float32)
    visibility = np.zeros(len(joint_ids), np.uint8)
    for element in shape["elements"]:
        joint = joint_ids.get(element["label_id"])
        if joint is None or len(element["points"]) != 2:
            continue
        xy[joint] = element["points"]
        visibility[joint] = _visibility(element)
    extra = {"attributes": shape["attributes"]} if shape.get("attributes") else {}
    return Instance(category, hull_xyxy(xy, visibility > 0), xy, visibility, extra=extra)


def same_skeleton(first: Instance, second: Instance) -> bool:
    """Whether nobody has touched a joint, not even one that is not labelled; but for CVAT's rounding."""
    return bool((first.visibility == second.visibility).all() and (np.abs(first.xy - second.xy) <= ROUNDING_PX).all())


def match_equal(wanted: Mapping[str, Instance], found: Iterable[tuple[int, Instance]]) -> dict[str, int]:
    """Key -> shape id of the first shape with the same joints; each shape is taken once."""
    waiting = list(found)
    matched = {}
    for key, instance in wanted.items():
        for position, (shape_id, other) in enumerate(waiting):
            if same_skeleton(instance, other):
                matched[key] = shape_id
                del waiting[position]
                break
    return matched


def _visibility(element: Shape) -> Visibility:
    if element["outside"]:
        return Visibility.NOT_LABELLED
    return Visibility.OCCLUDED if element["occluded"] else Visibility.VISIBLE
