"""Crops and joints -> what a pose network learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cvat_export.labels import Visibility
from trainers.codecs import Size, encode_heatmaps
from trainers.model_card import InputCard
from trainers.network_input import encode_input
from trainers.samples import Shown


class Batch(NamedTuple):
    """What one step learns from; n subjects.

    images: (n, 3, height, width). targets: (n, joints, h, w) float32, Gaussians of height 1, or -1 for an occluded
    joint where the config draws it so. weights: (n, joints), 0 for a joint that is not labelled. visible: (n, joints),
    1 for a joint that can be seen. teacher_targets, teacher_weights: the same of the teacher's joints. samples: (n,)
    their places.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor
    visible: Tensor
    teacher_targets: Tensor
    teacher_weights: Tensor
    samples: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """How joints become targets. joint_weights: (joints,)."""

    input_card: InputCard
    map_size: Size
    sigma: float
    occluded_is_negative: bool
    joint_weights: npt.NDArray[np.float32]

    def encode(self, shown: Sequence[Shown], index: Sequence[int]) -> Batch:
        """The batch of these samples."""
        xy, visibility = np.stack([s.xy for s in shown]), np.stack([s.visibility for s in shown])
        maps = self._maps(xy)
        if self.occluded_is_negative:
            maps = np.where((visibility == Visibility.OCCLUDED)[..., None, None], -maps, maps)
        teacher_xy = np.stack([s.teacher_xy for s in shown])
        scores = np.stack([s.teacher_scores for s in shown]) * self.joint_weights
        has_teacher = bool(scores.any())
        return Batch(
            torch.from_numpy(encode_input(self.input_card, np.stack([s.pixels for s in shown]))),
            torch.from_numpy(maps),
            torch.from_numpy((visibility > 0) * self.joint_weights),
            torch.from_numpy((visibility == Visibility.VISIBLE).astype(np.float32)),
            torch.from_numpy(self._maps(teacher_xy) if has_teacher else maps[:, :, :0, :0]),
            torch.from_numpy(scores),
            torch.tensor(index),
        )

    def _maps(self, xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return encode_heatmaps(xy, self.input_card.size, self.map_size, "half-pixel", self.sigma)
