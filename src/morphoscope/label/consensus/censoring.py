"""Votes at the ends of the scale, which say "at least" or "at most": Tobin (1958).

Nobody can answer more than 90°, so that of a rater whose noise or scale goes beyond it only the
end is seen. Such a vote is replaced by what is expected beyond the end under the model of the
moment, and its variance is kept (the E-step of Schmee & Hahn 1979, Technometrics 21, 417).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["beyond"]

Floats = NDArray[np.float64]
# Further out the tail's probability is no number of 64 bits any more.
FARTHEST = 25.0
ROOT_2PI = math.sqrt(2 * math.pi)


def beyond(end: Floats, mean: Floats, scatter: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of a normal variable of which is known that it lies above `end`.

    Parameters
    ----------
    end, mean, scatter
        End, and mean and standard deviation of the variable, shape ``(n,)``. For what lies below
        an end turn the signs of `end` and `mean`, and that of the answer.

    Returns
    -------
    mean, variance
        Shape ``(n,)``.

    Notes
    -----
    With z = (end − mean) / scatter and λ = φ(z) / (1 − Φ(z)): mean + scatter λ, and
    scatter² (1 + z λ − λ²). Tobin (1958), Econometrica 26, 24.

    Examples
    --------
    >>> found = beyond(np.array([90.0]), np.array([90.0]), np.array([10.0]))
    >>> [round(float(part[0]), 2) for part in found]
    [97.98, 36.34]
    """
    z = np.minimum((end - mean) / scatter, FARTHEST)
    tail = np.array(list(map(math.erfc, (z / math.sqrt(2)).tolist()))) / 2
    ratio = np.exp(-(z**2) / 2) / ROOT_2PI / tail
    # From the end, not from the mean: of a vote further out than FARTHEST it stays beyond the end.
    return end + scatter * (ratio - z), scatter**2 * np.clip(1 + z * ratio - ratio**2, 0, 1)
