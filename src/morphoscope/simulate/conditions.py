"""The conditions of one observation: seeing, pointing and what else is in the cutout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.flaws import NO_FLAWS, Flaws, draw_flaws
from morphoscope.simulate.streams import generator
from morphoscope.simulate.view import View, draw_view

__all__ = ["Conditions", "Neighbour", "draw_conditions"]

PSF_SCATTER = 0.1  # of the logarithm of its FWHM, from exposure to exposure
PSF_ELLIPTICITY = 0.02
LARGEST_OFFSET = 2.0  # pixels
STAR_SHARE = 0.5
MOST_SKY = 8.0  # times the area of a cutout of the survey's own pixels, for neighbours
MISREGISTRATION = 0.15  # pixels of the survey
RED_SHARE = 0.25  # of the stars, beyond the colours of galaxies
BRIGHTEST_NEIGHBOUR = 16.5
FAINTEST_NEIGHBOUR = {"sdss": 22.0, "legacy": 23.3, "hsc": 24.8}
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
    psf_stretch
        Its width along x over the mean width.
    x, y
        Where the galaxy's centre is, right of and above the middle of the cutout (pixels).
    neighbours
        Other objects in the cutout.
    registration
        How far each band lies off, x and y (arcsec); or nothing.
    flaws
        What is wrong with the frame.
    view
        Survey and pixels; nothing: those of the settings.
    """

    psf_fwhm_arcsec: float
    psf_stretch: float = 1.0
    x: float = 0.0
    y: float = 0.0
    neighbours: tuple[Neighbour, ...] = ()
    registration: tuple[tuple[float, float], ...] = ()
    flaws: Flaws = NO_FLAWS
    view: View | None = None


def draw_conditions(
    seed: int,
    index: int,
    settings: SimulateSettings,
    kind: str = "",
    view: View | None = None,
) -> Conditions:
    """Draw how one galaxy is observed; of a `bad_image`, what spoils it.

    Examples
    --------
    >>> draw_conditions(1, 17, SimulateSettings(neighbours=0.0)).neighbours
    ()
    """
    rng = generator(seed, index, 1)
    view = view or draw_view(seed, index, settings)
    flaws = _flaws(seed, index, settings, kind)
    distance, angle = LARGEST_OFFSET * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    x, y = float(distance * np.cos(angle)), float(distance * np.sin(angle))
    scatter, ellipticity = np.clip(rng.standard_normal(2), -2.5, 2.5)
    if flaws.off_centre:
        x, y = (view.size * share for share in flaws.off_centre)
    neighbours = rng.poisson(settings.neighbours * min(view.zoom**2, MOST_SKY))
    return Conditions(
        psf_fwhm_arcsec=(settings.psf_fwhm or view.survey.psf_fwhm)
        * float(np.exp(PSF_SCATTER * scatter)),
        psf_stretch=float(np.exp(PSF_ELLIPTICITY * ellipticity)),
        x=x,
        y=y,
        neighbours=tuple(_neighbour(rng, view) for _ in range(neighbours)),
        registration=_registration(seed, index, settings, view),
        flaws=flaws,
        view=view,
    )


def _flaws(seed: int, index: int, settings: SimulateSettings, kind: str) -> Flaws:
    if not settings.nuisance and kind != "bad_image":
        return NO_FLAWS
    rng = generator(seed, index, 4)
    if kind == "bad_image":
        return draw_flaws(rng, spoiled=True)
    return draw_flaws(rng, spoiled=False) if rng.random() < settings.nuisance else NO_FLAWS


def _registration(
    seed: int, index: int, settings: SimulateSettings, view: View
) -> tuple[tuple[float, float], ...]:
    """Draw by how much bands miss each other: air bends blue light more, and frames are drawn
    up pixel by pixel.
    """
    rng = generator(seed, index, 8) if settings.variety else None
    if rng is None or rng.random() > 0.5:
        return ()
    spread = settings.variety * MISREGISTRATION * view.native_scale
    shifts = spread * np.clip(rng.standard_normal((len(view.survey.bands), 2)), -2.5, 2.5)
    return tuple((float(x), float(y)) for x, y in shifts)


def _neighbour(rng: np.random.Generator, view: View) -> Neighbour:
    side = view.size * view.pixel_scale
    x, y = rng.uniform(-side / 2, side / 2, size=2)
    faint = FAINTEST_NEIGHBOUR[view.name]
    magnitude = BRIGHTEST_NEIGHBOUR + (faint - BRIGHTEST_NEIGHBOUR) * float(rng.beta(3.0, 1.0))
    if rng.random() < STAR_SHARE:
        red = rng.random() < RED_SHARE
        return Neighbour(x, y, magnitude, rng.uniform(1.3, 2.2) if red else rng.uniform(0.2, 1.3))
    return Neighbour(
        x,
        y,
        magnitude,
        g_r=rng.uniform(0.3, 1.1),
        radius_arcsec=rng.uniform(*NEIGHBOUR_RADIUS_ARCSEC),
        axial_ratio=rng.uniform(0.4, 1.0),
        angle_deg=rng.uniform(0, 180),
    )
