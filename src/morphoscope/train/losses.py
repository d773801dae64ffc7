"""The training losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from morphoscope.networks.heads import ANGLES, SCALE_DEG, Head

__all__ = ["angle_loss", "weighted_cross_entropy"]

QUANTILE = 0.1587  # of a normal distribution at one standard deviation below its mean
BETA = 0.5


def weighted_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor, label_smoothing: float
) -> Tensor:
    """Mean over the batch of the cross entropy times the weight of the image's class.

    Unlike torch's own ``weight`` the mean is not divided by the weights in the batch: with weights
    whose mean over the training images is one, an image counts alike in every batch.

    Parameters
    ----------
    logits
        Logits ``(n, classes)``.
    labels
        Class indices ``(n,)``.
    weights
        Weight of each class ``(classes,)``.
    label_smoothing
        Share of the label spread over all classes.
    """
    losses = cross_entropy(
        logits.float(), labels, reduction="none", label_smoothing=label_smoothing
    )
    return (losses * weights[labels]).mean()


def angle_loss(outputs: Tensor, inclinations: Tensor, head: Head) -> Tensor:
    """Loss of the inclinations, averaged over the galaxies that have one; 0 where none has.

    A ``normal`` head is taught by the likelihood, each galaxy weighted by the root of its predicted
    variance, without which galaxies that are measured badly are hardly learnt from (Seitzer et al.
    2022, arXiv:2203.09168, equation 4, β = 0.5); ``quantiles`` by the pinball loss (Koenker &
    Bassett 1978, Econometrica 46, 33).

    Parameters
    ----------
    outputs
        Outputs of the network ``(n, head.outputs)``.
    inclinations
        True ones (deg) ``(n,)``; not-a-number where there is none.
    head
        What the outputs mean.
    """
    known = inclinations.isfinite()
    if not known.any():
        return outputs.sum() * 0.0
    answers = head.read(outputs[known])[:, -ANGLES:] / SCALE_DEG
    value, below, above = answers.unbind(1)
    error = inclinations[known] / SCALE_DEG - value
    if head.angle == "normal":
        likelihood = 0.5 * (error / below).square() + below.log()
        return (below.detach() ** (2 * BETA) * likelihood).mean()
    low, high = _pinball(error + below, QUANTILE), _pinball(error - above, 1 - QUANTILE)
    return (_pinball(error, 0.5) + low + high).mean()


def _pinball(excess: Tensor, quantile: float) -> Tensor:
    return torch.maximum(quantile * excess, (quantile - 1) * excess)
