"""Scores of a classifier, as pure functions of counts and probabilities.

A confusion matrix has the true class in rows and the answer in columns. Every function of a
confusion matrix also takes a stack of them, ``(..., k, k)``, so that a bootstrap costs one call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "ClassScores",
    "accuracy",
    "balanced_accuracy",
    "brier_losses",
    "calibration_bins",
    "class_scores",
    "confusion_matrix",
    "expected_calibration_error",
    "log_losses",
    "macro_f1",
    "within_first",
]

BINS = 15
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class, arrays of shape ``(..., k)``."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Floats


def confusion_matrix(truth: Integers, answer: Integers, classes: int) -> Integers:
    """Count true class (rows) against answer (columns).

    Parameters
    ----------
    truth, answer
        Class of each row, shape ``(n,)``, 0 … ``classes`` − 1.
    classes
        Number of classes, also those that occur nowhere.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.bincount(truth * classes + answer, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def accuracy(confusion: NDArray[np.number]) -> Floats:
    """Share of right answers.

    Examples
    --------
    >>> float(accuracy(np.array([[8, 2], [1, 9]])))
    0.85
    """
    right = np.trace(confusion, axis1=-2, axis2=-1)
    return _ratio(right, confusion.sum((-2, -1)), 0.0)


def balanced_accuracy(confusion: NDArray[np.number]) -> Floats:
    """Mean recall of the classes that occur among the true ones.

    Examples
    --------
    >>> float(balanced_accuracy(np.array([[8, 2], [0, 1]])))
    0.9
    """
    scores = class_scores(confusion)
    return _ratio(scores.recall.sum(-1), (scores.support > 0).sum(-1), 0.0)


def class_scores(confusion: NDArray[np.number], *, undefined: float = 0.0) -> ClassScores:
    """Precision (purity), recall (completeness), F1 and support of each class.

    Parameters
    ----------
    confusion
        Counts, shape ``(..., k, k)``.
    undefined
        Value where a score divides nothing by nothing: a class never answered, or absent.

    Examples
    --------
    >>> class_scores(np.array([[8, 2], [0, 10]])).recall.tolist()
    [0.8, 1.0]
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    answered, support = confusion.sum(-2), confusion.sum(-1)
    return ClassScores(
        precision=_ratio(right, answered, undefined),
        recall=_ratio(right, support, undefined),
        f1=_ratio(2 * right, answered + support, undefined),
        support=support.astype(np.float64),
    )


def macro_f1(confusion: NDArray[np.number]) -> Floats:
    """Mean F1 of the classes that occur among the true ones or the answers.

    Examples
    --------
    >>> float(macro_f1(np.array([[5, 0], [0, 5]])))
    1.0
    """
    scores = class_scores(confusion)
    occurs = confusion.sum(-2) + confusion.sum(-1) > 0
    return _ratio(scores.f1.sum(-1), occurs.sum(-1), 0.0)


def log_losses(probabilities: Floats, truth: Integers) -> Floats:
    """Negative logarithm of the probability of the true class, one value a row.

    Parameters
    ----------
    probabilities
        Shape ``(n, k)``, rows sum to one. Values below 2.2e-16 count as that.
    truth
        True class, shape ``(n,)``.

    Examples
    --------
    >>> log_losses(np.array([[0.5, 0.5]]), np.array([0])).round(4).tolist()
    [0.6931]
    """
    floor = np.finfo(np.float64).eps
    chosen = probabilities[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.clip(chosen, floor, 1 - floor)))


def brier_losses(probabilities: Floats, truth: Integers) -> Floats:
    """Squared distance of the probabilities from the truth, summed over classes, one a row.

    Source: Brier (1950), eq. 2.

    Examples
    --------
    >>> brier_losses(np.array([[0.5, 0.5]]), np.array([0])).tolist()
    [0.5]
    """
    target = np.eye(probabilities.shape[1])[truth]
    return np.asarray(((probabilities - target) ** 2).sum(1))


def within_first(probabilities: Floats, truth: Integers, first: int) -> NDArray[np.bool_]:
    """Whether the true class is among the ``first`` likeliest; of equals, the earlier comes first.

    Examples
    --------
    >>> within_first(np.array([[0.5, 0.3, 0.2]] * 3), np.array([0, 1, 2]), 2).tolist()
    [True, True, False]
    """
    own = probabilities[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    before = (probabilities > own) | ((probabilities == own) & earlier)
    return np.asarray(before.sum(1) < first)


def calibration_bins(confidence: Floats, bins: int = BINS) -> Integers:
    """Bin of each confidence: equal widths over 0–1, each bin closed at its upper edge.

    Examples
    --------
    >>> calibration_bins(np.array([0.05, 0.5, 1.0]), 10).tolist()
    [0, 4, 9]
    """
    edges = np.linspace(0, 1, bins + 1)
    return np.asarray(np.searchsorted(edges[1:-1], confidence), dtype=np.int64)


def expected_calibration_error(bins: Floats) -> Floats:
    """Mean distance of confidence from accuracy over bins, weighted by their counts.

    Parameters
    ----------
    bins
        Shape ``(..., bins, 3)``: in each bin the count, the sum of the confidences and the number
        of right answers.

    Notes
    -----
    Top-label ECE of Guo et al. (2017), eq. 3. With few rows a bin it is biased upwards.

    Examples
    --------
    >>> round(float(expected_calibration_error(np.array([[10, 9.0, 8]]))), 3)
    0.1
    """
    count, confidence, right = np.moveaxis(bins, -1, 0)
    return _ratio(np.abs(confidence - right).sum(-1), count.sum(-1), 0.0)


def _ratio(above: NDArray[np.number], below: NDArray[np.number], undefined: float) -> Floats:
    filled = np.full(np.broadcast(above, below).shape, undefined)
    return np.asarray(np.divide(above, below, out=filled, where=below > 0))
