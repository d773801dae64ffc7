"""The scene: a galaxy among its neighbours, through the atmosphere, with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.bands import Band, flux_ratio, nanomaggies
from morphoscope.simulate.conditions import Conditions
from morphoscope.simulate.field import field_stars, paint_neighbour
from morphoscope.simulate.flaws import Flaws, paint_glare, paint_trail
from morphoscope.simulate.frame import Frame, Pixels
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.optics import Psf, blur, finest_cell, margin, paint_stars
from morphoscope.simulate.subject import MEASURED, Measured, measure, paint_galaxy
from morphoscope.simulate.view import View

__all__ = ["Scene", "add_noise", "draw_bands", "draw_scene"]

SKY_ERROR = 0.25  # spread of the error of the subtracted sky, in sigmas of a pixel's sky noise


@dataclass(frozen=True)
class Scene:
    """What comes down on the camera, without noise.

    Attributes
    ----------
    bands
        Band to pixels of shape (y, x), y upwards, nanomaggies a pixel.
    view
        Survey and pixels.
    measured
        Truth that is read off the galaxy as painted.
    """

    bands: dict[str, Pixels]
    view: View
    measured: Measured


def draw_bands(
    galaxy: Galaxy, settings: SimulateSettings, conditions: Conditions
) -> dict[str, Pixels]:
    """Draw a galaxy and its neighbours in each band, blurred by the PSF and without noise.

    Parameters
    ----------
    galaxy
        What is drawn.
    settings
        Size, survey and pixel scale of the cutout.
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
    return draw_scene(galaxy, settings, conditions).bands


def draw_scene(galaxy: Galaxy, settings: SimulateSettings, conditions: Conditions) -> Scene:
    """Draw a galaxy, its neighbours and what spoils the frame, and measure the galaxy."""
    view = conditions.view or View.plain(settings)
    edge = margin(conditions.psf_fwhm_arcsec, view.drawn_scale)
    cell = finest_cell(conditions.psf_fwhm_arcsec, view.drawn_scale)
    middle = Frame(view.drawn + 2 * edge, view.drawn_scale, finest=cell)
    frame = middle.moved(conditions.x * view.pixel_scale, conditions.y * view.pixel_scale)
    cameras = view.survey.bands
    planes = {name: np.zeros((frame.size, frame.size), np.float32) for name in cameras}
    measured: Measured = dict.fromkeys(MEASURED)
    if not conditions.flaws.empty:
        left = paint_galaxy(galaxy, frame, planes)
        if galaxy.radius_arcsec:
            sky = settings.sky_noise * cameras["r"].sky_sigma(frame.pixel_scale)
            # In one order of the columns, whatever is drawn.
            measured |= measure(galaxy, frame, planes["r"], sky, cameras["r"].gain)
            measured["extinction_r"] = -2.5 * math.log10(max(left, 1e-6))
    for neighbour in conditions.neighbours:
        if neighbour.radius_arcsec:
            paint_neighbour(neighbour, middle, planes)
    _blur_and_add_stars(galaxy, conditions, frame, planes, cameras)
    for band, (name, camera) in enumerate(cameras.items()):
        sigma = settings.sky_noise * camera.sky_sigma(frame.pixel_scale)
        plane = _misplaced(planes[name], conditions, middle, band)
        plane = _flawed(plane, conditions.flaws, middle, band, sigma)
        inside = slice(edge, frame.size - edge)
        planes[name] = np.ascontiguousarray(plane[inside, inside])
    return Scene(planes, view, measured)


def _blur_and_add_stars(
    galaxy: Galaxy,
    conditions: Conditions,
    frame: Frame,
    planes: dict[str, Pixels],
    cameras: dict[str, Band],
) -> None:
    middle = Frame(frame.size, frame.pixel_scale)
    stars, glares = field_stars(galaxy, conditions, frame, cameras)
    for band, (name, camera) in enumerate(cameras.items()):
        psf = Psf(conditions.psf_fwhm_arcsec * camera.seeing, conditions.psf_stretch)
        plane = blur(planes[name], psf, frame.pixel_scale)
        if stars:
            plane = plane + paint_stars(stars, middle, band, psf)
        for glare in glares:
            flux = nanomaggies(glare.magnitude_r) * flux_ratio(name, glare.g_r)
            plane = plane + paint_glare(glare, middle, flux, band)
        planes[name] = plane


def _misplaced(plane: Pixels, conditions: Conditions, frame: Frame, band: int) -> Pixels:
    """Shift a band that does not lie on the others."""
    shift = np.zeros(2)
    if conditions.registration:
        shift += np.array(conditions.registration[band]) / frame.pixel_scale
    if conditions.flaws.misplaced:
        shift += conditions.flaws.misplaced[band]
    if not shift.any():
        return plane
    matrix, size = np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (frame.size, frame.size)
    moved = cv2.warpAffine(plane, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved)


def _flawed(plane: Pixels, flaws: Flaws, frame: Frame, band: int, sigma: float) -> Pixels:
    """Add gradient and trails."""
    if flaws.gradient:
        level, right, up = flaws.gradient[band]
        slope = np.linspace(-0.5, 0.5, frame.size, dtype=np.float32)
        rise = level + right * slope[None, :] + up * slope[:, None]
        plane = np.asarray(plane + sigma * rise, np.float32)
    for trail in flaws.trails:
        plane = plane + paint_trail(trail, frame, band, sigma)
    return plane


def add_noise(
    image: Pixels, band: Band, pixel_scale: float, rng: np.random.Generator, sky_noise: float = 1.0
) -> Pixels:
    """Add the noise of sky and photons, and the error of the sky that was subtracted.

    Parameters
    ----------
    image
        Shape (y, x), nanomaggies a pixel.
    band
        The band of the survey.
    pixel_scale
        Arcsec a pixel.
    rng
        Random numbers.
    sky_noise
        Noise of the sky relative to the survey's.

    Returns
    -------
    Pixels
        Same shape. The variance is the sky's plus the flux over the gain: hundreds of electrons
        a pixel, for which a normal distribution stands in for Poisson's.
    """
    sky = sky_noise * band.sky_sigma(pixel_scale)
    variance = np.maximum(image, 0) * np.float32(1 / band.gain) + np.float32(sky**2)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    grain *= np.sqrt(variance, out=variance)
    grain += np.float32(sky * SKY_ERROR * rng.standard_normal())
    grain += image
    return grain
