"""AlexNet (Krizhevsky, Sutskever & Hinton 2012), as one tower (Krizhevsky 2014, arXiv:1404.5997).

Without local response normalisation and with He's initial weights instead of N(0, 0.01), which
without that normalisation shrink the signal by a factor of a few in every layer.
"""

from __future__ import annotations

from torch import Tensor, nn

from morphoscope.networks.layers import activated, classifier, initialise, is_fine, scaled

__all__ = ["AlexNet"]


class AlexNet(nn.Module):
    """AlexNet: ``features`` gives the last map, ``head`` the logits.

    Parameters
    ----------
    classes, channels
        Number of classes and of image channels.
    width
        Factor on the paper's channels and hidden units.
    dropout
        Dropout before both hidden layers; the paper has 0.5.
    size
        Side of the images (pixels). The last map is pooled to 6×6 or, where it is smaller, taken
        as it is.
    activation
        ``paper`` is the rectified unit.
    stem
        The first stride is 4 (``paper``), or 2 from 64 pixels up and else 1 (``small``);
        ``auto``: as in the paper from 128 pixels up.
    """

    def __init__(
        self,
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
        stride = (2 if size >= 64 else 1) if is_fine(stem, size, upto=127) else 4
        c1, c2, c3, c4 = (scaled(channel, width) for channel in (64, 192, 384, 256))
        hidden = scaled(4096, width)
        self.features = nn.Sequential(
            nn.Conv2d(channels, c1, 11, stride, 2),
            activated(activation),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(c1, c2, 5, padding=2),
            activated(activation),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(c2, c3, 3, padding=1),
            activated(activation),
            nn.Conv2d(c3, c4, 3, padding=1),
            activated(activation),
            nn.Conv2d(c4, c4, 3, padding=1),
            activated(activation),
            nn.MaxPool2d(3, 2),
        )
        side = min(6, last_side(size, stride))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(side),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(c4 * side * side, hidden),
            activated(activation),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            activated(activation),
            classifier(hidden, classes, 0.0),
        )
        initialise(self, activation)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


def last_side(size: int, stride: int) -> int:
    """Side of the last map: the first convolution, then three 3×3 pools of stride 2."""
    side = (size + 4 - 11) // stride + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side
