"""Bootstrap intervals: how far a score would move with other galaxies from the same sky.

Every score here follows from sums over rows (counts of a confusion matrix, losses, calibration
bins). Resampling then is one matrix product: how often each unit was drawn, times its sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate import metrics

__all__ = [
    "Interval",
    "Sums",
    "error_interval",
    "exact_bounds",
    "interval",
    "resample",
    "row_sums",
    "unit_sums",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A score with its interval and the number of rows behind it."""

    value: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True)
class Sums:
    """Sums over rows, the leading axes being bootstrap samples.

    Attributes
    ----------
    confusion
        Counts ``(..., k, k)``.
    log_loss, brier
        Summed losses ``(...)``.
    bins
        Count, summed confidence and right answers by confidence, ``(..., bins, 3)``.
    first_two
        Count of true classes among the two likeliest ``(...)``.
    """

    confusion: Floats
    log_loss: Floats
    brier: Floats
    bins: Floats
    first_two: Floats

    @classmethod
    def from_flat(cls, flat: Floats, classes: int) -> Sums:
        cells, leading = classes * classes, flat.shape[:-1]
        return cls(
            confusion=flat[..., :cells].reshape(*leading, classes, classes),
            log_loss=flat[..., cells],
            brier=flat[..., cells + 1],
            bins=flat[..., cells + 3 :].reshape(*leading, metrics.BINS, 3),
            first_two=flat[..., cells + 2],
        )

    def scores(self) -> dict[str, Floats]:
        """Compute every score of the whole set, each of shape ``(...)``."""
        n = self.confusion.sum((-2, -1))
        return {
            "accuracy": metrics.accuracy(self.confusion),
            "balanced_accuracy": metrics.balanced_accuracy(self.confusion),
            "macro_f1": metrics.macro_f1(self.confusion),
            "top2_accuracy": self.first_two / n,
            "log_loss": self.log_loss / n,
            "brier": self.brier / n,
            "ece": metrics.expected_calibration_error(self.bins),
        }


def row_sums(probabilities: Floats, truth: Integers) -> Floats:
    """Each row's share in the sums, shape ``(n, k² + 3 + 3 bins)``."""
    n, k = probabilities.shape
    rows, answer = np.arange(n), probabilities.argmax(1)
    confidence = probabilities.max(1)
    flat = np.zeros((n, k * k + 3 + 3 * metrics.BINS))
    flat[rows, truth * k + answer] = 1
    flat[:, k * k] = metrics.log_losses(probabilities, truth)
    flat[:, k * k + 1] = metrics.brier_losses(probabilities, truth)
    place = k * k + 3 + 3 * metrics.calibration_bins(confidence)
    flat[rows, place] = 1
    flat[rows, place + 1] = confidence
    flat[rows, place + 2] = answer == truth
    flat[:, k * k + 2] = metrics.within_first(probabilities, truth, 2)
    return flat


def unit_sums(rows: Floats, groups: NDArray[Any] | None) -> Floats:
    """Sums of each unit that is drawn whole: a group where groups are given, else a row."""
    if groups is None:
        return rows
    unique, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(unique), rows.shape[1]))
    np.add.at(sums, member, rows)
    return sums


def resample(units: Floats, samples: int, rng: np.random.Generator) -> Floats:
    """Sums of bootstrap samples: as many units as there are, drawn with replacement.

    Parameters
    ----------
    units
        Sums of each unit, shape ``(units, m)``.
    samples
        Number of samples.
    rng
        Where the draws come from.

    Returns
    -------
    NDArray
        Shape ``(samples, m)``.

    Notes
    -----
    Efron (1979); units that are groups make it the cluster bootstrap.

    Examples
    --------
    >>> drawn = resample(np.ones((5, 1)), 3, np.random.default_rng(1))
    >>> drawn.ravel().tolist()
    [5.0, 5.0, 5.0]
    """
    n = len(units)
    block = max(1, BLOCK_ELEMENTS // n)
    parts = []
    for first in range(0, samples, block):
        count = min(block, samples - first)
        drawn = rng.integers(n, size=(count, n)) + np.arange(count)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        parts.append(times.astype(np.float64) @ units)
    return np.concatenate(parts)


def interval(value: float, replicates: Floats, n: int, confidence: float) -> Interval:
    """Percentile interval of a score.

    Parameters
    ----------
    value
        Score of the rows themselves.
    replicates
        The score in each bootstrap sample; NaN where it is undefined.
    n
        Rows behind the score.
    confidence
        Share of samples inside.
    """
    usable = replicates[np.isfinite(replicates)]
    if not len(usable):
        return Interval(value, 0.0, 1.0, n)
    tail = (1 - confidence) / 2
    low, high = np.quantile(usable, [tail, 1 - tail])
    return Interval(value, float(low), float(high), n)


def error_interval(
    value: float, replicates: Floats, by_chance: Floats, n: int, confidence: float
) -> Interval:
    """Interval of a calibration error, which chance pushes up and resampling pushes up again.

    It is the basic interval (Davison & Hinkley 1997, eq. 5.6), which turns that bias round, widened
    to hold ``value``, and to 0 where chance alone explains ``value``.

    Parameters
    ----------
    value
        Error of the rows themselves.
    replicates
        The error in each bootstrap sample.
    by_chance
        The error of perfectly calibrated models on such rows.
    n
        Rows behind the error.
    confidence
        Share of samples inside.
    """
    plain = interval(value, replicates, n, confidence)
    explained = value <= np.quantile(by_chance, confidence)
    low = 0.0 if explained else min(value, max(0.0, 2 * value - plain.high))
    return Interval(value, low, max(value, 2 * value - plain.low), n)


def exact_bounds(share: Interval, confidence: float) -> Interval:
    """Widen the interval of a share that is exactly 0 or 1, which resampling cannot.

    The bound is that of Clopper & Pearson (1934): none of ``n`` is compatible with a true share
    up to 1 − (α/2)^(1/n). With ``n`` = 0 nothing is known.

    Examples
    --------
    >>> exact_bounds(Interval(0.0, 0.0, 0.0, 12), 0.95).high > 0.26
    True
    """
    if share.n == 0:
        return Interval(share.value, 0.0, 1.0, 0)
    bound = ((1 - confidence) / 2) ** (1 / share.n)
    if share.value == 0:
        return Interval(0.0, 0.0, max(share.high, 1 - bound), share.n)
    if share.value == 1:
        return Interval(1.0, min(share.low, bound), 1.0, share.n)
    return share
