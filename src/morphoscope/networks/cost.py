"""What a network costs: parameters and arithmetic, without running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from morphoscope.networks.registry import build

__all__ = ["NetworkCost", "network_cost"]


@dataclass(frozen=True)
class NetworkCost:
    """Parameters of a network and arithmetic of one forward pass of one image.

    Attributes
    ----------
    parameters
        Number of weights that are learnt.
    flops
        Floating-point operations of convolutions and linear layers: two for each multiply-add,
        which is what most papers count and call FLOPs.
    """

    parameters: int
    flops: int

    @property
    def multiply_adds(self) -> int:
        """Half the operations: the number that most papers give."""
        return self.flops // 2


def network_cost(
    name: str, *, classes: int, channels: int, size: int, **settings: Any
) -> NetworkCost:
    """Count the parameters of a network and its operations on one image.

    Parameters
    ----------
    name
        A key of `NETWORKS`.
    classes, channels
        Number of classes and of image channels.
    size
        Side of the images (pixels).
    **settings
        ``width``, ``stem`` and what else `build` takes.

    Returns
    -------
    NetworkCost
        ``parameters``, ``flops`` and ``multiply_adds``. Norms, activations and pools, some percent
        of the time at most, are not counted.

    Raises
    ------
    RecipeError
        There is no such network, or the images are too small for it.

    Examples
    --------
    >>> cost = network_cost("resnet50", classes=1000, channels=3, size=224)
    >>> cost.parameters, round(cost.multiply_adds / 1e9, 2)
    (25557032, 4.09)
    """
    # The meta device has shapes and no numbers, so that nothing is drawn, stored or computed.
    with torch.device("meta"):
        network = build(name, classes=classes, channels=channels, size=size, **settings).eval()
    images = torch.empty(1, channels, size, size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return NetworkCost(sum(p.numel() for p in network.parameters()), counter.get_total_flops())
