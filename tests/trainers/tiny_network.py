"""A network of a user's own: small enough to learn coloured dots in seconds."""

from torch import nn


def make(channels, input_size, width=16):
    """(n, 3, h, w) -> (n, channels, h / 4, w / 4)."""

    def block(before, after, stride):
        return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())

    return nn.Sequential(
        block(3, width, 2),
        block(width, width, 2),
        nn.Dropout(0.05),
        block(width, width, 1),
        nn.Conv2d(width, channels, 1),
    )
