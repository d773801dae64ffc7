"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545), without its stochastic depth.

The smallest size is that of ConvNeXt V2 (Woo et al. 2023, arXiv:2301.00808, table 3) with the
blocks of the first paper.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from morphoscope.networks.layers import activated, classifier, is_fine, scaled

__all__ = ["ConvNeXt"]

# Start of each block's scale (Touvron et al. 2021, arXiv:2103.17239).
LAYER_SCALE = 1e-6


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of each pixel of a map ``(n, channel, y, x)``."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """7×7 in depth, norm, four times as many channels and back, round a shortcut (figure 4)."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            ChannelNorm(channels),
            nn.Conv2d(channels, 4 * channels, 1),
            activated(activation, nn.GELU),
            nn.Conv2d(4 * channels, channels, 1),
        )
        self.scale = nn.Parameter(torch.full((channels,), LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        scaled_residual: Tensor = self.scale[:, None, None] * self.residual(x)
        return x + scaled_residual


class ConvNeXt(nn.Module):
    """A ConvNeXt: ``features`` gives the last map, ``head`` the logits.

    Parameters
    ----------
    first
        The paper's channels in the first of four stages; each has twice those of the one before.
    depths
        Blocks in each stage.
    classes, channels
        Number of classes and of image channels.
    width
        Factor on the paper's channels.
    dropout
        Dropout before the last layer.
    size
        Side of the images (pixels), which decides the first layer unless `stem` does.
    activation
        ``paper`` is GELU.
    stem
        Patches of 4×4 pixels as in the ``paper``, or of 2×2 (``small``); ``auto``: of 2×2 up to
        96 pixels.
    """

    def __init__(
        self,
        first: int,
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
        patch = 2 if is_fine(stem, size, upto=96) else 4
        inputs = scaled(first, width)
        patches = nn.Sequential(nn.Conv2d(channels, inputs, patch, patch), ChannelNorm(inputs))
        self.features = nn.Sequential(OrderedDict(stem=patches))
        for index, depth in enumerate(depths):
            stage = nn.Sequential()
            outputs = scaled(first * 2**index, width)
            if index:
                stage.append(ChannelNorm(inputs))
                stage.append(nn.Conv2d(inputs, outputs, 2, 2))
            stage.extend(Block(outputs, activation) for _ in range(depth))
            self.features.add_module(f"stage{index + 1}", stage)
            inputs = outputs
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            ChannelNorm(inputs),
            nn.Flatten(),
            classifier(inputs, classes, dropout),
        )
        self._initialise()

    def _initialise(self) -> None:
        """Draw weights as in appendix A.1; the last layer, as everywhere, starts near zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=1e-3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits
