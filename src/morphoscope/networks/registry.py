"""The networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from torch import nn

from morphoscope.errors import RecipeError
from morphoscope.networks.alexnet import AlexNet
from morphoscope.networks.convnext import ConvNeXt
from morphoscope.networks.densenet import DenseNet
from morphoscope.networks.efficientnet import EfficientNetLite
from morphoscope.networks.equivariant import EquivariantResNet
from morphoscope.networks.resnet import BasicBlock, Bottleneck, ResNet
from morphoscope.networks.timm_encoder import PREFIX, TimmEncoder
from morphoscope.networks.vgg import VGG
from morphoscope.recipe import TrainSettings

__all__ = ["NETWORKS", "Network", "build", "build_as", "find"]


@dataclass(frozen=True)
class Network:
    """What is known of a network before it is built.

    Attributes
    ----------
    make
        Makes it, from the keywords of `build`.
    source
        Paper and where to read it.
    smallest, smallest_paper
        Side of the smallest images (pixels), of which the last halving still finds two pixels,
        with ``stem`` ``auto`` or ``small``, and with ``paper``.
    mirror_blind
        Whether it answers alike, whatever its weights, to an image and its mirror image.
    """

    make: Callable[..., nn.Module]
    source: str
    smallest: int = 8
    smallest_paper: int = 32
    mirror_blind: bool = False


def _resnet(block: type[BasicBlock | Bottleneck], *depths: int) -> Network:
    return Network(partial(ResNet, block, depths), "He et al. 2015, arXiv:1512.03385")


def _lite(widen: float, deepen: float) -> Network:
    source = "Tan & Le 2019, arXiv:1905.11946; Lite: without squeeze-and-excitation, ReLU6"
    return Network(partial(EfficientNetLite, widen, deepen), source, 32)


def _densenet(*depths: int) -> Network:
    return Network(partial(DenseNet, depths), "Huang et al. 2017, arXiv:1608.06993")


def _vgg(norm: bool, source: str) -> Network:
    return Network(partial(VGG, norm), source, smallest=16)


def _equivariant(order: int, *depths: int) -> Network:
    make = partial(EquivariantResNet, order, depths)
    return Network(make, "Cohen & Welling 2016, arXiv:1602.07576", mirror_blind=order == 8)


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        "alexnet": Network(
            AlexNet, "Krizhevsky et al. 2012; one tower: arXiv:1404.5997", 32, smallest_paper=63
        ),
        "resnet10": _resnet(BasicBlock, 1, 1, 1, 1),
        "resnet18": _resnet(BasicBlock, 2, 2, 2, 2),
        "resnet34": _resnet(BasicBlock, 3, 4, 6, 3),
        "resnet50": _resnet(Bottleneck, 3, 4, 6, 3),
        "resnet101": _resnet(Bottleneck, 3, 4, 23, 3),
        "densenet121": _densenet(6, 12, 24, 16),
        "densenet169": _densenet(6, 12, 32, 32),
        "densenet201": _densenet(6, 12, 48, 32),
        "vgg16": _vgg(False, "Simonyan & Zisserman 2015, arXiv:1409.1556"),
        "vgg16_bn": _vgg(True, "the same with batch norms, arXiv:1502.03167"),
        "convnext_atto": Network(
            partial(ConvNeXt, 40, (2, 2, 6, 2)), "Woo et al. 2023, arXiv:2301.00808", smallest=16
        ),
        "convnext_tiny": Network(
            partial(ConvNeXt, 96, (3, 3, 9, 3)), "Liu et al. 2022, arXiv:2201.03545", smallest=16
        ),
        "c4resnet10": _equivariant(4, 1, 1, 1, 1),
        "c4resnet18": _equivariant(4, 2, 2, 2, 2),
        "d4resnet10": _equivariant(8, 1, 1, 1, 1),
        "d4resnet18": _equivariant(8, 2, 2, 2, 2),
        "efficientnet_lite0": _lite(1.0, 1.0),
        "efficientnet_lite1": _lite(1.0, 1.1),
        "efficientnet_lite2": _lite(1.1, 1.2),
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
    activation: str = "paper",
    stem: str = "auto",
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
        Side of the images (pixels).
    activation
        Activation between the layers: ``paper``, ``relu``, ``leaky_relu``, ``silu`` or ``gelu``.
    stem
        First layers: as in the ``paper``, with finer strides for ``small`` images, or ``auto``, by
        the side of the images.

    Returns
    -------
    nn.Module
        From normalised images ``(n, channel, y, x)`` to logits ``(n, classes)``.

    Raises
    ------
    RecipeError
        There is no such network or activation, or the images are too small for it.

    Examples
    --------
    >>> import torch
    >>> network = build("resnet18", classes=5, channels=3, width=0.5, size=64)
    >>> network(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 5])
    """
    network = find(name)
    smallest = network.smallest_paper if stem == "paper" else network.smallest
    if size < smallest:
        setting = " with train.stem = 'paper'" if stem == "paper" else ""
        raise RecipeError(
            f"prepare.size is {size}",
            expected=f"at least {smallest} for {name}{setting}",
            do="prepare larger images, or set train.network to another network",
        )
    return network.make(
        classes=classes,
        channels=channels,
        width=width,
        dropout=dropout,
        size=size,
        activation=activation,
        stem=stem,
    )


def build_as(settings: TrainSettings, *, classes: int, channels: int, size: int) -> nn.Module:
    """Build the network that a recipe names, for images of this side; see `build`.

    Raises
    ------
    RecipeError
        As `build`; or ``train.shrink`` does not divide the side.
    """
    if size % settings.shrink:
        raise RecipeError(
            f"prepare.size is {size} and train.shrink is {settings.shrink}",
            expected="a side that it divides",
            do="mend one of them",
        )
    try:
        return _built(settings, classes, channels, size // settings.shrink)
    except RecipeError as error:
        if settings.shrink == 1 or "prepare.size" not in error.found:
            raise
        raise RecipeError(
            f"prepare.size is {size} and train.shrink is {settings.shrink}",
            expected=f"{error.expected} after it",
            do="prepare larger images, or lower train.shrink",
        ) from error


def _built(settings: TrainSettings, classes: int, channels: int, size: int) -> nn.Module:
    return build(
        settings.network,
        classes=classes,
        channels=channels,
        width=settings.width,
        dropout=settings.dropout,
        size=size,
        activation=settings.activation,
        stem=settings.stem,
    )


def find(name: str) -> Network:
    """The network of this name, or a `RecipeError` with the nearest name."""
    if name.startswith(PREFIX):
        make = partial(TimmEncoder, name.removeprefix(PREFIX))
        return Network(make, "timm, which names the paper", smallest=32)
    if name not in NETWORKS:
        near = difflib.get_close_matches(name.lower(), NETWORKS, n=1, cutoff=0.4)
        raise RecipeError(
            f"there is no network {name!r}",
            expected=", ".join(NETWORKS),
            do=f"did you mean {near[0]!r}?" if near else "set train.network to one of them",
        )
    return NETWORKS[name]
