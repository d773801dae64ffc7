"""The training loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

__all__ = ["weighted_cross_entropy"]


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
