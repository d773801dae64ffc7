"""What a network is taught: classes, or classes and the inclinations of the discs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from morphoscope.networks.heads import ANGLES, Head
from morphoscope.prepare import Store
from morphoscope.train.losses import angle_loss, weighted_cross_entropy
from morphoscope.train.scores import accuracy, confusion, macro_f1

__all__ = ["Lesson", "classes_of", "with_classes"]


@dataclass(frozen=True)
class Lesson:
    """The labels of a store and the loss of what is said of them.

    Labels are class indices ``(n,)`` or, with inclinations, pairs of class index and degrees
    ``(n, 2)``, not-a-number where none is known.

    Attributes
    ----------
    head
        What the outputs of the network mean.
    loss_weights
        Weight of each class in the loss ``(classes,)``.
    label_smoothing
        Share of a label spread over all classes.
    angle_weight
        Weight of the inclinations in the loss, relative to the classes.
    """

    head: Head
    loss_weights: Tensor
    label_smoothing: float
    angle_weight: float

    def labels(self, store: Store, rows: NDArray[np.int64]) -> Tensor:
        """Labels of some rows."""
        classes = torch.from_numpy(store.labels[rows])
        if not self.head.angle:
            return classes
        return torch.stack([classes.float(), torch.from_numpy(store.inclinations[rows]).float()], 1)

    def loss(self, outputs: Tensor, labels: Tensor, part: slice) -> Tensor:
        """What a part of a batch adds to its loss; of the whole batch the loss itself.

        ``labels`` are those of the whole batch, of whose means the part has its share.
        """
        logits, own = outputs[:, : self.head.classes], labels[part]
        classes = classes_of(own)
        loss = weighted_cross_entropy(logits, classes, self.loss_weights, self.label_smoothing)
        loss = loss * (len(own) / len(labels))
        if not self.head.angle:
            return loss
        known = labels[:, 1].isfinite()
        share = known[part].sum() / known.sum().clamp(min=1)
        angle = angle_loss(outputs.float(), own[:, 1], self.head)
        return loss + self.angle_weight * share * angle

    def score(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Scores of the validation images, on the CPU: the loss as it is, unweighted by class."""
        logits, classes = outputs[:, : self.head.classes], classes_of(labels)
        counts = confusion(classes.numpy(), logits.argmax(1).numpy(), self.head.classes)
        scores = {
            "validation_loss": float(cross_entropy(logits, classes)),
            "validation_accuracy": accuracy(counts),
            "validation_macro_f1": macro_f1(counts),
        }
        if self.head.angle:
            loss = float(angle_loss(outputs, labels[:, 1], self.head))
            scores["validation_loss"] += self.angle_weight * loss
            error = self.head.read(outputs)[:, -ANGLES].clamp(0, 90) - labels[:, 1]
            scores["validation_mae"] = float(error.abs().nanmean())
        return scores


def classes_of(labels: Tensor) -> Tensor:
    """Class indices ``(n,)`` of labels."""
    return labels if labels.ndim == 1 else labels[:, 0].long()


def with_classes(labels: Tensor, classes: Tensor) -> Tensor:
    """Labels with other class indices."""
    return classes if labels.ndim == 1 else torch.stack([classes.float(), labels[:, 1]], 1)
