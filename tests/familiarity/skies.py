"""Drawn galaxies on a noisy sky: a distribution that any number of images can be drawn from."""

from __future__ import annotations

import numpy as np

SIDE = 32


def galaxies(
    n: int, *, seed: int, grey: bool = False, noise: float = 6.0, sky: float = 20.0
) -> np.ndarray:
    """Round exponential galaxies of any brightness, size and colour, ``(n, 3, 32, 32)`` uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    size = rng.uniform(2, 5, (n, 1, 1))
    light = np.exp(-np.hypot(x, y) / size) * rng.uniform(60, 200, (n, 1, 1))
    colour = rng.uniform(0.6, 1.0, (n, 3, 1, 1))
    shape = (n, 3, SIDE, SIDE)
    images = sky + light[:, None] * colour + rng.normal(0, noise, shape)
    if grey:
        images = np.repeat(images.mean(1, keepdims=True), 3, axis=1)
    return np.clip(images, 0, 255).round().astype(np.uint8)
