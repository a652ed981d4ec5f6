"""Proposals against the truth: who was found, and how many joints lie where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from cvat_export.dataset import Dataset
from cvat_export.labels import Instance, Visibility, box_iou

SAME_FROM_IOU = 0.5
PCK_SHARE = 0.1  # of the longer side of the true box


@dataclass(frozen=True)
class Comparison:
    """Counts over all images. joints: the visible ones of everybody in the truth, found or not."""

    images: int
    people: int
    found: int
    proposed: int
    joints: int
    joints_right: int

    def __str__(self) -> str:
        return (
            f"{self.images} frames with {self.people} people: found {self.found} "
            f"(recall {_share(self.found, self.people)}), {self.proposed - self.found} false "
            f"(precision {_share(self.found, self.proposed)}, IoU {SAME_FROM_IOU}); "
            f"{self.joints_right} of {self.joints} visible joints are right "
            f"(PCK@{PCK_SHARE} {_share(self.joints_right, self.joints)})"
        )


def compare(truth: Dataset, proposals: Dataset) -> Comparison:
    """Over the images of `proposals`, found in the truth by base name. KeyError for one that the truth lacks."""
    known = {PurePosixPath(image.file_name).name: image for image in truth.images}
    counts = np.zeros(5, int)
    for image in proposals.images:
        people = known[PurePosixPath(image.file_name).name].instances
        pairs = match(people, image.instances)
        visible = sum(int((person.visibility == Visibility.VISIBLE).sum()) for person in people)
        right = sum(joints_right(people[a], image.instances[b]) for a, b in pairs)
        counts += (len(people), len(pairs), len(image.instances), visible, right)
    return Comparison(len(proposals.images), *counts.tolist())


def match(people: Sequence[Instance], proposals: Sequence[Instance]) -> list[tuple[int, int]]:
    """Pairs (person, proposal) that overlap by SAME_FROM_IOU, the best first, each at most once."""
    overlaps = [
        (box_iou(person.bbox_xyxy, proposal.bbox_xyxy), a, b)
        for a, person in enumerate(people)
        for b, proposal in enumerate(proposals)
    ]
    pairs: list[tuple[int, int]] = []
    for overlap, a, b in sorted(overlaps, reverse=True):
        if overlap >= SAME_FROM_IOU and all(a != other[0] and b != other[1] for other in pairs):
            pairs.append((a, b))
    return pairs


def joints_right(person: Instance, proposal: Instance) -> int:
    """How many of the person's visible joints are proposed within PCK_SHARE of the box's longer side."""
    reach = PCK_SHARE * float((person.bbox_xyxy[2:] - person.bbox_xyxy[:2]).max())
    near = np.linalg.norm(person.xy - proposal.xy, axis=1) <= reach
    return int((near & proposal.labelled & (person.visibility == Visibility.VISIBLE)).sum())


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"
