"""Random numbers: a seed, an index and a purpose decide every draw."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

__all__ = ["cut_normal", "either", "generator", "log_uniform", "weighted"]


def generator(seed: int, index: int, stream: int) -> np.random.Generator:
    """Give the random numbers of one galaxy; streams are independent of each other."""
    return np.random.default_rng(np.random.SeedSequence([seed, index], spawn_key=(stream,)))


def cut_normal(
    rng: np.random.Generator, mean: float, spread: float, low: float, high: float
) -> float:
    """Draw from a normal distribution cut at both ends."""
    whole = NormalDist(mean, spread)
    below, above = whole.cdf(low), whole.cdf(high)
    return min(max(whole.inv_cdf(rng.uniform(below, above)), low), high)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a positive number whose logarithm is uniform."""
    return low * math.exp(rng.random() * math.log(high / low)) if high > low else low


def either(rng: np.random.Generator) -> int:
    """Draw 1 or −1."""
    return 1 if rng.random() < 0.5 else -1


def weighted(rng: np.random.Generator, chances: dict[int, float]) -> int:
    """Draw a key, as likely as its chance; chances add up to one."""
    left = rng.random()
    for key, chance in chances.items():
        left -= chance
        if left < 0:
            return key
    return next(reversed(chances))
