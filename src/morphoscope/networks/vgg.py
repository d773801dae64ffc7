"""VGG with 16 weight layers (Simonyan & Zisserman 2015, arXiv:1409.1556, configuration D)."""

from __future__ import annotations

from torch import Tensor, nn

from morphoscope.networks.layers import activated, classifier, initialise, is_fine, scaled

__all__ = ["VGG"]

# Table 1: channels and number of 3×3 convolutions before each of the five pools.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG(nn.Module):
    """VGG-16: ``features`` gives the last map, ``head`` the logits.

    Parameters
    ----------
    norm
        A batch norm after every convolution (Ioffe & Szegedy 2015, arXiv:1502.03167), which the
        paper has not; with it the network learns from scratch at ordinary rates.
    classes, channels
        Number of classes and of image channels.
    width
        Factor on the paper's channels and hidden units.
    dropout
        Dropout after both hidden layers; the paper has 0.5.
    size
        Side of the images (pixels). The last map is pooled to 7×7 or, where it is smaller, taken
        as it is.
    activation
        ``paper`` is the rectified unit.
    stem
        The paper's, or with ``small`` without its first pool, so that the last map has twice the
        side; ``auto``: without it up to 48 pixels.
    """

    def __init__(
        self,
        norm: bool,
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
        fine = is_fine(stem, size, upto=48)
        self.features = nn.Sequential()
        inputs = channels
        for number, (paper, convolutions) in enumerate(BLOCKS):
            outputs = scaled(paper, width)
            for _ in range(convolutions):
                self.features.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm))
                if norm:
                    self.features.append(nn.BatchNorm2d(outputs))
                self.features.append(activated(activation))
                inputs = outputs
            if number > 0 or not fine:
                self.features.append(nn.MaxPool2d(2))
        side = min(7, size // (16 if fine else 32))
        hidden = scaled(4096, width)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(side),
            nn.Flatten(),
            nn.Linear(inputs * side * side, hidden),
            activated(activation),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            activated(activation),
            classifier(hidden, classes, dropout),
        )
        initialise(self, activation)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits
