"""How many labels tell a score to a stated precision."""

from __future__ import annotations

import math
from statistics import NormalDist

from morphoscope.evaluate.binomial import exact_interval

__all__ = ["labels_for_mean", "labels_for_share", "rounded"]

# Nobody labels more to know a share.
MOST = 1_000_000


def labels_for_share(share: float, precision: float, confidence: float = 0.95) -> int:
    """Number of labels at which the exact interval of a share is so narrow.

    Parameters
    ----------
    share
        What the share will be, about: its interval is widest at 0.5.
    precision
        Half-width of the interval, at most.
    confidence
        Of the interval.

    Notes
    -----
    Clopper & Pearson (1934); the bisection begins at the normal approximation p (1 − p) (z / d)².

    Examples
    --------
    >>> labels_for_share(0.5, 0.1)
    102
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    high = 2 * math.ceil(share * (1 - share) * (z / precision) ** 2) + math.ceil(4 / precision)
    if high > MOST:
        return MOST
    low = 1
    while low < high:
        middle = (low + high) // 2
        if _half_width(share, middle, confidence) <= precision:
            high = middle
        else:
            low = middle + 1
    return low


def labels_for_mean(spread: float, precision: float, confidence: float = 0.95) -> int:
    """Number of labels at which the interval of a mean of values of this spread is so narrow.

    Examples
    --------
    >>> labels_for_mean(5.0, 1.0)
    97
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return min(MOST, max(2, math.ceil((z * spread / precision) ** 2)))


def rounded(number: int) -> int:
    """Round up to two digits, as of an estimate.

    Examples
    --------
    >>> [rounded(number) for number in (7, 97, 1086)]
    [7, 97, 1100]
    """
    step: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step


def _half_width(share: float, n: int, confidence: float) -> float:
    low, high = exact_interval(round(share * n), n, confidence)
    return (high - low) / 2
