"""Labels that are likely wrong, from answers of models that did not see them: confident learning.

Source: Northcutt, Jiang & Chuang (2021), Journal of Artificial Intelligence Research 70, 1373
(arXiv:1911.00068).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LabelErrors", "find_label_errors"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LabelErrors:
    """Candidates and what they were found from.

    Attributes
    ----------
    ranked
        Rows of the candidates, the most doubtful label first, shape ``(m,)``.
    suggested
        Class that the model is confident of instead, for every row; −1 where there is none,
        shape ``(n,)``.
    self_confidence
        Probability of the given label, shape ``(n,)``.
    margin
        That probability less the largest of the others, shape ``(n,)``.
    thresholds
        Mean probability of each class among the images that bear its label, shape ``(k,)``.
    joint
        Estimated number of images by given label (rows) and true class (columns), ``(k, k)``.
    """

    ranked: Integers
    suggested: Integers
    self_confidence: Floats
    margin: Floats
    thresholds: Floats
    joint: Floats

    @property
    def expected(self) -> float:
        """Estimated number of wrong labels."""
        return float(self.joint.sum() - np.trace(self.joint))


def find_label_errors(probabilities: Floats, labels: Integers) -> LabelErrors:
    """Find labels that contradict what a model is confident of.

    An image counts as confidently of class j if its probability of j reaches the mean that images
    labelled j have (eq. 2); of several such classes the likeliest is taken (eq. 1). Where that
    class is not the label, the image is a candidate. The smallest margin comes first.

    Parameters
    ----------
    probabilities
        Of a model that did not train on the image, shape ``(n, k)``. A model that did remembers the
        label, and no error is found.
    labels
        Given class, shape ``(n,)``, 0 … ``k`` − 1.

    Returns
    -------
    LabelErrors
        Candidates; a class without images has the threshold infinity and is never suggested.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.95, 0.05], [0.1, 0.9], [0.2, 0.8]])
    >>> find_label_errors(p, np.array([0, 0, 1, 1, 1])).ranked.tolist()
    [2]
    """
    rows, classes = np.arange(len(labels)), probabilities.shape[1]
    given = np.bincount(labels, minlength=classes)
    own = probabilities[rows, labels]
    sums = np.bincount(labels, weights=own, minlength=classes)
    thresholds = np.divide(sums, given, out=np.full(classes, np.inf), where=given > 0)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    likeliest = np.where(confident.max(1) >= 0, confident.argmax(1), -1)
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    margin = own - others.max(1)
    suggested = np.where(likeliest == labels, -1, likeliest)
    candidates = np.flatnonzero(suggested >= 0)
    return LabelErrors(
        ranked=candidates[np.argsort(margin[candidates], kind="stable")],
        suggested=suggested,
        self_confidence=own,
        margin=margin,
        thresholds=thresholds,
        joint=_joint(labels, likeliest, given),
    )


def _joint(labels: Integers, likeliest: Integers, given: Integers) -> Floats:
    """Confident joint, brought to the number of images of each given label (eq. 3)."""
    classes, sure = len(given), likeliest >= 0
    cells = np.bincount(labels[sure] * classes + likeliest[sure], minlength=classes * classes)
    counts = cells.reshape(classes, classes).astype(np.float64)
    # A label of which no image is confident stays where it is.
    counts[np.diag_indices(classes)] += counts.sum(1) == 0
    return np.asarray(counts / counts.sum(1, keepdims=True) * given[:, None])
