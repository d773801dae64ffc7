"""EfficientNet-Lite (Tan & Le 2019, arXiv:1905.11946; its Lite variants of 2020).

Lite is the paper's network without squeeze-and-excitation and with ReLU6 instead of swish, so that
it stays exact where arithmetic is coarse; the first layer, the last and the stages beside them are
not scaled. The paper's stochastic depth is left out.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from morphoscope.networks.layers import activated, classifier, initialise, is_fine, scaled

__all__ = ["EfficientNetLite"]

# Table 1 of the paper: kernel, stride, expansion, channels, blocks of its stages 2 to 8.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
EPSILON = 1e-3


class Convolution(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow's "same" does.

    With a stride of 2 and an even side that is one pixel less before than after; weights that
    learnt so see a shifted image under any other padding. The sides are numbers to the exporter.

    Depthwise, it learns in float32 on a CPU also where the rest is in bfloat16: the gradients of
    large kernels and of strides take 3 to 40 times as long in bfloat16 (torch 2.13, oneDNN), and a
    step of Lite0 is 1.7 times as fast so (144 pixels, one thread, AVX-512 and AMX).
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        inside = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, inside, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            rows, columns = (same_padding(side, kernel, stride) for side in x.shape[2:])
            x = pad(x, (*columns, *rows))
        learns = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        if learns and self.groups > 1 and torch.is_autocast_enabled("cpu") and x.is_cpu:
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels to add before and after, so that ceil(side / stride) come out."""
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class Block(nn.Module):
    """Mobile inverted bottleneck (Sandler et al. 2018, arXiv:1801.04381, figure 3b).

    A 1×1 convolution expands, a depthwise one filters, a 1×1 one projects, linearly; shapes that
    agree are joined by a shortcut.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, activation: str
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.expand = nn.Sequential()
        if expansion > 1:
            self.expand = unit(inputs, hidden, 1, activation=activation)
        self.depthwise = unit(hidden, hidden, kernel, stride, hidden, activation=activation)
        self.project = nn.Sequential(
            Convolution(hidden, outputs, 1), nn.BatchNorm2d(outputs, EPSILON)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return out + x if self.shortcut else out


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite: ``features`` gives the last map, ``head`` the logits.

    Parameters
    ----------
    widen, deepen
        Factors on the channels and blocks of Lite0 (Lite1: 1, 1.1; Lite2: 1.1, 1.2).
    classes, channels
        Number of classes and of image channels.
    width
        A further factor on all channels.
    dropout
        Dropout before the last layer; the paper has 0.2 (Lite1 and Lite2: 0.3).
    size
        Side of the images (pixels), which decides how many strides become 1 (`finer`).
    activation, stem
        Settings ``train.activation`` (`paper`: ReLU6) and ``train.stem``.
    """

    def __init__(
        self,
        widen: float,
        deepen: float,
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
        strides = [2, *(stride for _, stride, *_ in STAGES)]
        for index in (0, 2)[: finer(size, stem)]:
            strides[index] = 1
        inputs, last = scaled(32, width), scaled(1280, width)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = unit(channels, inputs, 3, strides[0], activation=activation)
        for number, (kernel, _, expansion, paper, blocks) in enumerate(STAGES, 1):
            outputs = scaled(rounded(paper * widen), width)
            stage = nn.Sequential()
            for index in range(blocks if number in (1, 7) else math.ceil(blocks * deepen)):
                stride = strides[number] if index == 0 else 1
                stage.append(Block(inputs, outputs, kernel, stride, expansion, activation))
                inputs = outputs
            layers[f"stage{number}"] = stage
        layers["top"] = unit(inputs, last, 1, activation=activation)
        self.features = nn.Sequential(layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), classifier(last, classes, dropout)
        )
        initialise(self, activation)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


def finer(size: int, stem: str) -> int:
    """How many of the first two strides of 2, in the first layer and in stage 2, become 1.

    Up to 48 pixels both, up to 96 pixels, or with the stem ``small``, the first.
    """
    return (2 if size <= 48 else 1) if is_fine(stem, size, upto=96) else 0


def rounded(channels: float) -> int:
    """Channels to a multiple of eight, the nearest, but not below 90 per cent."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def unit(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, activation: str
) -> nn.Sequential:
    return nn.Sequential(
        Convolution(inputs, outputs, kernel, stride, groups),
        nn.BatchNorm2d(outputs, EPSILON),
        activated(activation, nn.ReLU6),
    )
