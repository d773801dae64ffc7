"""The networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from torch import nn

from morphoscope.errors import RecipeError
from morphoscope.networks.alexnet import AlexNet
from morphoscope.networks.resnet import BasicBlock, Bottleneck, ResNet

__all__ = ["NETWORKS", "build"]

NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "alexnet": AlexNet,
        "resnet10": partial(ResNet, BasicBlock, (1, 1, 1, 1)),
        "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2)),
        "resnet34": partial(ResNet, BasicBlock, (3, 4, 6, 3)),
        "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    }
)


def build(
    name: str,
    *,
    classes: int,
    channels: int,
    width: float = 1.0,
    dropout: float = 0.0,
    size: int = 224,
) -> nn.Module:
    """Build a network with its initial weights, drawn from torch's global generator.

    Parameters
    ----------
    name
        A key of `NETWORKS`.
    classes, channels
        Number of classes and of image channels.
    width
        Factor on the paper's channels.
    dropout
        Dropout before the last layer.
    size
        Side of the images (pixels); small images get a finer first layer.

    Returns
    -------
    nn.Module
        From normalised images ``(n, channel, y, x)`` to logits ``(n, classes)``.

    Raises
    ------
    RecipeError
        There is no such network, or it cannot take images so small.

    Examples
    --------
    >>> import torch
    >>> network = build("resnet18", classes=5, channels=3, width=0.5, size=64)
    >>> network(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 5])
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(name.lower(), NETWORKS, n=1, cutoff=0.4)
        raise RecipeError(
            f"there is no network {name!r}",
            expected=", ".join(NETWORKS),
            do=f"did you mean {near[0]!r}?" if near else "set train.network to one of them",
        )
    return NETWORKS[name](
        classes=classes, channels=channels, width=width, dropout=dropout, size=size
    )
