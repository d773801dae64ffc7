"""Networks, each from its paper, and the model that answers with them.

Every network has ``features``, which gives the last map ``(n, channel, y, x)``, and ``head``,
which turns it into logits ``(n, classes)``.
"""

from morphoscope.networks.cost import NetworkCost, network_cost
from morphoscope.networks.equivariant import plain
from morphoscope.networks.model import Model, load_model, save_model
from morphoscope.networks.registry import NETWORKS, Network, build

__all__ = [
    "NETWORKS",
    "Model",
    "Network",
    "NetworkCost",
    "build",
    "load_model",
    "network_cost",
    "plain",
    "save_model",
]
