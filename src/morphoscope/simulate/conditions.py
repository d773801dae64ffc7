"""The conditions of one observation: seeing, pointing and what else is in the cutout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.population import generator

__all__ = ["Conditions", "Neighbour", "draw_conditions"]

PSF_SCATTER = 0.1  # of the logarithm of its FWHM, from exposure to exposure
PSF_ELLIPTICITY = 0.02
LARGEST_OFFSET = 2.0  # pixels
STAR_SHARE = 0.5
NEIGHBOUR_MAGNITUDE_R = (16.5, 22.0)
NEIGHBOUR_RADIUS_ARCSEC = (0.5, 1.6)


@dataclass(frozen=True)
class Neighbour:
    """A star, or a small exponential galaxy.

    Attributes
    ----------
    x, y
        Right of and above the middle of the cutout (arcsec).
    magnitude_r, g_r
        Magnitude in r and colour g−r.
    radius_arcsec
        Half-light radius along the major axis; 0 for a star.
    axial_ratio, angle_deg
        b/a and the direction of the major axis, anticlockwise from the right.
    """

    x: float
    y: float
    magnitude_r: float
    g_r: float
    radius_arcsec: float = 0.0
    axial_ratio: float = 1.0
    angle_deg: float = 0.0


@dataclass(frozen=True)
class Conditions:
    """How one galaxy is observed.

    Attributes
    ----------
    psf_fwhm_arcsec
        Full width at half maximum of the PSF in r; 0: no PSF.
    psf_g1, psf_g2
        Shear of the PSF.
    x, y
        Where the galaxy's centre is, right of and above the middle of the cutout (pixels).
    neighbours
        Other objects in the cutout.
    """

    psf_fwhm_arcsec: float
    psf_g1: float = 0.0
    psf_g2: float = 0.0
    x: float = 0.0
    y: float = 0.0
    neighbours: tuple[Neighbour, ...] = ()


def draw_conditions(seed: int, index: int, settings: SimulateSettings) -> Conditions:
    """Draw how one galaxy is observed.

    Examples
    --------
    >>> draw_conditions(1, 17, SimulateSettings(neighbours=0.0)).neighbours
    ()
    """
    rng = generator(seed, index, 1)
    distance, angle = LARGEST_OFFSET * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    scatter, g1, g2 = np.clip(rng.standard_normal(3), -2.5, 2.5)
    side = settings.size * settings.pixel_scale
    return Conditions(
        psf_fwhm_arcsec=settings.psf_fwhm * float(np.exp(PSF_SCATTER * scatter)),
        psf_g1=PSF_ELLIPTICITY * float(g1),
        psf_g2=PSF_ELLIPTICITY * float(g2),
        x=float(distance * np.cos(angle)),
        y=float(distance * np.sin(angle)),
        neighbours=tuple(_neighbour(rng, side) for _ in range(rng.poisson(settings.neighbours))),
    )


def _neighbour(rng: np.random.Generator, side: float) -> Neighbour:
    low, high = NEIGHBOUR_MAGNITUDE_R
    x, y = rng.uniform(-side / 2, side / 2, size=2)
    magnitude = low + (high - low) * float(rng.beta(3.0, 1.0))
    if rng.random() < STAR_SHARE:
        return Neighbour(x, y, magnitude, rng.uniform(0.2, 1.5))
    return Neighbour(
        x,
        y,
        magnitude,
        g_r=rng.uniform(0.3, 1.1),
        radius_arcsec=rng.uniform(*NEIGHBOUR_RADIUS_ARCSEC),
        axial_ratio=rng.uniform(0.4, 1.0),
        angle_deg=rng.uniform(0, 180),
    )
