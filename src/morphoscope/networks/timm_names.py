"""What timm calls the layers of our networks, and how the weights published there are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

__all__ = ["FAMILIES", "Family", "Levels"]

Levels = tuple[float, ...]


@dataclass(frozen=True)
class Family:
    """Networks of which weights are published.

    Attributes
    ----------
    timm_name
        From the name of a tensor of ``features`` to timm's.
    head
        What the names of the classifier begin with; it is not taken over.
    last
        Parts of ``features`` after the last halving of the map: the last stage.
    mean, std
        Grey levels, 0–255, of the channels that the weights expect.
    """

    timm_name: Callable[[str], str]
    head: str | tuple[str, ...]
    last: tuple[str, ...]
    mean: Levels
    std: Levels


LITE_ENDS = {"stem": ("conv_stem", "bn1"), "top": ("conv_head", "bn2")}
# The first stage does not expand, so that timm counts its layers from the depthwise one.
LITE_FIRST = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
LITE_UNITS = {
    "expand": ("conv_pw", "bn1"),
    "depthwise": ("conv_dw", "bn2"),
    "project": ("conv_pwl", "bn3"),
}


def _lite(name: str) -> str:
    part, index, *rest = name.split(".")
    if part in LITE_ENDS:
        return ".".join((LITE_ENDS[part][int(index)], *rest))
    unit, layer, kind = rest
    stage = int(part.removeprefix("stage"))
    layers = (LITE_FIRST if stage == 1 else LITE_UNITS)[unit]
    return f"blocks.{stage - 1}.{index}.{layers[int(layer)]}.{kind}"


def _resnet(last_norm: str, name: str) -> str:
    part, index, *rest = name.split(".")
    if part == "stem":
        return ".".join((("conv1", "bn1")[int(index)], *rest))
    ours = rest[0]
    if ours == "shortcut":
        layer = f"downsample.{rest[1]}"
    elif ours == "last_norm":
        layer = last_norm
    else:
        layer = ours.replace("convolution", "conv").replace("norm", "bn")
    return f"layer{part.removeprefix('stage')}.{index}.{layer}.{rest[-1]}"


CONVNEXT_LAYERS = {"0": "conv_dw", "1": "norm", "2": "mlp.fc1", "4": "mlp.fc2"}


def _convnext(name: str) -> str:
    part, index, *rest = name.split(".")
    if part == "stem":
        return name
    stage, block = int(part.removeprefix("stage")) - 1, int(index)
    # All stages but the first begin with a norm and a convolution that halves the map.
    if stage and block < 2:
        return f"stages.{stage}.downsample.{block}.{rest[0]}"
    place = f"stages.{stage}.blocks.{block - 2 if stage else block}"
    if rest == ["scale"]:
        return f"{place}.gamma"
    return f"{place}.{CONVNEXT_LAYERS[rest[1]]}.{rest[2]}"


def _densenet(name: str) -> str:
    part, *places, kind = name.split(".")
    if part == "norm":
        return f"features.norm5.{kind}"
    if part == "stem":
        return f"features.{('conv0', 'norm0')[int(places[0])]}.{kind}"
    # Each composite function is a norm, an activation and a convolution.
    layer = "norm" if places[-1] == "0" else "conv"
    if part.startswith("transition"):
        return f"features.{part}.{layer}.{kind}"
    number, half = int(places[0]) + 1, int(places[1]) + 1
    return f"features.dense{part}.denselayer{number}.{layer}{half}.{kind}"


# The mean and spread of ImageNet's colours, and the round numbers that Lite was trained with.
IMAGENET: tuple[Levels, Levels] = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
ROUND: tuple[Levels, Levels] = ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))

LITE = Family(_lite, ("classifier.", "_fc."), ("stage6", "stage7", "top"), *ROUND)
BASIC, DEEP = (
    Family(partial(_resnet, norm), "fc.", ("stage4",), *IMAGENET) for norm in ("bn2", "bn3")
)
CONVNEXT = Family(_convnext, "head.", ("stage4",), *IMAGENET)
DENSENET = Family(_densenet, "classifier.", ("transition3", "block4", "norm"), *IMAGENET)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "efficientnet_lite0": LITE,
        "efficientnet_lite1": LITE,
        "efficientnet_lite2": LITE,
        "resnet18": BASIC,
        "resnet34": BASIC,
        "resnet50": DEEP,
        "resnet101": DEEP,
        "densenet121": DENSENET,
        "densenet169": DENSENET,
        "densenet201": DENSENET,
        "convnext_atto": CONVNEXT,
        "convnext_tiny": CONVNEXT,
    }
)
