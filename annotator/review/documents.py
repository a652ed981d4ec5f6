"""A reviewed frame as plain fields, as FiftyOne holds samples: positions are shares of the picture's sides (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from annotator.known_frames import FrameKey
from annotator.review.frames import ReviewedFrame, ReviewedSubject
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton

SOURCES = ("proposals", "corrections", "truth")  # keypoints; their boxes lie in a field of their own
SIDES = ("left", "right")  # whose joints lie in fields of their own beside: the App gives a label one colour
Fields = dict[str, Any]


def frame_id(key: FrameKey) -> str:
    """As a sample names its frame: first digits of the source's hash and pts, or the image's stem."""
    return key if isinstance(key, str) else f"{key[0]}-{key[1]}"


def boxes_field(source: str) -> str:
    """`proposal_boxes` of `proposals`."""
    return f"{source.removesuffix('s')}_boxes"


def side_field(source: str, side: str) -> str:
    """`proposals_left`."""
    return f"{source}_{side}"


def keypoint_fields() -> list[str]:
    """Wholes before sides: the App draws the joints of later ones over those of earlier ones."""
    return [*SOURCES, *(side_field(source, side) for source in SOURCES for side in SIDES)]


def side_edges(skeleton: Skeleton, side: str | None) -> list[list[int]]:
    """The edges between two joints of a side; for None all others, which cross over or touch the middle."""
    sides = [{skeleton.sides[joint] for joint in edge} for edge in skeleton.edges]
    own = [next(iter(found)) if len(found) == 1 and "centre" not in found else None for found in sides]
    return [list(edge) for edge, found in zip(skeleton.edges, own, strict=True) if found == side]


def describe(frame: ReviewedFrame, skeletons: Mapping[str, Skeleton]) -> Fields:
    """All fields of a sample but those that FiftyOne makes; labels as lists of what each label is made of."""
    origin, work = frame.origin, frame.work
    fields: Fields = {
        "filepath": str(frame.path.absolute()),
        "width": frame.width,
        "height": frame.height,
        "frame_id": frame_id(frame.key),
        "file_name": frame.file_name,
        "video": frame.video or None,
        "pts": origin.pts,
        "seconds": origin.seconds,
        "reason": origin.reason or None,
        "quality": dict(origin.quality),
        "role": origin.role,
        "round": origin.round,
        "models": frame.models or None,
        "reviewed": frame.finished,
        "annotator": work.annotator if work else None,
        "job": work.address if work else None,
        "subjects": max(len(getattr(frame, source)) for source in SOURCES),
        "doubt": round(frame.doubt, 4),
        "lowest_oks": None if frame.lowest_oks is None else round(frame.lowest_oks, 4),
        "errors": list(frame.errors),
        "suspects": list(frame.suspects),
        "moved_sigmas": round(frame.moved_sigmas, 2),
    }
    for source in SOURCES:
        subjects: Sequence[ReviewedSubject] = getattr(frame, source)
        fields[source] = [_keypoint(one, frame) for one in subjects]
        fields[boxes_field(source)] = [_detection(one, frame) for one in subjects]
        for side in SIDES:
            parts = (_side(one, frame, skeletons[one.instance.category], side) for one in subjects)
            fields[side_field(source, side)] = [part for part in parts if any(part["points"])]
    return fields


def fingerprint(fields: Fields) -> str:
    """By which a sample is known to be up to date."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def _keypoint(one: ReviewedSubject, frame: ReviewedFrame) -> Fields:
    """Lists of one value a joint are attributes of the points. A joint that is not labelled has no position."""
    instance = one.instance
    return {
        "label": instance.category,
        "points": _points(instance, frame),
        "confidence": _joint_scores(instance),
        "visibility": instance.visibility.tolist(),
        "joint_errors": list(one.joint_errors),
        "outcomes": [str(joint.outcome or "") for joint in one.outcomes],
        **_facts(one),
    }


def _side(one: ReviewedSubject, frame: ReviewedFrame, skeleton: Skeleton, side: str) -> Fields:
    """The joints of one side, in their places among all."""
    points = zip(_points(one.instance, frame), skeleton.sides, strict=True)
    return {
        "label": one.instance.category,
        "points": [point if found == side else None for point, found in points],
        "error": one.error,
    }


def _detection(one: ReviewedSubject, frame: ReviewedFrame) -> Fields:
    x1, y1, x2, y2 = map(float, one.instance.bbox_xyxy)
    shares = (x1 / frame.width, y1 / frame.height, (x2 - x1) / frame.width, (y2 - y1) / frame.height)
    return {
        "label": one.instance.category,
        "bounding_box": [round(share, 6) for share in shares],
        "confidence": one.instance.score,
        **_facts(one),
    }


def _facts(one: ReviewedSubject) -> Fields:
    return {
        "error": one.error,
        "oks": None if one.oks is None else round(one.oks, 4),
        "fate": one.fate,
        "moved_px": round(one.moved_px, 2),
        "moved_sigmas": round(one.moved_sigmas, 2),
        "suspicion": "; ".join(f"{found.rule}: {found.text}" for found in one.suspicions) or None,
    }


def _points(instance: Instance, frame: ReviewedFrame) -> list[list[float] | None]:
    shares = np.round(instance.xy.astype(float) / (frame.width, frame.height), 6)
    drawn = instance.labelled & np.isfinite(shares).all(axis=1)
    return [share.tolist() if is_drawn else None for share, is_drawn in zip(shares, drawn, strict=True)]


def _joint_scores(instance: Instance) -> list[float] | None:
    return None if instance.joint_scores is None else instance.joint_scores.astype(float).round(4).tolist()
