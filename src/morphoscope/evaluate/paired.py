"""Means over trainings and differences between them: how much is luck of images, how much of seeds.

Two networks that answer the same test images differ by what they are, by which galaxies happened
to be in the test split, and by the seed of each training. The mean score over S seeds varies by

    V = V_images + max(0, s² − w²) / S

V_images is the variance of the mean score when test images are drawn anew (bootstrap). s² is the
sample variance of the scores of the seeds. It holds two things: trainings that are truly better or
worse, which no larger test split would even out, and trainings that are right on other images,
which V_images counts already. w², the variance of a training's score about the mean of its seeds
when images are drawn anew, is the latter, and is taken off: it is the interaction of a two-way
analysis of variance, by bootstrap, so that it also serves scores that are no means. The variances
of the two sides of a difference add; where both come from the same trainings, the differences of
the seeds are looked at instead.

A few trainings give s² roughly, so the interval is Student's, with the degrees of freedom of
Satterthwaite (1946) for V_images and s²/S. Resampling three seeds would be too narrow where seeds
matter, and too wide where they do not; `docs/compare.md` has the measured rates of error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from morphoscope.evaluate.bootstrap import Interval
from morphoscope.evaluate.student import t_quantile, t_tail

__all__ = ["Difference", "Trials", "difference", "fold_difference", "holm", "mean_interval"]

Floats = NDArray[np.float64]
# Equal differences of folds scatter by the last bits.
LEAST = 1e-12


@dataclass(frozen=True)
class Trials:
    """One score of several trainings.

    Attributes
    ----------
    values
        Score of each training, shape ``(seeds,)``.
    drawn
        The same in bootstrap samples of the test images, shape ``(seeds, samples)``; the samples
        are those of the trainings that these are compared with.
    """

    values: Floats
    drawn: Floats

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def image_variance(self) -> float:
        """Variance of the mean score, by the test images alone."""
        return float(self.drawn.mean(0).var())

    @property
    def spread(self) -> float:
        """Variance of the scores over the seeds (s²); not known of one."""
        return float(self.values.var(ddof=1)) if self.seeds > 1 else math.nan

    @property
    def interaction(self) -> float:
        """What the spread would be if no training were truly better than another (w²)."""
        if self.seeds < 2:
            return math.nan
        return float((self.drawn - self.drawn.mean(0)).var(axis=1).sum() / (self.seeds - 1))

    @property
    def seed_variance(self) -> float:
        """Variance of the mean score by the seeds, beyond the images; 0 of one training."""
        if self.seeds < 2:
            return 0.0
        return max(0.0, self.spread - self.interaction) / self.seeds

    def __sub__(self, other: Trials) -> Trials:
        return Trials(self.values - other.values, self.drawn - other.drawn)


@dataclass(frozen=True)
class Difference:
    """A difference of two mean scores, its standard error and degrees of freedom."""

    value: float
    error: float
    freedom: float

    @property
    def unknown(self) -> bool:
        """Whether resampling never moved the difference, which tells nothing of its error."""
        return self.error < LEAST and abs(self.value) >= LEAST

    @property
    def p_value(self) -> float:
        """Probability of so great a difference, either way, if there were none."""
        if self.error < LEAST:
            return 1.0
        return t_tail(self.value / self.error, self.freedom)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Interval of the difference; endless where its error is not known."""
        if self.unknown:
            return -math.inf, math.inf
        half = t_quantile(confidence, self.freedom) * self.error
        return self.value - half, self.value + half


def mean_interval(trials: Trials, images: Interval, confidence: float) -> Interval:
    """Interval of a mean score over test images and seeds.

    Parameters
    ----------
    trials
        The trainings.
    images
        Interval of the mean score over test images.
    confidence
        Of both intervals.

    Notes
    -----
    The distances of either bound, by images and by seeds, add in quadrature: the method of
    variance estimates recovery (Zou & Donner 2008, Statistics in Medicine 27, 1693), which keeps
    a lopsided interval lopsided.
    """
    if trials.seeds < 2:
        return images
    half = t_quantile(confidence, trials.seeds - 1) * math.sqrt(trials.seed_variance)
    low = images.value - math.hypot(images.value - images.low, half)
    high = images.value + math.hypot(images.high - images.value, half)
    return Interval(images.value, low, high, images.n)


def difference(first: Trials, second: Trials, *, units: int, shared: bool = False) -> Difference:
    """Difference of the mean scores of two variants on the same test images.

    Parameters
    ----------
    first, second
        The trainings, with the same bootstrap samples of the images.
    units
        Number of test images, or of groups where those are drawn whole.
    shared
        The trainings are the same, one by one, and only answer differently.

    Notes
    -----
    With one training each there is only V_images: the difference is that of two models.

    Examples
    --------
    >>> drawn = np.random.default_rng(1).normal(0, 0.01, (2, 1, 500))
    >>> found = difference(Trials(np.array([0.9]), drawn[0]), Trials(np.array([0.8]), drawn[1]),
    ...                    units=500)
    >>> round(found.value, 3), found.p_value < 0.001
    (0.1, True)
    """
    images = float((first.drawn.mean(0) - second.drawn.mean(0)).var())
    parts = [first - second] if shared else [first, second]
    parts = [part for part in parts if part.seeds > 1]
    # Together, so that one side's spread, small by chance, makes up for the other's.
    beyond = max(0.0, sum((part.spread - part.interaction) / part.seeds for part in parts))
    variance, most = images + beyond, float(max(1, units - 1))
    spreads = [part.spread / part.seeds for part in parts]
    doubt = sum(a**2 / (part.seeds - 1) for a, part in zip(spreads, parts, strict=True))
    freedom = most
    if doubt:
        # What was taken off makes the first smaller than if seeds alone gave the variance.
        by_seeds = sum(spreads) ** 2 / doubt
        freedom = min(most, max(by_seeds, variance**2 / (images**2 / most + doubt)))
    return Difference(first.mean - second.mean, math.sqrt(variance), freedom)


def fold_difference(value: float, by_fold: Floats) -> Difference:
    """Difference of two variants over k folds, of which each was the test split once.

    Parameters
    ----------
    value
        The difference over all galaxies.
    by_fold
        The difference in each fold, over the seeds, shape ``(folds,)``.

    Notes
    -----
    Trainings of different folds share most of their galaxies, so that folds scatter too little:
    the variance of the mean is taken as (1/k + 1/(k − 1)) s² instead of s²/k, with k − 1 degrees of
    freedom (Nadeau & Bengio 2003, Machine Learning 52, 239, eq. 9: test over training share).
    """
    k = len(by_fold)
    variance = (1 / k + 1 / (k - 1)) * float(by_fold.var(ddof=1))
    return Difference(value, math.sqrt(variance), k - 1)


def holm(p_values: list[float]) -> list[float]:
    """P-values corrected for their number, in the same order.

    A claim with a corrected value below α is made in error, be it only one of all, with
    probability α at most (Holm 1979, Scandinavian Journal of Statistics 6, 65).

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    ascending = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(ascending):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
