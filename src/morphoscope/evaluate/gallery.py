"""Which images to show: the surest right, the surest wrong and the least sure answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Galleries", "choose", "one_by_one"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Galleries:
    """Positions among the test rows, best first."""

    surest_right: Integers
    surest_wrong: Integers
    least_sure: Integers


def choose(probabilities: Floats, truth: Integers, n: int) -> Galleries:
    """Choose ``n`` images for each gallery.

    The surest right ones are taken class by class in turn, so that one easy class does not fill
    the gallery; the others are plain rankings.

    Parameters
    ----------
    probabilities
        Shape ``(rows, classes)``.
    truth
        True class, shape ``(rows,)``.
    n
        Images in each gallery.
    """
    top, answer = probabilities.max(1), probabilities.argmax(1)
    right = answer == truth
    by_sureness = np.argsort(-top, kind="stable")
    surest_right = by_sureness[right[by_sureness]]
    return Galleries(
        surest_right=one_by_one(surest_right, truth)[:n],
        surest_wrong=by_sureness[~right[by_sureness]][:n],
        least_sure=by_sureness[::-1][:n],
    )


def one_by_one(ranked: Integers, classes: Integers) -> Integers:
    """Reorder a ranking so that the classes take turns, each in its own order.

    Parameters
    ----------
    ranked
        Positions, best first.
    classes
        Class of every position.

    Examples
    --------
    >>> one_by_one(np.array([0, 1, 2, 3]), np.array([0, 0, 0, 1])).tolist()
    [0, 3, 1, 2]
    """
    own = classes[ranked]
    turn = np.zeros(len(ranked), dtype=np.int64)
    for name in np.unique(own):
        turn[own == name] = np.arange((own == name).sum())
    return ranked[np.lexsort((own, turn))]
