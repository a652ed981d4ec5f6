"""How layers begin, where torch's own way is not the family's."""

from __future__ import annotations

from torch import nn


def initialise_small(layer: nn.Conv2d | nn.ConvTranspose2d, std: float = 0.001) -> None:
    """Weights so small that maps begin near 0, as almost all of their targets are (Xiao et al., 2018, their code)."""
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialise_relu(module: nn.Module) -> None:
    """Convolutions that keep the variance through ReLUs (He et al., 2015), forwards."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
