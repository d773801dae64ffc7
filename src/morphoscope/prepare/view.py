"""The galaxy's own frame: centred, levelled and scaled to its size in one resampling."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.recipe import PrepareSettings
from morphoscope.sources import Place, find_place

__all__ = ["enlarges", "galaxy_view", "view_of"]

Pixels = NDArray[Any]
Matrix = NDArray[np.float64]

# Half of the side of a view (pixels of the image): below, there is nothing to enlarge.
LEAST_HALF = 8.0
# Standard deviation of the Gaussian before a reduction, over that of the new pixel's width in the
# old ones beyond their own.
SMOOTHING = 0.5
# OpenCV turns no more channels than this at once.
MOST_CHANNELS = 4


def view_of(
    pixels: Pixels, settings: PrepareSettings, mask: NDArray[np.bool_] | None = None
) -> Matrix | None:
    """Transform from places in an image to places in the view of its galaxy; None: none is found.

    Parameters
    ----------
    pixels
        (ny, nx, channel), row 0 on top.
    settings
        With ``view = "galaxy"``.
    mask
        True = ignore, (ny, nx).

    Returns
    -------
    numpy.ndarray or None
        (2, 3), as OpenCV's affine transforms: first x, then y, from the middle of the first pixel.
    """
    place = find_place(pixels, mask)
    return None if place is None else _transform(place, pixels.shape[:2], settings)


def _transform(place: Place, sides: tuple[int, ...], settings: PrepareSettings) -> Matrix:
    # A view wider than the frame would show less of the galaxy, not more.
    half = min(max(settings.view_radius * place.semi_major, LEAST_HALF), max(sides) / 2)
    scale = settings.size / (2 * half)
    # The major axis points up by the cosine and left by the sine of its angle.
    angle = math.radians(place.position_angle)
    along, down = -math.sin(angle), -math.cos(angle)
    turn = scale * np.array([[along, down], [-down, along]])
    middle = np.full(2, (settings.size - 1) / 2)
    return np.column_stack([turn, middle - turn @ [place.x, place.y]])


def enlarges(transform: Matrix) -> bool:
    """Whether a view has smaller pixels than its image."""
    return math.hypot(*transform[0, :2]) >= 1


def galaxy_view(pixels: Pixels, transform: Matrix, settings: PrepareSettings) -> Pixels:
    """Resample an image into the view of its galaxy: smoothed as it shrinks, cubic as it grows.

    Parameters
    ----------
    pixels
        (ny, nx, channel): uint8, or float without not-a-number.
    transform
        By `view_of`.
    settings
        ``size`` and ``pad``, which says what lies beyond the frame: black, or its edge repeated.

    Returns
    -------
    numpy.ndarray
        (size, size, channel) of the type of `pixels`.
    """
    if pixels.shape[2] > MOST_CHANNELS:
        planes = [
            galaxy_view(pixels[..., i : i + 1], transform, settings) for i in range(pixels.shape[2])
        ]
        return np.concatenate(planes, axis=2)
    border = cv2.BORDER_CONSTANT if settings.pad == "zero" else cv2.BORDER_REPLICATE
    shrink = 1 / math.hypot(*transform[0, :2])
    if not enlarges(transform):
        width = SMOOTHING * math.sqrt(shrink**2 - 1)
        if width > 0.1:
            pixels = cv2.GaussianBlur(
                np.ascontiguousarray(pixels), (0, 0), width, borderType=cv2.BORDER_REPLICATE
            )
    method = cv2.INTER_CUBIC if enlarges(transform) else cv2.INTER_LINEAR
    side = (settings.size, settings.size)
    view: Pixels = cv2.warpAffine(
        np.ascontiguousarray(pixels), transform, side, flags=method, borderMode=border
    )
    return view if view.ndim == 3 else view[..., None]
