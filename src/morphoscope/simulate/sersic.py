"""Sersic profiles, integrated over pixels however steep their centre is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from morphoscope.simulate.frame import Frame, Pixels

__all__ = ["Sersic", "paint_sersic"]

# The engine already runs one process a core.
cv2.setNumThreads(1)

SPLIT = 4  # parts of a pixel's side in the middle, and again of theirs
NEAREST = 8  # pixels in each direction that are split
PIXEL_VARIANCE = 1 / 12  # of a pixel, in pixels²
FLOOR = 1e-12  # of the squared radius, in half-light radii


@dataclass(frozen=True)
class Sersic:
    """A Sersic profile (Sersic 1963, BAAA 6, 41).

    Attributes
    ----------
    n
        Index, 1 exponential, 4 de Vaucouleurs.
    radius_arcsec
        Half-light radius along the major axis.
    axial_ratio
        b/a.
    angle_deg
        Direction of the major axis, anticlockwise from the right.
    boxiness
        Exponent of the isophotes less 2: above 0 boxy, below 0 discy.
    """

    n: float
    radius_arcsec: float
    axial_ratio: float
    angle_deg: float
    boxiness: float = 0.0

    @property
    def b(self) -> float:
        """Exponent at the half-light radius (Ciotti & Bertin 1999, A&A 352, 447, equation 18)."""
        n = self.n
        return 2 * n - 1 / 3 + 4 / (405 * n) + 46 / (25515 * n**2) + 131 / (1148175 * n**3)

    @property
    def middle(self) -> float:
        """Surface brightness in the middle for unit flux (a square arcsec)."""
        exponent = 2 + self.boxiness
        # Area of |x|^c + |y|^c < 1 over that of the circle.
        rounder = 4 * math.gamma(1 + 1 / exponent) ** 2 / math.gamma(1 + 2 / exponent) / math.pi
        area = math.pi * self.radius_arcsec**2 * self.axial_ratio * rounder
        return float(self.b ** (2 * self.n) / (2 * self.n * math.gamma(2 * self.n) * area))


def paint_sersic(profile: Sersic, frame: Frame) -> Pixels:
    """Paint a Sersic profile of unit flux.

    Returns
    -------
    Pixels
        Shape (y, x), flux a pixel. Pixels are read off at their middle; those near the centre are
        split in 16 parts, and the innermost parts again, down to where a cusp of n = 4 holds no
        more light.

    Examples
    --------
    >>> light = paint_sersic(Sersic(1.0, 2.0, 0.7, 30.0), Frame(128, 0.3))
    >>> round(float(light.sum()), 2)
    1.0
    """
    x, y = frame.axes()
    light, pixel = _brightness(profile, x, y), frame.pixel_scale
    levels = (profile.n > 1.2) + (profile.n > 1.6) + (profile.n > 2.6)
    minor = profile.radius_arcsec * profile.axial_ratio / pixel
    reach = NEAREST * (1 if minor > 3 else 3 if profile.axial_ratio < 0.4 else 2)
    columns, rows = _nearest(x[0], pixel, reach), _nearest(y[:, 0], pixel, reach)
    across, up = x[0, columns], y[rows, 0]
    if across.size and up.size:
        fine_x, fine_y = (_split(_wider(axis, pixel), pixel) for axis in (across, up))
        fine = _integrated(profile, fine_x, fine_y, pixel / SPLIT, levels)
        light[rows, columns] = _shares(up.size) @ fine @ _shares(across.size).T
    light *= np.float32(profile.middle * pixel**2)
    return light


def _integrated(profile: Sersic, x: Pixels, y: Pixels, step: float, levels: int) -> Pixels:
    """Brightness of cells relative to the middle's, the innermost split further."""
    light = _brightness(profile, x[None, :], y[:, None])
    columns, rows = _nearest(x, step, NEAREST), _nearest(y, step, NEAREST)
    fine_x, fine_y = _split(x[columns], step), _split(y[rows], step)
    if levels and fine_x.size and fine_y.size:
        fine = _integrated(profile, fine_x, fine_y, step / SPLIT, levels - 1)
        shape = fine_x.size // SPLIT, fine_y.size // SPLIT
        light[rows, columns] = cv2.resize(fine, shape, interpolation=cv2.INTER_AREA)
    return light


def _nearest(axis: Pixels, step: float, reach: int) -> slice:
    """Pixels around the centre, as many in each direction."""
    middle = round(-float(axis[0]) / step + 0.5)
    return slice(max(middle - reach // 2, 0), max(middle + reach // 2, 0))


def _wider(axis: Pixels, step: float) -> Pixels:
    ends = np.array([axis[0] - step]), np.array([axis[-1] + step])
    return np.concatenate([ends[0], axis, ends[1]])


def _split(axis: Pixels, step: float) -> Pixels:
    parts = (np.arange(SPLIT, dtype=np.float32) - (SPLIT - 1) / 2) * (step / SPLIT)
    return np.asarray((axis[:, None] + parts).ravel(), np.float32)


@lru_cache(maxsize=64)
def _shares(pixels: int) -> Pixels:
    """Shares (pixel, part) by which parts of pixels, of one more at each end, make up pixels.

    The PSF is applied to whole pixels, so that a cusp would be blurred as if it were in the middle
    of its pixel. Parts are shared out over three pixels so that mean and variance are those of a
    part where it is, seen by a pixel that is flat.
    """
    place = (np.arange(SPLIT) - (SPLIT - 1) / 2) / SPLIT
    squared = place**2 + PIXEL_VARIANCE
    shares = np.concatenate([(squared + place) / 2, 1 - squared, (squared - place) / 2]) / SPLIT
    matrix = np.zeros((pixels, SPLIT * (pixels + 2)), np.float32)
    for pixel in range(pixels):
        matrix[pixel, SPLIT * pixel : SPLIT * (pixel + 3)] = shares
    return matrix


def _brightness(profile: Sersic, x: Pixels, y: Pixels) -> Pixels:
    angle = math.radians(profile.angle_deg)
    along, across = np.array([math.cos(angle), math.sin(angle)], np.float32), profile.axial_ratio
    major = (x * along[0] + y * along[1]) * np.float32(1 / profile.radius_arcsec)
    minor = (y * along[0] - x * along[1]) * np.float32(1 / profile.radius_arcsec / across)
    if profile.boxiness:
        exponent = 2 + profile.boxiness
        total = cv2.pow(np.abs(major), exponent) + cv2.pow(np.abs(minor), exponent)
        squared = cv2.pow(total, 2 / exponent)
    else:
        squared = major * major + minor * minor
    squared += np.float32(FLOOR)
    root = cv2.exp(cv2.log(squared) * np.float32(0.5 / profile.n))
    return np.asarray(cv2.exp(root * np.float32(-profile.b)), np.float32)
