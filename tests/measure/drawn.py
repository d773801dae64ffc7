"""Galaxies of known shape: elliptical profiles, each pixel the mean of 7 × 7 points in it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

POINTS = 7
# Half of an exponential's light lies within 1.678 scale lengths, of a Gaussian's 1.1774 sigma.
HALF_LIGHT = {"exponential": 1.6783, "gaussian": 1.1774}


def draw(
    ratio: float,
    angle: float = 0.0,
    *,
    kind: str = "exponential",
    size: float = 8.0,
    side: int = 160,
    peak: float = 1000.0,
    centre: tuple[float, float] | None = None,
) -> NDArray[np.float64]:
    """Image (side, side) of a galaxy whose major axis is `angle` (deg) anticlockwise from up."""
    y0, x0 = centre or ((side - 1) / 2, (side - 1) / 2)
    place = (np.arange(side * POINTS) + 0.5) / POINTS - 0.5
    up, left = -(place - y0)[:, None], -(place - x0)
    turned = np.radians(angle)
    along = up * np.cos(turned) + left * np.sin(turned)
    across = left * np.cos(turned) - up * np.sin(turned)
    radius = np.hypot(along, across / ratio) / size
    light = np.exp(-radius if kind == "exponential" else -(radius**2) / 2)
    return np.asarray(peak * light.reshape(side, POINTS, side, POINTS).mean((1, 3)))


def blurred(image: NDArray[np.float64], fwhm: float) -> NDArray[np.float64]:
    """Image as seen through a Gaussian point-spread function (pixels)."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), fwhm / 2.3548))


def noisy(image: NDArray[np.float64], sigma: float, seed: int = 0) -> NDArray[np.float64]:
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape)


def off(found: float, angle: float) -> float:
    """Smallest turn (deg) between two directions of an axis."""
    return abs((found - angle + 90) % 180 - 90)
