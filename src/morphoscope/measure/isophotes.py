"""Axial ratio of a galaxy's outer isophotes: ellipses that lie where the light is even.

On a ring laid as a first ellipse, light that is brighter twice a turn says how the ellipse must be
stretched to follow the isophote: Jedrzejewski (1987), MNRAS 226, 747, equations 3 and 4. All rings
are fitted at once.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.sources.moments import FWHM_OF_SIGMA, PIXEL, Ellipse
from morphoscope.sources.sky import Floats

__all__ = ["axial_ratio_of_isophotes"]

Wide = NDArray[np.float64]
# Rings at these shares of the footprint's radius: the disc, outside of most bulges.
RADII = np.linspace(0.5, 0.95, 6)
# Each ring is as wide as these shares of itself.
WIDTHS = np.linspace(0.88, 1.12, 7)
ANGLES = np.arange(96) * (2 * np.pi / 96)
STEPS = 12
# What a step may stretch at most, and at which the last one counts as standing still.
LARGEST, STILL = 0.15, 0.02
FLATTEST = 0.05
# What a pixel, and reading between pixels in a straight line, add to second moments (pixels²).
READING = PIXEL + 1 / 6
# Samples further from the fit than this many of their spreads: neighbours, knots, arms.
OUTLYING = 2.5
FEWEST_ANGLES = 0.6
TERMS = np.stack(
    [
        np.ones((len(WIDTHS), len(ANGLES))),
        np.broadcast_to(WIDTHS[:, None] - 1, (len(WIDTHS), len(ANGLES))),
        *(np.broadcast_to(f(n * ANGLES), (len(WIDTHS), len(ANGLES)))
          for n in (1, 2) for f in (np.cos, np.sin)),
    ]
).reshape(6, -1)  # fmt: skip
PAIRS = (TERMS[:, None] * TERMS).reshape(len(TERMS) ** 2, -1).T.copy()


def axial_ratio_of_isophotes(
    light: Floats, hidden: NDArray[np.bool_], start: Ellipse, pixels: int, psf_fwhm: float = 0.0
) -> float:
    """Median axial ratio of the isophotes from half the footprint's radius to its edge.

    Parameters
    ----------
    light
        Above the sky, shape ``(ny, nx)``.
    hidden
        Pixels that tell nothing of the galaxy: other sources and holes.
    start
        Ellipse of its moments.
    pixels
        Area of the footprint.
    psf_fwhm
        Full width at half maximum of the point-spread function (pixels); 0: no correction.

    Returns
    -------
    float
        Not-a-number where no ring could be fitted, or none is wider than a point.
    """
    seen = (~hidden).astype(np.float32)
    rings = _first_rings(start, pixels)
    for _ in range(STEPS):
        terms, lain = _terms(*_sample(light, seen, rings, start))
        stretch = _stretches(terms, lain)
        rings = _stretched(rings, stretch)
    still = lain & (np.abs(stretch).max((1, 2)) < STILL)
    if not still.any():
        return float("nan")
    return _ratio(rings[still], terms[still], psf_fwhm / FWHM_OF_SIGMA)


def _ratio(rings: Wide, terms: Wide, point: float) -> float:
    """Median axial ratio; a Gaussian of width `point` widened both axes of each isophote.

    For a Gaussian galaxy, semi-axes² are wider by K·point², K = −d ln I / d ln r: exact there, and
    to first order in point² for any profile if the isophote's curvature is left out.
    """
    steepness = -terms[:, 1] / terms[:, 0]
    axes = np.linalg.svd(rings, compute_uv=False) ** 2 - (steepness * (point**2 + READING))[:, None]
    square = float(np.median(axes[:, 1] / axes[:, 0]))
    return square**0.5 if square > 0 and (axes[:, 0] > 0).all() else float("nan")


def _first_rings(start: Ellipse, pixels: int) -> Wide:
    """Matrices from the unit circle to the rings, shape ``(ring, 2, 2)``, rows y and x."""
    ratio = float(np.clip(np.nan_to_num(start.axial_ratio, nan=1.0), 0.15, 1.0))
    angle = np.radians(start.position_angle)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    unit = turned @ np.diag([ratio**-0.5, ratio**0.5])
    return np.asarray(RADII[:, None, None] * np.sqrt(pixels / np.pi) * unit)


def _sample(light: Floats, seen: Floats, rings: Wide, start: Ellipse) -> tuple[Wide, Wide]:
    """Light on the rings and whether it is seen there, each of shape ``(ring, sample)``."""
    circle = np.stack([np.cos(ANGLES), np.sin(ANGLES)])
    places = np.einsum("rij,w,ja->riwa", rings, WIDTHS, circle)
    y = (places[:, 0] + start.y).reshape(len(rings), -1).astype(np.float32)
    x = (places[:, 1] + start.x).reshape(len(rings), -1).astype(np.float32)
    found = cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    weight = cv2.remap(seen, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return found.astype(np.float64), (weight > 0.99).astype(np.float64)


def _terms(samples: Wide, weight: Wide) -> tuple[Wide, NDArray[np.bool_]]:
    """Terms of the light on each ring, shape ``(ring, term)``, and whether they can be trusted."""
    off = np.abs(samples - _fit(samples, weight) @ TERMS)
    spread = np.sqrt((weight * off**2).sum(1) / np.maximum(weight.sum(1), 1))
    near = weight * (off <= OUTLYING * spread[:, None])
    terms = _fit(samples, near)
    return terms, (terms[:, 1] < 0) & (terms[:, 0] > 0) & (near.mean(1) >= FEWEST_ANGLES)


def _stretches(terms: Wide, lain: NDArray[np.bool_]) -> Wide:
    """How each ring must be stretched, shape ``(ring, 2, 2)``; not at all where it is not told."""
    along, across = (-terms[:, 4:6] / np.where(lain, terms[:, 1], -np.inf)[:, None]).T
    stretch = np.stack([np.stack([along, across], -1), np.stack([across, -along], -1)], -2)
    return np.asarray(np.clip(stretch, -LARGEST, LARGEST))


def _fit(samples: Wide, weight: Wide) -> Wide:
    """Least squares of constant, slope and harmonics, shape ``(ring, term)``."""
    normal = (weight @ PAIRS).reshape(-1, len(TERMS), len(TERMS)) + 1e-6 * np.eye(len(TERMS))
    right = (weight * samples) @ TERMS.T
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0])


def _stretched(rings: Wide, stretch: Wide) -> Wide:
    """Rings after a step, of the same area, and none flatter than can be sampled."""
    left, singular, right = np.linalg.svd(rings @ (np.eye(2) + stretch))
    area = np.sqrt(np.abs(np.linalg.det(rings)))
    ratio = np.clip(singular[:, 1] / singular[:, 0], FLATTEST, 1.0)
    sizes = area[:, None] * np.stack([ratio**-0.5, ratio**0.5], -1)
    return np.asarray((left * sizes[:, None]) @ right)
