"""Medians of many small groups at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["medians_of_others", "weighted_medians"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def weighted_medians(values: Floats, weights: Floats, group: Integers, groups: int) -> Floats:
    """Weighted median of each group.

    Each value stands in the middle of its own weight along the ordered weights of its group; the
    median is interpolated at half of them. With equal weights it is the usual median; of two
    values it is their weighted mean.

    Parameters
    ----------
    values, weights
        Weights more than 0, shape ``(n,)``.
    group
        Group of each value, 0 … ``groups`` − 1, shape ``(n,)``.
    groups
        Number of groups.

    Returns
    -------
    numpy.ndarray
        Shape ``(groups,)``; not-a-number for a group without values.

    Notes
    -----
    Edgeworth (1888), Philosophical Magazine 25, 184, for the weights.

    Examples
    --------
    >>> weighted_medians(np.array([1.0, 50, 2]), np.ones(3), np.zeros(3, int), 1).tolist()
    [2.0]
    """
    found = np.full(groups, np.nan)
    if not len(values):
        return found
    order = np.lexsort((values, group))
    x, w, member = values[order], weights[order], group[order]
    first = np.flatnonzero(np.diff(member, prepend=-1))
    total = np.add.reduceat(w, first)
    span = np.diff(np.append(first, len(w)))
    running = np.cumsum(w / np.repeat(total, span))
    start = np.concatenate([[0.0], running])[first]
    place = running - np.repeat(start, span) - w / np.repeat(total, span) / 2
    # The last value whose place is not beyond the half, and the one after it.
    below = first + np.maximum(np.add.reduceat((place <= 0.5).astype(np.int64), first) - 1, 0)
    above = np.minimum(below + 1, first + span - 1)
    width = place[above] - place[below]
    share = np.clip(0.5 - place[below], 0, width) / np.where(width > 0, width, 1)
    found[member[first]] = x[below] + share * (x[above] - x[below])
    return found


def medians_of_others(values: Floats, group: Integers) -> Floats:
    """For each value the median of the others of its group; not-a-number where it is alone.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    group
        Group of each value, whole numbers, shape ``(n,)``.

    Examples
    --------
    >>> medians_of_others(np.array([1.0, 2, 9, 5]), np.array([0, 0, 0, 1])).tolist()
    [5.5, 5.0, 1.5, nan]
    """
    found = np.full(len(values), np.nan)
    if not len(values):
        return found
    order = np.lexsort((values, group))
    x, member = values[order], group[order]
    first = np.flatnonzero(np.diff(member, prepend=member[0] - 1))
    span = np.diff(np.append(first, len(x)))
    start, others = np.repeat(first, span), np.repeat(span, span) - 1
    rank = np.arange(len(x)) - start

    def left(place: Integers) -> Floats:
        """Value at a place among the others."""
        inside = np.clip(place + (place >= rank), 0, others)
        return np.asarray(x[start + inside])

    middle = (left(np.maximum((others - 1) // 2, 0)) + left(others // 2)) / 2
    found[order] = np.where(others > 0, middle, np.nan)
    return found
