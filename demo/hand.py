"""Where an annotator puts joints, and which of a proposal's joints are right enough to be left alone (pure)."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from cvat_export.changes import ROUNDING_PX
from cvat_export.dataset import LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton

Places = npt.NDArray[np.float64]  # (joints, 2) px


@dataclass(frozen=True)
class Hand:
    """How exact somebody is, in sigmas as docs/acceptance.md has them: OKS's times the root of the true box's area.

    tolerance_sigmas: a proposed joint that is no further off stays. noise_sigmas: how far from the truth the others
    are put, root mean square.
    """

    tolerance_sigmas: float = 1.0
    noise_sigmas: float = 0.3
    seed: int = 0

    def places(self, image: LabelledImage, subject: int, skeleton: Skeleton) -> Places:
        """Where this hand puts the joints of the image's n-th subject, to two decimals as CVAT keeps them.

        It depends on nothing but the seed, the image's name, the subject and the joint: whoever is asked again, in
        whatever order, answers the same. Joints that are not labelled lie in the middle of the box.
        """
        true = image.instances[subject]
        where = f"{self.seed}/{PurePosixPath(image.file_name).stem}/{subject}"
        # The distance's mean square is the sum of both coordinates'.
        reach = self.noise_sigmas / math.sqrt(2) * sigmas_px(true, skeleton)
        shaken = true.xy + reach[:, None] * np.array([_normal_pair(f"{where}/{joint}") for joint in skeleton.joints])
        middle = (true.bbox_xyxy[:2] + true.bbox_xyxy[2:]) / 2
        inside = np.clip(np.where(true.labelled[:, None], shaken, middle), 0, (image.width, image.height))
        return inside.round(2)

    def draw(self, true: Instance, places: Places) -> Instance:
        """A subject that nobody proposed."""
        return Instance(true.category, true.bbox_xyxy, places.astype(np.float32), true.visibility)

    def correct(self, proposal: Instance, true: Instance, places: Places, skeleton: Skeleton) -> Instance:
        """The proposal with its wrong joints at their `places`, and visible, occluded and labelled as is true.

        A joint that lies at its place already is right, as is one that is to be taken away.
        """
        off = np.linalg.norm(proposal.xy.astype(float) - true.xy, axis=1)
        from_place = np.abs(proposal.xy - places).max(axis=1)
        right = (off <= self.tolerance_sigmas * sigmas_px(true, skeleton)) | (from_place <= ROUNDING_PX)
        wrong = true.labelled & ~(proposal.labelled & right)
        xy = np.where(wrong[:, None], places, proposal.xy).astype(np.float32)
        return replace(proposal, xy=xy, visibility=true.visibility)


def sigmas_px(true: Instance, skeleton: Skeleton) -> npt.NDArray[np.float64]:
    """By how much two people's labels of each joint differ, (joints,)."""
    width, height = (true.bbox_xyxy[2:] - true.bbox_xyxy[:2]).astype(float)
    return np.asarray(skeleton.sigmas) * math.sqrt(max(width, 0.0) * max(height, 0.0))


def _normal_pair(key: str) -> Places:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(2)
