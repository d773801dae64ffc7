"""The scene: a galaxy among its neighbours, through the atmosphere, with noise, as a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.bands import BANDS, composite, flux_ratio, nanomaggies
from morphoscope.simulate.conditions import Conditions, Neighbour
from morphoscope.simulate.disc import EXPONENTIAL_HALF_LIGHT, Frame, paint_disc
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.optics import SUBSAMPLE, blur, margin, psf, sersic

if TYPE_CHECKING:
    import galsim

__all__ = ["add_noise", "draw_bands", "draw_picture"]

Pixels = NDArray[np.float32]

SKY_ERROR = 0.25  # spread of the error of the subtracted sky, in sigmas of a pixel's sky noise


def draw_picture(
    galaxy: Galaxy,
    settings: SimulateSettings,
    conditions: Conditions,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw a galaxy as a survey would show it.

    Returns
    -------
    NDArray
        Shape (y, x, 3), uint8, red first, the first row on top.
    """
    bands = draw_bands(galaxy, settings, conditions)
    noisy = {band: add_noise(bands[band], band, settings, rng) for band in BANDS}
    return composite(noisy["i"], noisy["r"], noisy["g"])[::-1]


def draw_bands(
    galaxy: Galaxy, settings: SimulateSettings, conditions: Conditions
) -> dict[str, Pixels]:
    """Draw a galaxy and its neighbours in each band, blurred by the PSF and without noise.

    Parameters
    ----------
    galaxy
        What is drawn.
    settings
        Size and pixel scale of the cutout.
    conditions
        Seeing, pointing and neighbours.

    Returns
    -------
    dict
        Band to pixels of shape (y, x), y upwards, in nanomaggies a pixel.

    Examples
    --------
    >>> from morphoscope.simulate.population import draw_galaxy
    >>> spiral = draw_galaxy(1, 17, "spiral")
    >>> bands = draw_bands(spiral, SimulateSettings(), Conditions(psf_fwhm_arcsec=1.3))
    >>> bands["r"].shape
    (96, 96)
    """
    planes = _paint(galaxy, settings, conditions)
    edge = margin(conditions, settings.pixel_scale)
    images = {}
    for band, plane in planes.items():
        blurring = psf(conditions, band)
        images[band] = blur(plane, blurring, settings.pixel_scale, edge)
        spheroid = _spheroid(galaxy, band)
        if spheroid is not None:
            images[band] += _draw(spheroid, blurring, settings, conditions)
    return images


def add_noise(
    image: Pixels, band: str, settings: SimulateSettings, rng: np.random.Generator
) -> Pixels:
    """Add the noise of sky and photons, and the error of the sky that was subtracted.

    Parameters
    ----------
    image
        Shape (y, x), nanomaggies a pixel.
    band
        One of ``BANDS``.
    settings
        Pixel scale, and sky noise relative to SDSS.
    rng
        Random numbers.

    Returns
    -------
    Pixels
        Same shape. The variance is the sky's plus the flux over the gain: hundreds of electrons
        a pixel, for which a normal distribution stands in for Poisson's.
    """
    sky = settings.sky_noise * BANDS[band].sky_sigma(settings.pixel_scale)
    sigma = np.sqrt(sky**2 + np.maximum(image, 0) / BANDS[band].gain)
    error = sky * SKY_ERROR * rng.standard_normal()
    grain = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(image + error + grain, dtype=np.float32)


def _paint(galaxy: Galaxy, settings: SimulateSettings, conditions: Conditions) -> dict[str, Pixels]:
    """Paint the disc and the neighbours on half pixels, with a margin."""
    side = settings.size + 2 * margin(conditions, settings.pixel_scale)
    scale = settings.pixel_scale
    frame = Frame(SUBSAMPLE * side, scale / SUBSAMPLE, conditions.x * scale, conditions.y * scale)
    if galaxy.disc:
        flux = nanomaggies(galaxy.magnitude_r)
        planes = {band: flux * plane for band, plane in paint_disc(galaxy, frame).items()}
    else:
        planes = {band: np.zeros((frame.size, frame.size), np.float32) for band in BANDS}
    for neighbour in conditions.neighbours:
        light = _paint_neighbour(neighbour, frame)
        for band, plane in planes.items():
            plane += flux_ratio(band, neighbour.g_r) * light
    return planes


def _paint_neighbour(neighbour: Neighbour, frame: Frame) -> Pixels:
    right, up = replace(frame, x=neighbour.x, y=neighbour.y).axes()
    if neighbour.radius_arcsec:
        angle = np.deg2rad(neighbour.angle_deg)
        along = right * np.cos(angle) + up * np.sin(angle)
        across = (up * np.cos(angle) - right * np.sin(angle)) / neighbour.axial_ratio
        radius = np.hypot(along, across) / neighbour.radius_arcsec
        light = np.exp(-EXPONENTIAL_HALF_LIGHT * radius)
    else:
        weights = [np.maximum(1 - abs(axis) / frame.pixel_scale, 0) for axis in (right, up)]
        light = weights[0] * weights[1]
    flux = nanomaggies(neighbour.magnitude_r)
    return np.asarray(flux * light / light.sum(), dtype=np.float32)


def _spheroid(galaxy: Galaxy, band: str) -> galsim.GSObject | None:
    """Make what has a Sersic profile: a smooth galaxy, or the bulge of a disc."""
    import galsim

    flux = nanomaggies(galaxy.magnitude_r)
    if galaxy.sersic_n is not None:
        profile = sersic(galaxy.sersic_n, galaxy.radius_arcsec, galaxy.axial_ratio)
        flux *= flux_ratio(band, galaxy.g_r)
    elif galaxy.disc and galaxy.disc.bulge:
        bulge = galaxy.disc.bulge
        profile = sersic(bulge.sersic_n, bulge.radius_arcsec, bulge.axial_ratio)
        flux *= bulge.fraction * flux_ratio(band, bulge.g_r)
    else:
        return None
    return profile.withFlux(flux).rotate((galaxy.position_angle_deg + 90) * galsim.degrees)


def _draw(
    profile: galsim.GSObject,
    blurring: galsim.GSObject | None,
    settings: SimulateSettings,
    conditions: Conditions,
) -> Pixels:
    """Draw a profile through the PSF, at the galaxy's centre."""
    import galsim

    whole = galsim.Convolve([profile, blurring]) if blurring is not None else profile
    image = whole.drawImage(
        nx=settings.size,
        ny=settings.size,
        scale=settings.pixel_scale,
        offset=(conditions.x, conditions.y),
        dtype=np.float32,
    )
    return np.asarray(image.array)
