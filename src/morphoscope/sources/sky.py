"""One plane of light from an image: bands together, sky taken away, holes told and closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Frame", "open_frame"]

# Each process measures on one core; threads of OpenCV would take the others from its neighbours.
cv2.setNumThreads(1)

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
# Share of normal values that lie below the mean by more than their standard deviation.
ONE_SIGMA = 0.1587
# Share of each side that counts as the frame's rim, where the sky is looked for.
RIM = 1 / 12
# Eight-bit skies may be without any noise, and so may drawn ones; the latter as share of the range.
LEAST_LEVELS = 0.5
LEAST_SHARE = 1e-4
SMOOTHING = 1.5
# Holes are closed from what lies within about three of these (pixels).
REACH = 2.0
CLIPPINGS = 4
CLIP = 3.0
STRIDE = 17
# Sums over an image of smaller values still fit into float32.
LARGEST_FLUX = 1e30


@dataclass(frozen=True)
class Frame:
    """An image as one plane.

    Attributes
    ----------
    light
        Above the sky, shape ``(ny, nx)``; holes closed from around, or 0 in their depth.
    smooth
        The same smoothed, in which sources are looked for.
    holes
        Pixels that were masked or not-a-number.
    noise, spread
        Standard deviation of the sky's pixels, in `light` and in `smooth`. Compressed and resized
        skies are blotchy: smoothing takes less from their spread than from that of pure noise.
    """

    light: Floats
    smooth: Floats
    holes: Mask
    noise: float
    spread: float


def open_frame(pixels: NDArray[Any], mask: Mask | None = None) -> Frame | None:
    """Bring an image to one plane above the sky; None where no pixel is usable.

    Parameters
    ----------
    pixels
        Shape ``(ny, nx)`` or ``(ny, nx, channel)``; not-a-number, infinite and absurdly large
        pixels are holes.
    mask
        True = ignore, shape ``(ny, nx)``.
    """
    grey, holes = _grey(pixels)
    if mask is not None:
        holes = holes | mask
    if holes.all():
        return None
    # Floats of any unit: the sky goes before the sums, so that they lose no digits.
    light = (grey - np.median(grey[~holes][::STRIDE])).astype(np.float32)
    light[holes] = 0
    rim = _rim(light.shape) & ~holes
    rim = rim if rim.any() else ~holes
    level, noise = _sky_of(light[rim])
    light -= np.float32(level)
    light[holes] = 0
    least = LEAST_SHARE * float(np.ptp(light[~holes]))
    least = max(least, LEAST_LEVELS if pixels.dtype == np.uint8 else 0.0)
    if holes.any():
        light = _closed(light, holes)
    # Calms the noise and hardly widens a galaxy.
    smooth = cv2.GaussianBlur(light, (0, 0), SMOOTHING, borderType=cv2.BORDER_REFLECT)
    spread = _sky_of(smooth[rim])[1]
    return Frame(light, smooth, holes, max(noise, least), max(spread, least))


def _grey(pixels: NDArray[Any]) -> tuple[NDArray[np.float64], Mask]:
    """Mean of the bands that hold anything, and where one of them holds nothing."""
    cube = pixels if pixels.ndim == 3 else pixels[..., None]
    if cube.dtype == np.uint8:
        total = np.zeros(cube.shape[:2])
        for channel in range(cube.shape[2]):
            total += cube[..., channel]
        return total / cube.shape[2], np.zeros(cube.shape[:2], bool)
    finite = np.abs(cube) < LARGEST_FLUX
    used = finite.any((0, 1))
    if not used.any():
        return np.zeros(cube.shape[:2]), np.ones(cube.shape[:2], bool)
    holes = ~finite[..., used].all(2)
    # Where a value is infinite its mean may be no number: those pixels are holes.
    with np.errstate(invalid="ignore"):
        return cube[..., used].mean(2, dtype=np.float64), holes


def _rim(shape: tuple[int, ...]) -> Mask:
    edges = [max(1, round(side * RIM)) for side in shape]
    rim = np.ones(shape, bool)
    rim[edges[0] : -edges[0], edges[1] : -edges[1]] = False
    return rim


def _sky_of(values: Floats) -> tuple[float, float]:
    """Level and spread of the sky; sources, which only add, are clipped away.

    The spread is that of the darker half: halos of stars make the brighter one wide.
    """
    ordered = np.sort(values)
    n = len(ordered)
    for _ in range(CLIPPINGS):
        level = float(ordered[(n - 1) // 2] + ordered[n // 2]) / 2
        spread = level - float(ordered[int(ONE_SIGMA * (n - 1))])
        n = int(np.searchsorted(ordered, level + CLIP * spread, side="right"))
    return level, spread


def _closed(light: Floats, holes: Mask) -> Floats:
    """Fill holes with the mean of what is near; what is too deep in them stays at the sky."""
    weight = cv2.GaussianBlur((~holes).astype(np.float32), (0, 0), REACH)
    around = cv2.GaussianBlur(light, (0, 0), REACH)
    fill = np.divide(around, weight, out=np.zeros_like(light), where=weight > 0.05)
    return np.where(holes, fill, light)
