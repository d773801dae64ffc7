"""Answers about discs of known inclination, their errors, and how far these would move by chance.

All scores of one report come from the same bootstrap samples, so that differences and ratios of
two scores on the same galaxies are paired. A sample is kept as how often it holds each galaxy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.assess import Resampling
from morphoscope.evaluate.binomial import exact_interval
from morphoscope.evaluate.bootstrap import Interval, exact_bounds, interval

__all__ = ["Draws", "Measured", "compare", "counted", "draw", "score_errors", "score_measured"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scores = dict[str, Any]
BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Measured:
    """Answers about discs of known inclination, all in deg and of shape ``(n,)``."""

    truth: Floats
    value: Floats
    low: Floats
    high: Floats
    low_90: Floats
    high_90: Floats

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, chosen: Mask) -> Measured:
        """Some of the galaxies."""
        return Measured(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def held_68(self) -> Mask:
        """Whether the 68 % interval holds the truth."""
        return np.asarray((self.low <= self.truth) & (self.truth <= self.high))

    @property
    def held_90(self) -> Mask:
        """Whether the 90 % interval holds the truth."""
        return np.asarray((self.low_90 <= self.truth) & (self.truth <= self.high_90))


@dataclass(frozen=True)
class Draws:
    """Bootstrap samples.

    Attributes
    ----------
    times
        How often each sample holds each galaxy, shape ``(samples, n)``.
    confidence
        Of the intervals.
    """

    times: NDArray[np.uint8]
    confidence: float

    def take(self, chosen: Mask) -> Draws:
        """Same samples of some of the galaxies."""
        return Draws(self.times[:, chosen], self.confidence)

    def means(self, values: Floats) -> Floats:
        """Mean in each sample, shape ``(samples, k)`` of values ``(n, k)``; NaN of no galaxy."""
        parts = []
        for times in self.blocks():
            weights = times.astype(np.float64)
            total = weights.sum(1, keepdims=True)
            parts.append(np.where(total > 0, weights @ values / np.maximum(total, 1), np.nan))
        return np.concatenate(parts)

    def medians(self, values: Floats) -> Floats:
        """Median in each sample, shape ``(samples,)``; the lower of the two middle ones."""
        order = np.argsort(values, kind="stable")
        ranked, parts = values[order], []
        for times in self.blocks():
            below = np.cumsum(times[:, order], axis=1, dtype=np.int64)
            total = below[:, -1:]
            middle = np.argmax(below * 2 >= np.maximum(total, 1), axis=1)
            parts.append(np.where(total[:, 0] > 0, ranked[middle], np.nan))
        return np.concatenate(parts)

    def between(self, value: float, replicates: Floats) -> Scores:
        """A score with its percentile interval and n."""
        n = self.times.shape[1]
        return interval(value, replicates, n, self.confidence).as_dict()

    def share(self, value: float, replicates: Floats) -> Scores:
        """The same of a share, which resampling cannot move from 0 or 1."""
        n = self.times.shape[1]
        plain = interval(value, replicates, n, self.confidence)
        return exact_bounds(plain, self.confidence).as_dict()

    def blocks(self) -> list[NDArray[np.uint8]]:
        """Samples a part at a time, so that sums over them need little memory."""
        samples, n = self.times.shape
        step = max(1, BLOCK_ELEMENTS // max(1, n))
        return [self.times[first : first + step] for first in range(0, samples, step)]


def draw(n: int, groups: NDArray[Any] | None, resampling: Resampling) -> Draws:
    """Draw the samples: as many galaxies, or whole groups, as there are, with replacement.

    Parameters
    ----------
    n
        Number of galaxies.
    groups
        Group of each galaxy, or ``None``.
    resampling
        Number of samples, confidence and seed.
    """
    rng = resampling.generator(0)
    member = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(member.max()) + 1
    times = np.empty((resampling.samples, n), np.uint8)
    for row in times:
        counts = np.bincount(rng.integers(units, size=units), minlength=units)
        row[:] = np.minimum(counts, 255)[member]
    return Draws(times, resampling.confidence)


def score_errors(truth: Floats, value: Floats, draws: Draws) -> Scores:
    """Root mean square, mean and median absolute error and bias (deg), each with its interval.

    The bias is the mean of answer minus truth.
    """
    error = value - truth
    columns = np.column_stack([error**2, np.abs(error), error])
    point, drawn = columns.mean(0), draws.means(columns)
    size = np.abs(error)
    return {
        "rms": draws.between(float(np.sqrt(point[0])), np.sqrt(drawn[:, 0])),
        "mae": draws.between(float(point[1]), drawn[:, 1]),
        "median": draws.between(_median(size), draws.medians(size)),
        "bias": draws.between(float(point[2]), drawn[:, 2]),
    }


def _median(values: Floats) -> float:
    """The lower of the two middle values, as in the samples."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def score_measured(measured: Measured, draws: Draws) -> Scores:
    """Errors, coverage and mean width (deg) of the intervals, each with its interval and n.

    The wider intervals are left out where there are none.
    """
    found = score_errors(measured.truth, measured.value, draws)
    kinds = {"68": (measured.held_68, measured.high - measured.low)}
    if np.isfinite(measured.low_90).all():
        kinds["90"] = (measured.held_90, measured.high_90 - measured.low_90)
    for name, (held, width) in kinds.items():
        columns = np.column_stack([held.astype(np.float64), width])
        drawn = draws.means(columns)
        found[f"coverage_{name}"] = draws.share(float(held.mean()), drawn[:, 0])
        found[f"width_{name}"] = draws.between(float(width.mean()), drawn[:, 1])
    return found


def compare(truth: Floats, value: Floats, other: Floats, draws: Draws) -> Scores | None:
    """Two ways to an inclination on the galaxies for which both have one.

    Parameters
    ----------
    truth, value, other
        Known inclination, the model's and that of the other way (deg), shape ``(n,)``;
        not-a-number where the other way has no answer.
    draws
        Samples of the same galaxies.

    Returns
    -------
    dict
        ``n``; ``network`` and ``other``: scores of each; ``difference`` (network minus other) and
        ``ratio`` (network over other) of ``mae`` and ``rms``, paired. ``None`` if no galaxy is
        common.
    """
    common = np.isfinite(other)
    if not common.any():
        return None
    truth, value, other, draws = truth[common], value[common], other[common], draws.take(common)
    columns = np.column_stack(
        [np.abs(value - truth), np.abs(other - truth), (value - truth) ** 2, (other - truth) ** 2]
    )
    point, drawn = columns.mean(0), draws.means(columns)
    point[2:], drawn[:, 2:] = np.sqrt(point[2:]), np.sqrt(drawn[:, 2:])
    found: Scores = {
        "n": int(common.sum()),
        "network": score_errors(truth, value, draws),
        "other": score_errors(truth, other, draws),
        "difference": {},
        "ratio": {},
    }
    for name, first in (("mae", 0), ("rms", 2)):
        own, others = drawn[:, first], drawn[:, first + 1]
        found["difference"][name] = draws.between(
            float(point[first] - point[first + 1]), own - others
        )
        if point[first + 1] > 0:
            ratios = np.divide(own, others, out=np.full(len(own), np.nan), where=others > 0)
            found["ratio"][name] = draws.between(float(point[first] / point[first + 1]), ratios)
    return found


def counted(held: Mask, confidence: float) -> Scores:
    """Share that is true, with its exact interval (Clopper & Pearson 1934)."""
    n, count = len(held), int(held.sum())
    low, high = exact_interval(count, n, confidence)
    return Interval(count / n if n else 0.0, low, high, n).as_dict()
