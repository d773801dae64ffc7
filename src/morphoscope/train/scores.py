"""Scores that are watched while training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWER_IS_BETTER", "accuracy", "confusion", "macro_f1"]

# Of the scores that `train.monitor` may name.
LOWER_IS_BETTER = frozenset({"loss", "mae"})


def confusion(
    labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Count answers by true class.

    Parameters
    ----------
    labels, answers
        True and answered class indices ``(n,)``.
    classes
        Number of classes.

    Returns
    -------
    ndarray
        Counts ``(true class, answered class)``.
    """
    cells = np.bincount(labels * classes + answers, minlength=classes * classes)
    return cells.reshape(classes, classes)


def accuracy(counts: NDArray[np.int64]) -> float:
    """Share of right answers in a confusion matrix."""
    return float(np.trace(counts) / counts.sum())


def macro_f1(counts: NDArray[np.int64]) -> float:
    """Unweighted mean of the classes' F1 in a confusion matrix.

    A class that occurs neither in truth nor in answers does not count; one that occurs and is
    never answered rightly counts zero, as in scikit-learn's ``f1_score(average="macro",
    zero_division=0)``.
    """
    right = np.diag(counts)
    occurrences = counts.sum(0) + counts.sum(1)
    present = occurrences > 0
    return float(np.mean(2 * right[present] / occurrences[present]))
