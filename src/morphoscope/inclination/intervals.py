"""Intervals of an inclination that hold the truth as often as they say, at every inclination.

A model gives a value and half-widths below and above it. Their shape is its own knowledge of the
image; how often they hold is checked, and mended, on galaxies it did not learn from. The distance
of the truth from the value, in units of the half-width on its side, is the score

    s = (truth − value) / below   where the truth lies lower, else   (truth − value) / above

that is, the normalised score of conformal prediction (Papadopoulos et al. 2008, Neural Networks
for inductive conformal prediction; Lei et al. 2018, JASA 113, 1094), kept with its sign so that
either side has its own factor (Romano, Patterson & Candès 2019, NeurIPS 32, arXiv:1905.03222,
section 6). One pair of factors holds for all galaxies together, and too often for some and too
seldom for others. So the galaxies are ordered by value, and the factors are found in overlapping
windows of the order (Mondrian prediction: Vovk et al. 2005, chapter 4; localised: Guan 2023,
Biometrika 110, 33) and interpolated between the windows' mean values. Nothing but the value and
the half-widths is needed to apply them.

In a window the factors are minus the quantile of s at (1 − coverage) / 2, and that at
(1 + coverage) / 2, each at (m + 1) times its level among the m scores, which makes a new galaxy of
the window fall inside in `coverage` of the cases. Near 0 and 90° an answer can lie outside these
quantiles: if all truths lie below 89.9, nothing is missed above it. Then the interval ends at the
value, and the other side misses the rest, so that the coverage stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["LARGEST", "apply_intervals", "fit_intervals"]

Floats = NDArray[np.float64]
LARGEST = 90.0
# Wide windows blur the factors near the ends, where they change most; in narrower ones than 60
# galaxies the tails of 16 % hold fewer than 10.
FEWEST = 60
WINDOWS = 25
OVERLAP = 4


def fit_intervals(
    value: ArrayLike,
    below: ArrayLike,
    above: ArrayLike,
    truth: ArrayLike,
    coverages: Sequence[float] = (0.68, 0.90),
) -> dict[str, Any]:
    """Find the factors that make intervals of half-widths.

    Parameters
    ----------
    value
        Answers (deg), shape ``(n,)``.
    below, above
        Half-widths towards lower and higher inclinations (deg, more than 0), shape ``(n,)``.
    truth
        Known inclinations (deg), shape ``(n,)``; galaxies with a not-a-number are left out.
    coverages
        Shares of the intervals that shall hold the truth.

    Returns
    -------
    dict
        JSON values for `apply_intervals`: ``n`` (galaxies used) and for each of ``coverages``
        ``coverage``, ``kind``, ``window`` (galaxies in each) and, one a window, ``value`` (deg),
        ``below`` and ``above`` (factors). Of fewer than 60 galaxies (or than
        2 / (1 − coverage)), the kind is ``one``: one factor for both sides and all values, the
        ⌈(n + 1) × coverage⌉-th of the distances |s|. It is ``None``, and every interval
        0 … 90, where even that would be more than n. Else the kind is ``local``.

    Raises
    ------
    ValueError
        There is no galaxy of known inclination, a half-width is not above 0, or a coverage not
        between 0 and 1.

    Notes
    -----
    The coverage in a third of the range still varies by √(0.22 / n_third) with the galaxies that
    calibrate: 2 % to 95 % needs about 2,100 of them in that third.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> truth = rng.uniform(0, 90, 4000)
    >>> value = np.clip(truth + rng.normal(0, 6, 4000), 0, 90)
    >>> found = fit_intervals(value, np.full(4000, 3.0), np.full(4000, 3.0), truth)
    >>> low, high = apply_intervals(found, [45.0], [3.0], [3.0], 0.68)
    >>> bool(abs(high[0] - low[0] - 12) < 1.5)
    True
    """
    parts = [np.asarray(part, dtype=np.float64) for part in (value, below, above, truth)]
    known = np.isfinite(parts).all(axis=0)
    if not known.any():
        raise ValueError("no galaxy has an answer and a known inclination")
    at, lower, upper, true = (part[known] for part in parts)
    if not (lower > 0).all() or not (upper > 0).all():
        raise ValueError("half-widths must be more than 0")
    if not all(0 < coverage < 1 for coverage in coverages):
        raise ValueError("a coverage must lie between 0 and 1")
    order = np.argsort(at, kind="stable")
    score = ((true - at) / np.where(true < at, lower, upper))[order]
    return {
        "n": len(at),
        "coverages": [_factors(at[order], score, coverage) for coverage in coverages],
    }


def apply_intervals(
    calibration: Mapping[str, Any],
    value: ArrayLike,
    below: ArrayLike,
    above: ArrayLike,
    coverage: float,
) -> tuple[Floats, Floats]:
    """Interval of each answer.

    Parameters
    ----------
    calibration
        What `fit_intervals` returned.
    value
        Answers (deg), shape ``(n,)``; of a not-a-number the interval is not-a-number.
    below, above
        Half-widths (deg), shape ``(n,)``.
    coverage
        One of those that the factors were found for.

    Returns
    -------
    low, high
        Bounds (deg), shape ``(n,)``, with 0 ≤ low ≤ value ≤ high ≤ 90.

    Raises
    ------
    ValueError
        The calibration has no factors of this coverage.

    Examples
    --------
    >>> one = {"coverage": 0.68, "value": [45.0], "below": [1.0], "above": [2.0]}
    >>> [bound.tolist() for bound in apply_intervals({"coverages": [one]}, [80], [4], [6], 0.68)]
    [[76.0], [90.0]]
    """
    found = [one for one in calibration["coverages"] if math.isclose(one["coverage"], coverage)]
    if not found:
        known = ", ".join(f"{one['coverage']:g}" for one in calibration["coverages"])
        raise ValueError(f"there are no factors for a coverage of {coverage:g}, only {known}")
    at = np.asarray(value, dtype=np.float64)
    lower, upper = (_at(found[0], side, at) for side in ("below", "above"))
    inside = np.clip(at, 0, LARGEST)
    low = np.clip(at - lower * np.asarray(below, dtype=np.float64), 0, inside)
    high = np.clip(at + upper * np.asarray(above, dtype=np.float64), inside, LARGEST)
    return low, high


def _at(factors: Mapping[str, Any], side: str, value: Floats) -> Floats:
    """Factor of one side at each value; infinite where there was nothing to find it from."""
    if factors[side][0] is None:
        return np.where(np.isnan(value), np.nan, np.inf)
    return np.asarray(np.interp(value, factors["value"], factors[side]))


def _factors(value: Floats, score: Floats, coverage: float) -> dict[str, Any]:
    """Factors of one coverage, the galaxies being in the order of their values."""
    n = len(value)
    least = max(FEWEST, math.ceil(2 / (1 - coverage)))
    if n < least:
        factor = _one(np.abs(score), coverage)
        found = [(float(value.mean()), factor, factor)]
        return _described("one", coverage, n, found)
    window = max(least, n // WINDOWS)
    count = 1 + math.ceil(OVERLAP * (n - window) / window)
    starts = np.unique(np.rint(np.linspace(0, n - window, count)).astype(np.int64))
    parts = [slice(start, start + window) for start in starts.tolist()]
    found = [(float(value[part].mean()), *_sides(score[part], coverage)) for part in parts]
    return _described("local", coverage, window, found)


def _described(
    kind: str, coverage: float, window: int, found: Sequence[tuple[float, Any, Any]]
) -> dict[str, Any]:
    at, below, above = (list(column) for column in zip(*found, strict=True))
    named = {"value": at, "below": below, "above": above}
    return {"coverage": coverage, "kind": kind, "window": window, **named}


def _one(distance: Floats, coverage: float) -> float | None:
    """Distance that holds a new galaxy at least so often, by ordinary split prediction."""
    rank = math.ceil((len(distance) + 1) * coverage - 1e-9)
    return float(np.sort(distance)[rank - 1]) if rank <= len(distance) else None


def _sides(score: Floats, coverage: float) -> tuple[float, float]:
    """Factors below and above in one window."""
    tail = (1 - coverage) / 2
    lower, higher = float((score < 0).mean()), float((score > 0).mean())
    levels = [tail + max(0.0, tail - higher), 1 - tail - max(0.0, tail - lower)]
    low, high = np.quantile(score, levels, method="weibull")
    return max(0.0, -float(low)), max(0.0, float(high))
