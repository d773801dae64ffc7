"""Residual networks (He, Zhang, Ren & Sun 2015, arXiv:1512.03385)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from morphoscope.networks.layers import (
    activated,
    classifier,
    convolution,
    convolutional_stem,
    initialise,
    scaled,
)

__all__ = ["BasicBlock", "Bottleneck", "ResNet"]


class Projection(nn.Conv2d):
    """A 1×1 convolution which, of few channels, leaves out pixels first: the same, and safe.

    On a CPU, with several threads and an odd batch, the gradient of a 1×1 convolution with a stride
    writes beyond its memory where it has fewer than 16 inputs (torch 2.13, oneDNN).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        self.step = stride if inputs < 16 else 1
        super().__init__(inputs, outputs, 1, stride // self.step, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :, :: self.step, :: self.step])


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity where shapes agree, else a projection (option B of the paper)."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(Projection(inputs, outputs, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions round a shortcut (figure 5, left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, activation: str = "paper") -> None:
        super().__init__()
        self.convolution1 = convolution(inputs, width, 3, stride)
        self.norm1 = nn.BatchNorm2d(width)
        self.convolution2 = convolution(width, width, 3)
        self.last_norm = nn.BatchNorm2d(width)
        self.shortcut = shortcut(inputs, width, stride)
        self.activation = activated(activation)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.norm1(self.convolution1(x)))
        out = self.last_norm(self.convolution2(out))
        result: Tensor = self.activation(out + self.shortcut(x))
        return result


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions round a shortcut (figure 5, right); the 3×3 takes the stride."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, activation: str = "paper") -> None:
        super().__init__()
        outputs = width * self.expansion
        self.convolution1 = convolution(inputs, width, 1)
        self.norm1 = nn.BatchNorm2d(width)
        self.convolution2 = convolution(width, width, 3, stride)
        self.norm2 = nn.BatchNorm2d(width)
        self.convolution3 = convolution(width, outputs, 1)
        self.last_norm = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut(inputs, outputs, stride)
        self.activation = activated(activation)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.norm1(self.convolution1(x)))
        out = self.activation(self.norm2(self.convolution2(out)))
        out = self.last_norm(self.convolution3(out))
        result: Tensor = self.activation(out + self.shortcut(x))
        return result


class ResNet(nn.Module):
    """A residual network: ``features`` gives the last map, ``head`` the logits.

    Parameters
    ----------
    block
        Kind of block.
    depths
        Blocks in each of the four stages.
    classes, channels
        Number of classes and of image channels.
    width
        Factor on the paper's channels (64, 128, 256, 512).
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
        block: type[BasicBlock | Bottleneck],
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
        inputs = scaled(64, width)
        first = convolutional_stem(channels, inputs, size, activation=activation, stem=stem)
        self.features = nn.Sequential(OrderedDict(stem=first))
        for index, depth in enumerate(depths):
            stage = nn.Sequential()
            for number in range(depth):
                stride = 2 if index > 0 and number == 0 else 1
                outputs = scaled(64 * 2**index, width)
                stage.append(block(inputs, outputs, stride, activation))
                inputs = outputs * block.expansion
            self.features.add_module(f"stage{index + 1}", stage)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier(inputs, classes, dropout)
        )
        initialise(self, activation)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits
