"""Which weights of a network are trained, and that the others stay as they are."""

from __future__ import annotations

from torch import nn

from morphoscope.recipe import TrainSettings

__all__ = ["freeze", "train_mode"]


def freeze(network: nn.Module, settings: TrainSettings, last: tuple[str, ...]) -> None:
    """Freeze what ``train.tuned`` does not name; ``last`` are the parts of the last stage."""
    if settings.tuned == "all":
        return
    kept = last if settings.tuned == "last" else ()
    begins = tuple(f"{part}." for part in kept)
    for name, parameter in network.get_submodule("features").named_parameters():
        if not f"{name}.".startswith(begins):
            parameter.requires_grad_(False)


def train_mode(network: nn.Module) -> None:
    """Set a network to train; what is frozen answers as in use.

    Its norms go on using the mean and spread that its weights learnt with, and its dropout is off:
    else a frozen network would change from batch to batch.
    """
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
