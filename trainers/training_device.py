"""Where a training runs, and in which precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainers.errors import TrainersError


@dataclass(frozen=True)
class TrainingDevice:
    """As Lightning has it. devices: which of that kind, or how many."""

    accelerator: str
    devices: list[int] | int = 1

    @classmethod
    def named(cls, device: str) -> TrainingDevice:
        """auto, cpu, cuda or cuda:1. Raises TrainersError for what torch does not see here."""
        kind, _, index = device.partition(":")
        if kind == "auto":
            return cls("cuda" if torch.cuda.is_available() else "cpu")
        if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
            raise TrainersError(f"device: got {device}, expected auto, cpu, cuda, or one GPU of several as cuda:1")
        if kind == "cuda" and not torch.cuda.is_available():
            raise TrainersError(
                f"device: got {device}, but torch {torch.__version__} sees no CUDA device; write cpu or auto"
            )
        return cls(kind, [int(index)] if index and kind == "cuda" else 1)


def uses_bf16(precision: str, device: TrainingDevice) -> bool:
    """Whether "auto" is bf16: on GPUs that have it and CPUs with AMX. AVX-512's bf16 slows depthwise convolutions."""
    if precision != "auto":
        return precision == "bf16"
    if device.accelerator == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()
