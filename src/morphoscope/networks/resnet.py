"""Residual networks (He, Zhang, Ren & Sun 2015, arXiv:1512.03385)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from morphoscope.networks.layers import classifier, initialise, scaled

__all__ = ["BasicBlock", "Bottleneck", "ResNet"]


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


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

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.convolution1 = convolution(inputs, width, 3, stride)
        self.norm1 = nn.BatchNorm2d(width)
        self.convolution2 = convolution(width, width, 3)
        self.last_norm = nn.BatchNorm2d(width)
        self.shortcut = shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm1(self.convolution1(x)))
        out = self.last_norm(self.convolution2(out))
        return torch.relu(out + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions round a shortcut (figure 5, right); the 3×3 takes the stride."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.convolution1 = convolution(inputs, width, 1)
        self.norm1 = nn.BatchNorm2d(width)
        self.convolution2 = convolution(width, width, 3, stride)
        self.norm2 = nn.BatchNorm2d(width)
        self.convolution3 = convolution(width, outputs, 1)
        self.last_norm = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm1(self.convolution1(x)))
        out = torch.relu(self.norm2(self.convolution2(out)))
        out = self.last_norm(self.convolution3(out))
        return torch.relu(out + self.shortcut(x))


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
        Side of the images (pixels), which decides the stem (`stem`).
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
    ) -> None:
        super().__init__()
        inputs = scaled(64, width)
        self.features = nn.Sequential(OrderedDict(stem=stem(channels, inputs, size)))
        for index, depth in enumerate(depths):
            stage = nn.Sequential()
            for number in range(depth):
                stride = 2 if index > 0 and number == 0 else 1
                outputs = scaled(64 * 2**index, width)
                stage.append(block(inputs, outputs, stride))
                inputs = outputs * block.expansion
            self.features.add_module(f"stage{index + 1}", stage)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier(inputs, classes, dropout)
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


def stem(channels: int, outputs: int, size: int) -> nn.Sequential:
    """First layers, by the side of the image, so that stage 1 sees a map of 24 to 56 pixels.

    Above 96 pixels the paper's 7×7 convolution of stride 2 and 3×3 max pool of stride 2, which
    divide the side by four; up to 96 pixels a 3×3 convolution of stride 2 without pool, and up to
    48 of stride 1, as in the paper's networks for CIFAR-10 (section 4.2).
    """
    if size <= 96:
        first = convolution(channels, outputs, 3, 1 if size <= 48 else 2)
        return nn.Sequential(first, nn.BatchNorm2d(outputs), nn.ReLU())
    first = convolution(channels, outputs, 7, 2)
    return nn.Sequential(first, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
