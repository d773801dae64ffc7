"""What the networks share: widths, activations, the stem, the last layer, the initial weights."""

from __future__ import annotations

import math

from torch import nn

from morphoscope.errors import RecipeError

__all__ = [
    "activated",
    "classifier",
    "convolution",
    "convolutional_stem",
    "initialise",
    "is_fine",
    "scaled",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
# What keeps the spread of a signal from layer to layer: 1/√⟨f(z)²⟩ for z ~ N(0, 1), which is √2
# for rectified units.
GAINS = {
    "paper": math.sqrt(2),
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "silu": 1.676532,
    "gelu": 1.533530,
}


def activated(activation: str, paper: type[nn.Module] = nn.ReLU) -> nn.Module:
    """The activation that ``train.activation`` names; ``paper`` is that of the network's paper."""
    if activation == "paper":
        return paper()
    if activation not in ACTIVATIONS:
        raise RecipeError(
            f"there is no activation {activation!r}", expected=f"paper, {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[activation]()


def scaled(channels: int, width: float) -> int:
    """Channels times width, to the nearest multiple of eight (vector units), at least eight."""
    return max(8, round(channels * width / 8) * 8)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the side, or divides it by the stride; a norm brings the bias."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def is_fine(stem: str, size: int, *, upto: int) -> bool:
    """Whether the first layers take finer strides than the paper's (``train.stem``)."""
    return stem == "small" or (stem == "auto" and size <= upto)


def convolutional_stem(
    channels: int, outputs: int, size: int, *, activation: str = "paper", stem: str = "auto"
) -> nn.Sequential:
    """First layers of residual and dense networks; stage 1 sees a map of 24 to 56 pixels.

    Above 96 pixels the papers' 7×7 convolution of stride 2 and 3×3 max pool of stride 2, which
    divide the side by four; up to 96 pixels a 3×3 convolution of stride 2 without pool, and up to
    48 of stride 1, as in the networks for CIFAR-10 (He et al. 2015, section 4.2).
    """
    if is_fine(stem, size, upto=96):
        first = convolution(channels, outputs, 3, 1 if size <= 48 else 2)
        return nn.Sequential(first, nn.BatchNorm2d(outputs), activated(activation))
    first = convolution(channels, outputs, 7, 2)
    norm = nn.BatchNorm2d(outputs)
    return nn.Sequential(first, norm, activated(activation), nn.MaxPool2d(3, 2, 1))


def classifier(inputs: int, classes: int, dropout: float) -> nn.Sequential:
    """Dropout and the last linear layer."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, classes))


def initialise(network: nn.Module, activation: str = "paper") -> None:
    """Set the initial weights.

    Convolutions and hidden layers: He et al. 2015 (arXiv:1502.01852, equations 10 and 14), for
    rectified units or, with their own gain, for the activation. The last norm of each residual
    starts at zero, so that every block starts as its shortcut (Goyal et al. 2017, arXiv:1706.02677,
    section 5.1). The last layer starts near zero, so that the first loss is log(classes).
    """
    gain = GAINS[activation]
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if linear[-1].weight.is_meta:
        return  # there are no numbers to set, and to go about it takes most of the time of `build`
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=gain / math.sqrt(_fan(module)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, module in network.named_modules():
        if name.endswith("last_norm") and isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
    nn.init.normal_(linear[-1].weight, std=1e-3)


def _fan(module: nn.Conv2d | nn.Linear) -> int:
    """Outputs that an input of a convolution reaches, or inputs of a linear layer."""
    if isinstance(module, nn.Linear):
        return module.in_features
    return module.out_channels // module.groups * math.prod(module.kernel_size)
