"""Shown images -> what a detector learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cvat_export.labels import FloatArray
from trainers.detection.image_views import ShownImage


class DetectionBatch(NamedTuple):
    """What one step learns from; n images.

    pixels: (n, height, width, 3) uint8 RGB. truth: (n, g, 4) xyxy in pixels of the input, of which those count that
    are present (n, g). ignored, ignored_present: the same of where nothing is learnt. only_inside: (n,) whether nothing
    is learnt outside the truth. samples: (n,) their places.
    """

    pixels: Tensor
    truth: Tensor
    present: Tensor
    ignored: Tensor
    ignored_present: Tensor
    only_inside: Tensor
    samples: Tensor


@dataclass(frozen=True)
class BoxTargets:
    """How shown images become batches. smallest_px: subjects of a shorter side below it are ignored."""

    smallest_px: float

    def encode(self, shown: Sequence[ShownImage], index: Sequence[int]) -> DetectionBatch:
        """The batch of these images."""
        tiny = [(one.bbox_xyxy[:, 2:] - one.bbox_xyxy[:, :2]).min(axis=1) < self.smallest_px for one in shown]
        truth, present = _padded([one.bbox_xyxy[~small] for one, small in zip(shown, tiny, strict=True)])
        ignored, ignored_present = _padded(
            [np.concatenate([one.ignored_xyxy, one.bbox_xyxy[small]]) for one, small in zip(shown, tiny, strict=True)]
        )
        return DetectionBatch(
            torch.from_numpy(np.stack([one.pixels for one in shown])),
            truth,
            present,
            ignored,
            ignored_present,
            torch.tensor([not one.complete for one in shown]),
            torch.tensor(index),
        )


def _padded(boxes: Sequence[FloatArray]) -> tuple[Tensor, Tensor]:
    """(n, most, 4) and which are there, (n, most)."""
    most = max(map(len, boxes), default=0)
    padded = np.zeros((len(boxes), most, 4), np.float32)
    there = np.zeros((len(boxes), most), bool)
    for row, found in enumerate(boxes):
        padded[row, : len(found)] = found
        there[row, : len(found)] = True
    return torch.from_numpy(padded), torch.from_numpy(there)
