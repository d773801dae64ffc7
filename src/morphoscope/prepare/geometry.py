"""Square, crop and resize: (ny, nx, channel) to (size, size, channel)."""

from __future__ import annotations

import math
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.recipe import PrepareSettings

__all__ = [
    "central_crop",
    "crop_side",
    "cropped",
    "named_crop",
    "pad_square",
    "resize",
    "side_needed",
]

Pixels = NDArray[Any]

# Share of the wanted pixels that a JPEG decoded at a reduced scale must keep. Common cutouts miss
# the whole by a pixel (0.6 of 423 at half scale is 127 of 128), and the next scale costs twice.
ENOUGH = 0.95
# OpenCV averages over areas in no more channels than this at once.
MOST_CHANNELS = 4
# Where a reduction by a whole factor is within a fifth of the one wanted, see `resize`.
NEAR_WHOLE_FACTOR = 0.8


def pad_square(pixels: Pixels, pad: Literal["zero", "edge"]) -> Pixels:
    """Make an image square with the galaxy kept in the middle: black, or the edge repeated."""
    ny, nx = pixels.shape[:2]
    if ny == nx:
        return pixels
    side = max(ny, nx)
    above, left = (side - ny) // 2, (side - nx) // 2
    widths = ((above, side - ny - above), (left, side - nx - left), (0, 0))
    return np.pad(pixels, widths, mode="constant" if pad == "zero" else "edge")


def crop_side(side: int, fraction: float) -> int:
    """Side (pixels) of the central crop: as many pixels are cut on the left as on the right."""
    return max(side - 2 * math.floor(side * (1 - fraction) / 2 + 0.5), 2 - side % 2)


def central_crop(pixels: Pixels, fraction: float) -> Pixels:
    """Central share of a square image."""
    side = pixels.shape[0]
    cut = (side - crop_side(side, fraction)) // 2
    return pixels[cut : side - cut, cut : side - cut]


def named_crop(pixels: Pixels, first: int, end: int, of: int) -> Pixels:
    """Pixels ``first`` … ``end`` − 1 of both sides of a square image whose side is ``of``.

    On another side the bounds are scaled and rounded, so that the same part of the sky is kept.
    """
    side = pixels.shape[0]
    low = min(math.floor(first * side / of + 0.5), side - 1)
    high = max(math.floor(end * side / of + 0.5), low + 1)
    return pixels[low:high, low:high]


def cropped(image: Pixels, settings: PrepareSettings) -> Pixels:
    """The part of a square image that the settings keep."""
    if settings.crop:
        return named_crop(image, *settings.crop)
    return central_crop(image, settings.crop_fraction)


def side_needed(size: int, fraction: float) -> int:
    """Least side (pixels) of a decoded image whose crop has enough pixels for `size`."""
    enough = ENOUGH * size
    return math.ceil(enough if fraction == 1 else (enough + 1) / fraction)


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize a square image: averaged over areas when it shrinks, bicubic when it grows.

    OpenCV averages over fractional areas some twenty times more slowly than over whole ones.
    Where the next whole factor is near, an 8-bit image is first stretched (by a quarter at most,
    bilinear) to that multiple of `size`. On SDSS cutouts this adds 0.02 to 0.04 grey levels to
    the mean error of 0.24 that rounding makes; one pixel in a thousand, in the core of a star, is
    off by two or more, the worst by seven. Float images are always averaged exactly.
    """
    side = pixels.shape[0]
    if side == size:
        return pixels
    if side < size:
        return _resize(pixels, size, cv2.INTER_CUBIC)
    factor = side / size
    whole = math.ceil(factor)
    if pixels.dtype == np.uint8 and whole * NEAR_WHOLE_FACTOR <= factor < whole:
        pixels = _resize(pixels, whole * size, cv2.INTER_LINEAR)
    return _resize(pixels, size, cv2.INTER_AREA)


def _resize(pixels: Pixels, size: int, method: int) -> Pixels:
    if pixels.shape[2] > MOST_CHANNELS:
        planes = (np.ascontiguousarray(pixels[..., i : i + 1]) for i in range(pixels.shape[2]))
        return np.concatenate([_resize(plane, size, method) for plane in planes], axis=2)
    resized: Pixels = cv2.resize(pixels, (size, size), interpolation=method)
    return resized if resized.ndim == 3 else resized[..., None]
