"""Densely connected networks (Huang, Liu, van der Maaten & Weinberger 2017, arXiv:1608.06993).

The variant of the paper's table 1, DenseNet-BC: bottlenecks, and transitions that halve the
channels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from morphoscope.networks.layers import (
    activated,
    classifier,
    convolution,
    convolutional_stem,
    initialise,
    scaled,
)

__all__ = ["DenseNet"]

GROWTH, BOTTLENECK = 32, 4


def composite(inputs: int, outputs: int, kernel: int, activation: str) -> nn.Sequential:
    """Norm, activation, convolution: the composite function of section 3."""
    return nn.Sequential(
        nn.BatchNorm2d(inputs), activated(activation), convolution(inputs, outputs, kernel)
    )


class DenseLayer(nn.Sequential):
    """A 1×1 and a 3×3 convolution whose maps are appended to what came in."""

    def __init__(self, inputs: int, growth: int, activation: str) -> None:
        hidden = BOTTLENECK * growth
        super().__init__(
            composite(inputs, hidden, 1, activation), composite(hidden, growth, 3, activation)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self[1](self[0](x))], 1)


class DenseNet(nn.Module):
    """A dense network: ``features`` gives the last map, ``head`` the logits.

    Parameters
    ----------
    depths
        Layers in each of the four dense blocks.
    classes, channels
        Number of classes and of image channels.
    width
        Factor on the paper's growth rate (32) and thereby on all channels.
    dropout
        Dropout before the last layer.
    size
        Side of the images (pixels), which decides the first layers unless `stem` does.
    activation
        Activation between the layers; ``paper`` is the rectified unit.
    stem
        First layers, as in `convolutional_stem`.
    """

    def __init__(
        self,
        depths: Sequence[int],
        *,
        classes: int,
        channels: int,
        width: float = 1.0,
        dropout: float = 0.0,
        size: int = 224,
        activation: str = "paper",
        stem: str = "auto",
    ) -> None:
        super().__init__()
        growth = scaled(GROWTH, width)
        maps = 2 * growth
        first = convolutional_stem(channels, maps, size, activation=activation, stem=stem)
        self.features = nn.Sequential(OrderedDict(stem=first))
        for number, depth in enumerate(depths, 1):
            if number > 1:
                transition = composite(maps, maps // 2, 1, activation)
                self.features.add_module(f"transition{number - 1}", transition)
                transition.append(nn.AvgPool2d(2))
                maps //= 2
            layers = [DenseLayer(maps + i * growth, growth, activation) for i in range(depth)]
            self.features.add_module(f"block{number}", nn.Sequential(*layers))
            maps += depth * growth
        self.features.add_module("norm", nn.BatchNorm2d(maps))
        self.features.add_module("activation", activated(activation))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier(maps, classes, dropout)
        )
        initialise(self, activation)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits
