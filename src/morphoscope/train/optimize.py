"""Optimizers, learning-rate schedules and the running average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from morphoscope.recipe import TrainSettings

__all__ = ["learning_rate", "make_optimizer", "update_average"]


def make_optimizer(network: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimizer of the settings.

    Norms and biases, all of one dimension, do not decay. The learning rate of a group is that of
    the schedule times its ``factor``: 1 in the head, ``train.body_rate`` elsewhere. Frozen weights
    are in no group.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            factor = 1.0 if name.startswith("head.") else settings.body_rate
            groups.setdefault((decay, factor), []).append(parameter)
    options = [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (decay, factor), parameters in groups.items()
    ]
    rate = settings.learning_rate
    if settings.optimizer == "adamw":
        return AdamW(options, lr=rate, betas=(settings.momentum, 0.999), fused=True)
    nesterov = settings.momentum > 0
    return SGD(options, lr=rate, momentum=settings.momentum, nesterov=nesterov, fused=True)


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Learning rate of a step, counted from 0 over the whole training.

    A linear warm-up, then a half cosine to zero (Loshchilov & Hutter 2017, arXiv:1608.03983,
    equation 5), a constant, or tenfold drops at half and at three quarters of the steps.

    Examples
    --------
    >>> settings = TrainSettings(learning_rate=1.0, warmup=0.1)
    >>> [round(learning_rate(step, 100, settings), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = round(settings.warmup * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    factor = 1.0
    if settings.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * done))
    elif settings.schedule == "step":
        factor = 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    return settings.learning_rate * factor


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights, and the norms' statistics, towards the network's.

    Early on the decay is smaller, (1 + step) / (10 + step), so that the first weights are soon
    forgotten.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    mine, theirs = average.state_dict(), network.state_dict()
    floats = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], share)
    for name in mine.keys() - set(floats):
        mine[name].copy_(theirs[name])
