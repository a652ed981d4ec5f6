"""A narrow feature pyramid: each level of a backbone, with what coarser ones know of it (Lin et al., 2017, FPN)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional


def make_laterals(channels: Iterable[int], width: int) -> nn.ModuleList:
    """What brings each level to `width` channels, in the order of `channels`."""
    return nn.ModuleList(_pointwise(found, width) for found in channels)


def make_smoothers(width: int, levels: int) -> nn.ModuleList:
    """What smooths a level after a coarser one was added: of the second coarsest first."""
    return nn.ModuleList(separable(width) for _ in range(levels - 1))


def top_down(maps: Sequence[torch.Tensor], laterals: nn.ModuleList, smoothers: nn.ModuleList) -> list[torch.Tensor]:
    """A backbone's maps, finest first, each twice as fine as the next -> (n, width, h, w) of the same sizes.

    Each is added to the coarser one above it, and smoothed; the coarsest is its lateral alone, before any activation.
    """
    levels = [lateral(found) for lateral, found in zip(laterals, maps, strict=True)]
    merged = [levels.pop()]
    for smoother in smoothers:
        fine = levels.pop()
        merged.append(smoother(torch.relu(fine + doubled(merged[-1], fine))))
    return merged[::-1]


def doubled(coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    """The coarse map with each cell as 2 x 2, cut to the size of the fine one."""
    height, width = fine.shape[-2:]
    return functional.interpolate(coarse, scale_factor=2.0, mode="nearest")[..., :height, :width]


def separable(width: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 in each channel, then 1 x 1 across them (Howard et al., 2017)."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False),
        nn.BatchNorm2d(width),
        *_pointwise(width, width),
        nn.ReLU(inplace=True),
    )


def _pointwise(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))
