"""Exact intervals of counted shares, from sums of binomial probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["count_probability", "coverage_range", "exact_interval"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
HALVINGS = 50


def exact_interval(found: int, n: int, confidence: float) -> tuple[float, float]:
    """Interval of a share by Clopper & Pearson (1934): it holds the true share often enough.

    Parameters
    ----------
    found, n
        So many of so many; of none nothing is known, and the interval is 0 to 1.
    confidence
        Least share of such intervals that hold the true share.

    Examples
    --------
    >>> [round(bound, 3) for bound in exact_interval(9, 10, 0.95)]
    [0.555, 0.997]
    """
    tail = (1 - confidence) / 2
    few, many = np.arange(found + 1), np.arange(found, n + 1)
    low = _root(lambda p: count_probability(many, n, p) - tail) if found else 0.0
    high = _root(lambda p: tail - count_probability(few, n, p)) if found < n else 1.0
    return low, high


def coverage_range(rank: int, n_calibration: int, n: int, confidence: float) -> tuple[float, float]:
    """Range, by chance alone, of the share of ``n`` new sets that hold the truth.

    The threshold is the ``rank``-th of the ordered scores of calibration. For exchangeable images
    without ties, the number of new sets that hold the truth is beta-binomial with parameters
    ``rank`` and ``n_calibration + 1 − rank`` (Angelopoulos & Bates 2021, arXiv:2107.07511,
    section 3.2).

    Parameters
    ----------
    rank, n_calibration
        A rank beyond the scores takes every class: then all sets hold the truth.
    n
        Number of new images, at least one.
    confidence
        Least share of the cases inside.

    Examples
    --------
    >>> coverage_range(91, 100, 1000, 0.95)
    (0.833, 0.953)
    """
    other = n_calibration + 1 - rank
    if other <= 0:
        return 1.0, 1.0
    logs = _log_factorials(n + n_calibration + 1)
    held = np.arange(n + 1)
    below = np.cumsum(
        np.exp(
            _log_choose(logs, n, held)
            + _log_beta(logs, held + rank, n - held + other)
            - _log_beta(logs, np.array(rank), np.array(other))
        )
    )
    tail = (1 - confidence) / 2
    low, high = np.searchsorted(below, [tail, 1 - tail])
    return float(low / n), float(min(high, n) / n)


def _root(rising: Callable[[float], float]) -> float:
    """Share at which a rising function is zero, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def count_probability(counts: Integers, n: int, share: float) -> float:
    """Probability of any of these counts, of ``n`` in all, where each has this share."""
    logs = _log_choose(_log_factorials(n), n, counts)
    return float(np.exp(logs + counts * np.log(share) + (n - counts) * np.log1p(-share)).sum())


def _log_factorials(largest: int) -> Floats:
    """Logarithms of 0! … ``largest``!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])


def _log_choose(logs: Floats, n: int, counts: Integers) -> Floats:
    return np.asarray(logs[n] - logs[counts] - logs[n - counts])


def _log_beta(logs: Floats, a: Integers, b: Integers) -> Floats:
    """Logarithm of the beta function of whole numbers of one and more."""
    return np.asarray(logs[a - 1] + logs[b - 1] - logs[a + b - 1])
