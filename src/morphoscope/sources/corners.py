"""Blank corners, as a picture has that was turned in its frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["blank_corners", "joined"]

Mask = NDArray[np.bool_]
# Grey levels that JPEG leaves around a constant one, and by which a corner differs from the sky.
FLAT, STEP = 6, 15
# Share of the frame's rim that must not be corner, to tell that it is none of the sky.
LEAST_RIM = 0.2
# Share of the frame that corners have at most, as of a square turned by 45° that just touches the
# sides: where more is flat it is the sky.
LARGEST = 0.55
# Share of a corner's pixels that have its level, to one.
LEAST_ALIKE = 0.8
# As white as only what holds no image is.
WHITE = 252
# What JPEG smears across the edge of a corner (pixels).
SMEARED = 3


def blank_corners(pixels: NDArray[Any]) -> Mask | None:
    """Find flat corners that are no sky; None where there are none, or the pixels are floats.

    A corner is flat as far as its level goes on unbroken. It is no sky where it ends at a step and
    differs from the rest of the frame's outermost pixels, or is white.

    Parameters
    ----------
    pixels
        Shape ``(ny, nx, channel)``.

    Examples
    --------
    >>> pixels = np.full((40, 40, 1), 30, np.uint8)
    >>> blank_corners(pixels) is None
    True
    >>> pixels[:10, :10] = 255
    >>> int(blank_corners(pixels).sum())
    169
    """
    if pixels.dtype != np.uint8 or 0 in pixels.shape:
        return None
    grey = np.ascontiguousarray(pixels.mean(2).astype(np.uint8))
    ny, nx = grey.shape
    rim = np.ones((ny, nx), bool)
    rim[1:-1, 1:-1] = False
    corners = [_filled(grey, y, x) for y in (0, ny - 1) for x in (0, nx - 1)]
    levels = [float(np.median(grey[corner])) for corner in corners]
    found = np.zeros((ny, nx), bool)
    for level in sorted(set(levels), reverse=True):
        alike = [c for c, own in zip(corners, levels, strict=True) if abs(own - level) <= FLAT]
        blank = np.logical_or.reduce(alike)
        if blank.mean() > LARGEST or not _is_flat(grey[blank], level):
            continue
        if not _ends_sharply(grey, blank, level):
            continue
        rest = grey[rim & ~blank & ~found]
        enough = rest.size >= LEAST_RIM * rim.sum()
        if level >= WHITE or (enough and abs(float(np.median(rest)) - level) > STEP):
            found = found | blank
    return _widened(found, SMEARED) if found.any() else None


def _is_flat(levels: NDArray[np.uint8], level: float) -> bool:
    return bool(np.mean(np.abs(levels - level) <= 1) >= LEAST_ALIKE)


def _ends_sharply(grey: NDArray[np.uint8], blank: Mask, level: float) -> bool:
    """Whether a step lies around it: light that fades into the sky is a galaxy's."""
    near = _widened(blank, SMEARED)
    around = grey[_widened(near, SMEARED) & ~near]
    return bool(around.size and np.median(np.abs(around - level)) > STEP)


def _widened(mask: Mask, by: int) -> Mask:
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _filled(grey: NDArray[np.uint8], y: int, x: int) -> Mask:
    """What is as grey as one pixel and hangs together with it."""
    filled = np.zeros((grey.shape[0] + 2, grey.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
    cv2.floodFill(grey, filled, (x, y), 0, FLAT, FLAT, flags)
    return np.asarray(filled[1:-1, 1:-1] > 0)


def joined(one: Mask | None, other: Mask | None) -> Mask | None:
    """What either of two masks covers; None: neither is one."""
    if one is None or other is None:
        return other if one is None else one
    return np.asarray(one | other)
