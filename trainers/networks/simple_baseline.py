"""SimpleBaseline: a backbone, three deconvolutions, nothing else (Xiao et al., 2018)."""

from __future__ import annotations

import torch
from torch import nn

from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.networks.backbones import FeatureMaps, check_multiple
from trainers.networks.initialisation import initialise_small

_STRIDE = 32  # of the backbone's last map; three deconvolutions make 4 of it


class SimpleBaseline(nn.Module):
    """Images (n, 3, h, w) -> maps (n, channels, h / 4, w / 4).

    Section 2 of the paper: 4 x 4 kernels, stride 2, 256 filters, batch normalisation and ReLU, then a 1 x 1
    convolution. The layers behind the backbone bear the names that published weights of the family give them.
    """

    def __init__(
        self,
        channels: int,
        input_size: Size,
        backbone: str = "resnet50",
        deconvolution_filters: int = 256,
    ) -> None:
        super().__init__()
        check_multiple(input_size, _STRIDE, "simple-baseline")
        if deconvolution_filters < 1:
            raise TrainersError(f"deconvolution_filters: got {deconvolution_filters}, expected 1 or more")
        self.backbone = FeatureMaps(backbone, [_STRIDE], input_size)
        layers: list[nn.Module] = []
        before = self.backbone.channels[0]
        for _ in range(3):
            deconvolution = nn.ConvTranspose2d(before, deconvolution_filters, 4, stride=2, padding=1, bias=False)
            initialise_small(deconvolution)
            layers += [deconvolution, nn.BatchNorm2d(deconvolution_filters), nn.ReLU(inplace=True)]
            before = deconvolution_filters
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(deconvolution_filters, channels, 1)
        initialise_small(self.final_layer)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        maps: torch.Tensor = self.final_layer(self.deconv_layers(self.backbone(images)[-1]))
        return maps
