"""What the networks share: scaled widths, the last layer, the initial weights."""

from __future__ import annotations

from torch import nn

__all__ = ["classifier", "initialise", "scaled"]


def scaled(channels: int, width: float) -> int:
    """Channels times width, to the nearest multiple of eight (vector units), at least eight."""
    return max(8, round(channels * width / 8) * 8)


def classifier(inputs: int, classes: int, dropout: float) -> nn.Sequential:
    """Dropout and the last linear layer."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, classes))


def initialise(network: nn.Module) -> None:
    """Set the initial weights.

    Convolutions and hidden layers: He et al. 2015 (arXiv:1502.01852, equations 10 and 14), which
    suit rectified units. The last norm of each residual starts at zero, so that every block starts
    as its shortcut (Goyal et al. 2017, arXiv:1706.02677, section 5.1). The last layer starts near
    zero, so that the first loss is log(classes).
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        bias = getattr(module, "bias", None)
        if isinstance(module, nn.Conv2d | nn.Linear) and bias is not None:
            nn.init.zeros_(bias)
    for name, module in network.named_modules():
        if name.endswith("last_norm") and isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
    nn.init.normal_(linear[-1].weight, std=1e-3)
