"""Where the galaxy in the middle of an image lies, how large it is, and how it is turned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.sources.corners import blank_corners, joined
from morphoscope.sources.moments import even_out
from morphoscope.sources.sky import LARGEST_FLUX, Frame, open_frame
from morphoscope.sources.source import find_source, surroundings

__all__ = ["Place", "find_place"]

Mask = NDArray[np.bool_]
# Larger images are searched at a scale at which a side has about as many pixels.
SIDE = 128
SMALLEST_SIDE = 10
# Share of a block of pixels that must be measured for the block to count.
LEAST_MEASURED = 0.5


@dataclass(frozen=True)
class Place:
    """Place of a galaxy.

    Attributes
    ----------
    x, y
        Barycentre, from the middle of the first pixel, row 0 on top (pixels).
    semi_major
        Square root of the larger second moment of the light inside the footprint (pixels).
    position_angle
        Of the major axis, anticlockwise from the picture's upward direction (deg, 0 ≤ … < 180).
    """

    x: float
    y: float
    semi_major: float
    position_angle: float


def find_place(pixels: NDArray[Any], mask: Mask | None = None) -> Place | None:
    """Find the galaxy in the middle of an image, bright on dark or, as on plates, dark on bright.

    Parameters
    ----------
    pixels
        Shape ``(ny, nx)`` or ``(ny, nx, channel)``, uint8 or float, row 0 on top. Not-a-number
        and infinite pixels are ignored, and so are blank corners of an 8-bit picture that was
        turned in its frame.
    mask
        True = ignore, shape ``(ny, nx)``.

    Returns
    -------
    Place or None
        None where nothing rises above, or falls below, the sky in the middle.

    Examples
    --------
    >>> y, x = np.mgrid[:65, :65]
    >>> place = find_place(1000 * np.exp(-np.hypot((y - 30) / 2, x - 34) / 3))
    >>> round(place.x), round(place.y), round(place.position_angle)
    (34, 30, 0)
    """
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        return None
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    mask = joined(mask, blank_corners(pixels))
    factor = max(1, round(min(pixels.shape[:2]) / SIDE))
    if factor > 1:
        pixels, mask = _shrunk(pixels, mask, factor)
    found = _in_frame(open_frame(pixels, mask)) or _in_frame(open_frame(_negative(pixels), mask))
    if found is None or factor == 1:
        return found
    # The middle of a pixel of the shrunk image is the middle of a block.
    x, y = (factor * (place + 0.5) - 0.5 for place in (found.x, found.y))
    return Place(x, y, factor * found.semi_major, found.position_angle)


def _in_frame(frame: Frame | None) -> Place | None:
    source = find_source(frame) if frame is not None else None
    if frame is None or source is None:
        return None
    near, own, (top, left) = surroundings(frame, source)
    moments = even_out(near, own)[2]
    if moments is None:
        return None
    ellipse = moments.ellipse()
    if not math.isfinite(ellipse.semi_major) or ellipse.semi_major <= 0:
        return None
    return Place(ellipse.x + left, ellipse.y + top, ellipse.semi_major, ellipse.position_angle)


def _negative(pixels: NDArray[Any]) -> NDArray[Any]:
    return 255 - pixels if pixels.dtype == np.uint8 else -pixels


def _shrunk(
    pixels: NDArray[Any], mask: Mask | None, factor: int
) -> tuple[NDArray[Any], Mask | None]:
    """Means over blocks of `factor` × `factor` pixels, and which blocks are holes.

    Of a block that is measured by half the mean is that of its measured pixels. A rest at the far
    edges falls away.
    """
    ny, nx = (side // factor for side in pixels.shape[:2])
    cube = pixels if pixels.ndim == 3 else pixels[..., None]
    cube = cube[: ny * factor, : nx * factor]
    if cube.dtype == np.uint8 and mask is None:
        return _means(cube, nx, ny), None
    measured = np.abs(cube) < LARGEST_FLUX
    if mask is not None:
        measured &= ~mask[: ny * factor, : nx * factor, None]
    shares = _means(measured.astype(np.float32), nx, ny)
    totals = _means(np.where(measured, cube, 0).astype(np.float64), nx, ny)
    known = shares >= LEAST_MEASURED
    eight_bits = cube.dtype == np.uint8
    empty = np.full(totals.shape, 0.0 if eight_bits else np.nan)
    means = np.divide(totals, shares, out=empty, where=known)
    means = np.rint(means).astype(np.uint8) if eight_bits else means
    # A band without any pixel is left out where the frame is opened.
    used = measured.any((0, 1))
    return means, np.asarray(~known[..., used].all(2))


def _means(cube: NDArray[Any], nx: int, ny: int) -> NDArray[Any]:
    planes = (np.ascontiguousarray(cube[..., i]) for i in range(cube.shape[2]))
    shrunk = [cv2.resize(plane, (nx, ny), interpolation=cv2.INTER_AREA) for plane in planes]
    return np.stack(shrunk, axis=2)
