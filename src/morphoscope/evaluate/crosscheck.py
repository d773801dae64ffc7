"""Older tests of two sets of answers to the same images, beside the ones that claims rest on.

They ask whether these very models differ on other galaxies, and know nothing of seeds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.binomial import count_probability

__all__ = ["mcnemar", "sign_flip"]

Floats = NDArray[np.float64]
BLOCK_ELEMENTS = 4_000_000
LEAST = 1e-12


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Exact p-value for two models that are right equally often.

    Parameters
    ----------
    first, second
        Whether each answered an image rightly, shape ``(n,)``.

    Notes
    -----
    McNemar (1947), Psychometrika 12, 153, with the binomial distribution; recommended for two
    trained classifiers by Dietterich (1998), Neural Computation 10, 1895. Images count as
    independent.

    Examples
    --------
    >>> round(mcnemar(np.array([True] * 8), np.array([True] + [False] * 7)), 6)
    0.015625
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    n = only_first + only_second
    fewer = np.arange(min(only_first, only_second) + 1)
    return min(1.0, 2 * count_probability(fewer, n, 0.5))


def sign_flip(differences: Floats, samples: int, rng: np.random.Generator) -> float:
    """P-value of a sum of differences when either sign of each was equally likely.

    Parameters
    ----------
    differences
        Of each image, or summed over each group, shape ``(units,)``.
    samples
        Number of random signs; the least p-value is 1 / (samples + 1).
    rng
        Where the signs come from.

    Notes
    -----
    Fisher's randomisation test (Phipson & Smyth 2010, eq. 2, for the random signs).
    """
    moved = differences[differences != 0]
    block = max(1, BLOCK_ELEMENTS // max(1, len(moved)))
    reached, least = 0, abs(float(moved.sum())) - LEAST
    for first in range(0, samples, block):
        shape = (min(block, samples - first), len(moved))
        signs = rng.integers(0, 2, shape, dtype=np.int8)
        sums = 2.0 * (signs @ moved) - moved.sum()
        reached += int((np.abs(sums) >= least).sum())
    return (reached + 1) / (samples + 1)
