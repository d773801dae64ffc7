"""Encoders of the library timm (Wightman 2019), an optional extra: ``network = "timm/<name>"``."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from morphoscope.errors import MissingDependencyError, RecipeError
from morphoscope.networks.layers import classifier
from morphoscope.networks.timm_names import Family, Levels

__all__ = ["PREFIX", "TimmEncoder", "timm_family"]

PREFIX = "timm/"
# Names of operators are forgotten with the object that made them.
OPERATORS: list[torch.library.Library] = []


class TimmEncoder(nn.Module):
    """An encoder of timm: ``features`` gives the last map, ``head`` the logits.

    Parameters
    ----------
    name
        Name in timm, as in ``timm.list_models()``.
    classes, channels
        Number of classes and of image channels.
    dropout
        Dropout before the last layer.
    size
        Side of the images (pixels).
    width, activation, stem
        As in timm only.

    Raises
    ------
    MissingDependencyError
        timm is not installed.
    RecipeError
        timm has no such network, or one that gives no map, or a setting is not timm's own.
    """

    def __init__(
        self,
        name: str,
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
        if (width, activation) != (1.0, "paper") or stem == "small":
            raise RecipeError(
                f"train.width is {width:g}, train.activation {activation!r}, train.stem {stem!r}",
                expected=f"1, 'paper' and 'auto' or 'paper' for {PREFIX}{name}",
                do="leave them alone, or take a network without timm/",
            )
        self.features = encoder(name, channels)
        outputs: int = self.features.num_features
        _require_map(self.features, name, (channels, size, size), outputs)
        last = classifier(outputs, classes, dropout)
        nn.init.normal_(last.get_parameter("1.weight"), std=1e-3)
        nn.init.zeros_(last.get_parameter("1.bias"))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


def encoder(name: str, channels: int) -> Any:
    """A network of timm with random weights, without pool and classifier."""
    try:
        return library().create_model(
            name, pretrained=False, num_classes=0, global_pool="", in_chans=channels
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise RecipeError(
            f"timm gives no network {name!r} ({str(error).splitlines()[0]})",
            expected="a convolutional network of timm.list_models()",
            do="set train.network to another one",
        ) from error


def timm_family(name: str) -> Family:
    """How weights of a network of timm are named and used, as timm itself says."""
    with torch.device("meta"):
        network = encoder(name, 3)
    about = network.pretrained_cfg
    heads = about["classifier"]
    names = [name for name, _ in network.named_parameters()]
    levels = list(network.feature_info)
    # What follows the last map but one, as `last` of our own networks.
    before = levels[-2]["module"] if len(levels) > 1 else ""
    border = max((i for i, name in enumerate(names) if name.startswith(f"{before}.")), default=-1)
    return Family(
        str,
        tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads)),
        tuple(names[border + 1 :]),
        _levels(about["mean"]),
        _levels(about["std"]),
    )


def _levels(shares: tuple[float, ...]) -> Levels:
    first, second, third = (255.0 * shares[index % len(shares)] for index in range(3))
    return first, second, third


def _require_map(network: nn.Module, name: str, shape: tuple[int, ...], outputs: int) -> None:
    try:
        with torch.no_grad():
            found = tuple(network.eval()(torch.zeros(1, *shape)).shape)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise RecipeError(
            f"{PREFIX}{name} does not take images of {shape[-1]} pixels "
            f"({str(error).splitlines()[0]})",
            do="prepare images of another size, or set train.network to another one",
        ) from error
    network.train()
    if len(found) != 4 or found[1] != outputs:
        raise RecipeError(
            f"{PREFIX}{name} gives no map of {outputs} channels but {found}",
            expected="a convolutional network",
            do="set train.network to another one",
        )


@cache
def library() -> Any:
    """The module ``timm``.

    It imports torchvision, whose wheels for GPUs cannot be imported beside torch for CPUs until the
    names of two of their operators are known. No network that is made here uses these.
    """
    try:
        return import_module("timm")
    except ImportError as error:
        raise MissingDependencyError(
            f"timm is not installed, or something that it needs ({error})",
            do="pip install 'morphoscope[timm]'",
        ) from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    operators = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        kind = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        operators.define(f"{name}{kind}")  # type: ignore[no-untyped-call]
    OPERATORS.append(operators)
    for name in [name for name in sys.modules if name.split(".")[0] in ("timm", "torchvision")]:
        del sys.modules[name]
    return import_module("timm")
