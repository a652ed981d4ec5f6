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
from trainers.codecs import Size
from trainers.samples import Shown


class Batch(NamedTuple):
    """What one step learns from; n subjects.

    pixels: (n, height, width, 3) uint8 RGB. xy: (n, joints, 2) in pixels of the crop, NaN for a joint without a place.
    weights: (n, joints), 0 for a joint that is not labelled. visible: (n, joints), 1 for a joint that can be seen.
    teacher_xy, teacher_weights: the same of the teacher's joints, or of 0 joints where it says nothing of these
    samples. samples: (n,) their places.
    """

    pixels: Tensor
    xy: Tensor
    weights: Tensor
    visible: Tensor
    teacher_xy: Tensor
    teacher_weights: Tensor
    samples: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """How joints become targets: batches are small, and maps are drawn where the network is.

    map_size: (width, height) in cells. joint_weights: (joints,). occluded_is_negative: whether an occluded joint's
    Gaussian has the height -1.
    """

    input_size: Size
    map_size: Size
    sigma: float
    occluded_is_negative: bool
    joint_weights: npt.NDArray[np.float32]

    def encode(self, shown: Sequence[Shown], index: Sequence[int]) -> Batch:
        """The batch of these samples."""
        visibility = np.stack([s.visibility for s in shown])
        teacher_weights = np.stack([s.teacher_scores for s in shown]) * self.joint_weights
        taught = slice(None) if teacher_weights.any() else slice(0)
        return Batch(
            torch.from_numpy(np.stack([s.pixels for s in shown])),
            torch.from_numpy(np.stack([s.xy for s in shown])),
            torch.from_numpy((visibility > 0) * self.joint_weights),
            torch.from_numpy((visibility == Visibility.VISIBLE).astype(np.float32)),
            torch.from_numpy(np.stack([s.teacher_xy for s in shown])[:, taught]),
            torch.from_numpy(teacher_weights[:, taught]),
            torch.tensor(index),
        )

    def maps(self, batch: Batch) -> Tensor:
        """What the labels ask for: (n, joints, h, w) float32, Gaussians of height 1 or -1."""
        maps = self._gaussians(batch.xy)
        if self.occluded_is_negative:
            maps = torch.where(batch.visible[..., None, None] > 0, maps, -maps)
        return maps

    def teacher_maps(self, batch: Batch) -> Tensor | None:
        """What the teacher asks for; None where it says nothing of these samples."""
        return self._gaussians(batch.teacher_xy) if batch.teacher_xy.numel() else None

    def _gaussians(self, xy: Tensor) -> Tensor:
        """The same as `encode_heatmaps` with "half-pixel", on the device of `xy`."""
        along_x, along_y = (
            torch.exp(-((_distances(xy[..., axis, None], pixels, count)) ** 2) / (2 * self.sigma**2))
            for axis, (pixels, count) in enumerate(zip(self.input_size, self.map_size, strict=True))
        )
        return along_y[..., :, None] * along_x[..., None, :]


def _distances(positions: Tensor, pixels: int, count: int) -> Tensor:
    """In cells, (..., count), from each cell's centre to positions (..., 1) in pixels; endless from NaN."""
    centres = torch.arange(count, device=positions.device) + 0.5
    return torch.nan_to_num(centres - positions * (count / pixels), nan=torch.inf)
