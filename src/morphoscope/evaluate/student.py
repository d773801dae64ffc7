"""Student's t distribution, for tests on a handful of trainings."""

from __future__ import annotations

import math

__all__ = ["t_quantile", "t_tail"]

TERMS = 300
TINY = 1e-300


def t_tail(statistic: float, freedom: float) -> float:
    """Probability that a t variable is further from 0 than ``statistic``, on either side.

    Parameters
    ----------
    statistic
        Value of t.
    freedom
        Degrees of freedom, above 0; need not be whole.

    Notes
    -----
    I_x(ν/2, 1/2) with x = ν/(ν + t²): Abramowitz & Stegun (1964), 26.5.27 and 26.7.1.

    Examples
    --------
    >>> round(t_tail(2.776, 4), 3)
    0.05
    """
    return _incomplete_beta(freedom / (freedom + statistic * statistic), freedom / 2, 0.5)


def t_quantile(confidence: float, freedom: float) -> float:
    """Distance from 0 within which a t variable lies with probability ``confidence``.

    Examples
    --------
    >>> round(t_quantile(0.95, 4), 2)
    2.78
    """
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > 1 - confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, freedom) > 1 - confidence else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x))
    # The fraction ends after few terms only on this side of the mean.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Continued fraction 26.5.8 of Abramowitz & Stegun, by the method of Lentz (1976)."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    total = d
    for m in range(1, TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return total


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
