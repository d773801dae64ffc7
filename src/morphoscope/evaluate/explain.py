"""What a network learned: where it looks (Grad-CAM), its first filters, its feature maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["central_share", "feature_maps", "first_filters", "grad_cam", "spatial_layers"]

Floats = NDArray[np.float32]
BATCH = 32


@contextmanager
def _kept(modules: Sequence[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Keep the output of modules while the network runs."""
    outputs: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            outputs.pop(module, None)
            outputs[module] = output

    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def spatial_layers(network: nn.Module, images: Tensor) -> list[nn.Module]:
    """Modules whose output is still a picture, in the order in which they finish.

    Parameters
    ----------
    network
        Takes ``(n, channel, y, x)`` and answers logits ``(n, classes)``.
    images
        What the network takes; one image is enough.

    Returns
    -------
    list of Module
        Those with an output ``(n, features, y, x)``, y and x above 1. The last one is the end of
        the convolutional part.
    """
    inner = [module for module in network.modules() if module is not network]
    with torch.inference_mode(), _kept(inner) as outputs:
        network(images[:1])
    return [m for m, o in outputs.items() if o.ndim == 4 and min(o.shape[2:]) > 1]


def grad_cam(
    network: nn.Module,
    images: Tensor,
    classes: NDArray[np.int64],
    turns: Sequence[int] = range(4),
) -> Floats:
    """Where a network looks when it speaks of a class.

    The features of the last convolutional layer are weighted with the mean gradient of the class's
    logit, summed, and cut at zero. The map is averaged over quarter turns of the image, since the
    sky has no upright direction and the layer is coarse.

    Parameters
    ----------
    network
        Takes ``(n, channel, y, x)`` and answers logits ``(n, classes)``; in evaluation mode.
    images
        What the network takes, normalised, shape ``(n, channel, y, x)`` with y = x.
    classes
        Class to explain for each image, shape ``(n,)``.
    turns
        Quarter turns that the network has seen galaxies in.

    Returns
    -------
    NDArray
        Heat, shape ``(n, ny, nx)`` of that layer, 0 to 1 (its own maximum); all zero where nothing
        speaks for the class.

    Notes
    -----
    Selvaraju et al. (2017), eq. 1 and 2.
    """
    layer = spatial_layers(network, images)[-1]
    parts = []
    for first in range(0, len(images), BATCH):
        batch = images[first : first + BATCH]
        target = torch.as_tensor(classes[first : first + BATCH], device=images.device)
        turned = [
            _heat(network, layer, torch.rot90(batch, turn, (2, 3)), target).rot90(-turn, (1, 2))
            for turn in turns
        ]
        parts.append(torch.stack(turned).mean(0))
    heat = torch.cat(parts)
    heat = heat / heat.amax((1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)
    return np.asarray(heat.cpu().numpy(), dtype=np.float32)


def _heat(network: nn.Module, layer: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    # A clone, for a network that works in place and whose first layer is the one asked for.
    images = images.clone().requires_grad_()
    with torch.enable_grad(), _kept([layer]) as outputs:
        logits = network(images)
        features = outputs[layer]
        chosen = logits.gather(1, target[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, features)
    weights = gradient.mean((2, 3), keepdim=True)
    return torch.relu((weights * features).sum(1)).detach()


def central_share(heat: Floats) -> float:
    """Share of the heat within the central half of the side, a quarter of the area.

    Heat spread evenly gives about 0.25.

    Examples
    --------
    >>> central_share(np.ones((1, 8, 8), dtype=np.float32))
    0.25
    """
    total = float(heat.sum())
    if not total:
        return 0.0
    ny, nx = heat.shape[1:]
    y = np.abs(np.arange(ny) + 0.5 - ny / 2) < ny / 4
    x = np.abs(np.arange(nx) + 0.5 - nx / 2) < nx / 4
    return float(heat[:, y][:, :, x].sum()) / total


def first_filters(network: nn.Module, most: int = 64) -> list[Floats]:
    """Filters of the first convolution as pictures ``(y, x)`` or, with three channels, RGB.

    Each is scaled by its own largest weight, so that 0.5 (grey) is a weight of zero; the strongest
    come first.
    """
    layers = (m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1))
    first = next(layers, None)
    if first is None:
        return []
    weights = first.weight.detach().cpu().float().numpy()
    order = np.argsort(-np.abs(weights).sum((1, 2, 3)), kind="stable")[:most]
    pictures = []
    for weight in weights[order]:
        scaled = 0.5 + 0.5 * weight / max(float(np.abs(weight).max()), 1e-12)
        colour = scaled.transpose(1, 2, 0) if len(scaled) == 3 else scaled.mean(0)
        pictures.append(np.asarray(colour, dtype=np.float32))
    return pictures


def feature_maps(network: nn.Module, image: Tensor, most: int = 8) -> list[list[Floats]]:
    """Maps of an early, a middle and a late layer for one image.

    Parameters
    ----------
    network
        Takes ``(n, channel, y, x)``.
    image
        One image, ``(1, channel, y, x)``.
    most
        Maps of each layer, those that vary most over the image.

    Returns
    -------
    list of lists
        For each layer, maps ``(y, x)`` with values 0 to 1.
    """
    layers = spatial_layers(network, image)
    with torch.inference_mode(), _kept(layers) as outputs:
        network(image)
        found = [outputs[layer][0].float().cpu().numpy() for layer in layers]
    chosen = sorted({0, len(found) // 2, len(found) - 1})
    return [_strongest(found[index], most) for index in chosen]


def _strongest(maps: Floats, most: int) -> list[Floats]:
    order = np.argsort(-maps.var((1, 2)), kind="stable")[:most]
    low = maps[order].min((1, 2), keepdims=True)
    high = maps[order].max((1, 2), keepdims=True)
    return list((maps[order] - low) / np.maximum(high - low, 1e-12))
