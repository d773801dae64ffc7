"""Exact tests of two sets of answers to the same images, beside Student's.

They ask whether these very models differ on other galaxies, and know nothing of seeds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.binomial import count_probability

__all__ = ["class_swap", "mcnemar", "sign_flip"]

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


def class_swap(first: Floats, second: Floats, samples: int, rng: np.random.Generator) -> float:
    """P-value of a difference in the F1 of one class if two models' answers could be exchanged.

    Parameters
    ----------
    first, second
        Right answers, answers and images of the class, of each image or group and each training,
        shape ``(seeds, units, 3)``; F1 is 2 right / (answers + images).
    samples
        Number of random exchanges; the least p-value is 1 / (samples + 1).
    rng
        Where the exchanges come from.

    Notes
    -----
    Fisher's randomisation test: for each image the answers of both models change places or stay.
    Where one model finds all three images of a class and the other none, p is 1/4.

    Examples
    --------
    >>> found, missed = np.array([[[1, 1, 1]] * 3]), np.array([[[0, 0, 1]] * 3])
    >>> class_swap(found, missed, 1000, np.random.default_rng(1)) > 0.2
    True
    """
    moves = (first - second).astype(np.float64)
    moves = moves[:, (moves != 0).any((0, 2))]
    totals = [one.sum(1).astype(np.float64) for one in (first, second)]
    least = abs(_mean_f1(totals[0]) - _mean_f1(totals[1])) - LEAST
    block = max(1, BLOCK_ELEMENTS // max(1, moves.shape[1]))
    reached = 0
    for begin in range(0, samples, block):
        shape = (min(block, samples - begin), moves.shape[1])
        swapped = rng.integers(0, 2, shape, dtype=np.int8).astype(np.float64)
        moved = np.einsum("bu,sum->bsm", swapped, moves, optimize=True)
        gains = _mean_f1(totals[0] - moved) - _mean_f1(totals[1] + moved)
        reached += int((np.abs(gains) >= least).sum())
    return (reached + 1) / (samples + 1)


def _mean_f1(counts: Floats) -> Floats:
    """F1, mean over the trainings, of counts ``(…, seeds, 3)``."""
    both = counts[..., 1] + counts[..., 2]
    return np.asarray((2 * counts[..., 0] / np.maximum(both, 1)).mean(-1))
