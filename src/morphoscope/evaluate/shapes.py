"""Size, brightness, axial ratio, noise and neighbours of galaxies, measured on prepared images.

Meant for relating errors to how galaxies look, not as photometry: composites are stretched, and
pixels are those that the network sees. The sky and its noise are those of the frame's rim, sources
are connected pixels above it, and the galaxy is the source in the middle.
"""

from __future__ import annotations

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["AXIAL_RATIO", "MEASURED", "measure_shapes"]

Floats = NDArray[np.float64]
AXIAL_RATIO = "galaxy: axial ratio"
MEASURED = (
    "galaxy: half-light radius (pixels)",
    "galaxy: light above the sky",
    AXIAL_RATIO,
    "sky: noise (grey levels)",
    "sky: other sources",
)
# Sources are this many times the sky's spread above it, and this many grey levels at least: an
# eight-bit sky may be without any noise.
DEEP, LEAST = 3.0, 4.0
SMOOTHING = 0.8
FEWEST_PIXELS = 5
TO_SIGMA = 1.4826
# Larger steps from pixel to pixel belong to sources; of normal noise 0.3 % are larger.
CLIPPED = 3.0
# Second moments of a pixel itself, which no source can be smaller than.
PIXEL = 1 / 12


def measure_shapes(images: NDArray[np.uint8]) -> pl.DataFrame:
    """Measure the galaxy in the middle of each image, and its surroundings.

    Parameters
    ----------
    images
        Prepared images, shape ``(n, channel, y, x)``.

    Returns
    -------
    polars.DataFrame
        One row an image, columns `MEASURED`: radius that holds half of the galaxy's light; the
        logarithm (base 10) of its light in grey levels; square root of the ratio of the second
        moments; standard deviation of the sky; number of further sources. Not-a-number where
        nothing rises above the sky in the middle.
    """
    values = [_measure(image.mean(0, dtype=np.float32)) for image in images]
    table = np.array(values, dtype=np.float64).reshape(len(images), len(MEASURED))
    return pl.DataFrame({name: table[:, i] for i, name in enumerate(MEASURED)})


def _measure(grey: NDArray[np.float32]) -> tuple[float, ...]:
    sky, noise, spread = _sky(grey)
    light = grey - sky
    smooth = cv2.GaussianBlur(light, (0, 0), SMOOTHING)
    above = (smooth > max(DEEP * spread, LEAST)).astype(np.uint8)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    sources = [i for i in range(1, n) if stats[i, cv2.CC_STAT_AREA] >= FEWEST_PIXELS]
    galaxy = _middle(labels, sources)
    if not galaxy:
        return np.nan, np.nan, np.nan, noise, float(len(sources))
    y, x = np.nonzero(labels == galaxy)
    weight = np.maximum(light[y, x], 0).astype(np.float64)
    radius, ratio = _moments(y, x, weight)
    return radius, float(np.log10(weight.sum())), ratio, noise, float(len(sources) - 1)


def _sky(grey: NDArray[np.float32]) -> tuple[float, float, float]:
    """Level of the frame's rim, its noise from pixel to pixel, and the spread of its levels.

    Compressed and resized skies are blotchy: their levels spread more than neighbours differ.
    """
    edge = max(1, len(grey) // 8)
    strips = (grey[:edge], grey[-edge:], grey[:, :edge].T, grey[:, -edge:].T)
    rim = np.concatenate([strip.ravel() for strip in strips])
    steps = np.concatenate([np.diff(strip, axis=1).ravel() for strip in strips])
    rough = max(TO_SIGMA * float(np.median(np.abs(steps))), 0.5)
    calm = steps[np.abs(steps) < CLIPPED * rough]
    level, noise = float(np.median(rim)), float(np.sqrt(np.mean(calm**2, dtype=np.float64) / 2))
    return level, noise, max(noise, TO_SIGMA * float(np.median(np.abs(rim - level))))


def _middle(labels: NDArray[np.int32], sources: list[int]) -> int:
    """Source with most pixels in the central quarter of the side; 0: none is there."""
    side = len(labels)
    low, high = side * 3 // 8, side - side * 3 // 8
    counts = np.bincount(labels[low:high, low:high].ravel(), minlength=labels.max() + 1)
    best = max(sources, key=lambda source: int(counts[source]), default=0)
    return best if best and counts[best] else 0


def _moments(y: NDArray[np.intp], x: NDArray[np.intp], weight: Floats) -> tuple[float, float]:
    """Half-light radius (pixels) and axial ratio from second moments of the light."""
    share = weight / weight.sum()
    dy, dx = y - share @ y, x - share @ x
    yy, xx, xy = share @ dy**2 + PIXEL, share @ dx**2 + PIXEL, share @ (dx * dy)
    small, large = np.linalg.eigvalsh([[yy, xy], [xy, xx]])
    distance = np.hypot(dy, dx)
    order = np.argsort(distance)
    half = np.searchsorted(np.cumsum(share[order]), 0.5)
    return float(distance[order][half]) + 0.5, float(np.sqrt(max(small, 0) / large))
