"""The galaxy in the middle of a cutout, its companion and what a merger has torn out."""

from __future__ import annotations

import math

import numpy as np

from morphoscope.simulate.bands import flux_ratio, nanomaggies
from morphoscope.simulate.disc import paint_disc
from morphoscope.simulate.frame import Frame, Pixels
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.mergers import paint_shell, paint_tail
from morphoscope.simulate.sersic import Sersic, paint_sersic

__all__ = ["MEASURED", "Measured", "measure", "paint_galaxy", "spread"]

Measured = dict[str, float | None]
MEASURED = ("extinction_r", "surface_brightness_r", "signal_to_noise")


def paint_galaxy(galaxy: Galaxy, frame: Frame, planes: dict[str, Pixels]) -> float:
    """Add a galaxy and all that belongs to it to planes of light, as no atmosphere has blurred it.

    Parameters
    ----------
    galaxy
        What is painted.
    frame
        Where, with its centre.
    planes
        Band to light of shape (y, x), nanomaggies a pixel; added to.

    Returns
    -------
    float
        Share of its light in r that leaves its dust.
    """
    left = _paint_one(galaxy, frame, planes)
    if galaxy.companion:
        _paint_one(galaxy.companion, frame, planes)
    flux = nanomaggies(galaxy.magnitude_r)
    for tail in galaxy.tails:
        spread(planes, flux * tail.fraction, galaxy.g_r - 0.1, paint_tail(tail, frame))
    for shell in galaxy.shells:
        spread(planes, flux * shell.fraction, galaxy.g_r, paint_shell(shell, frame))
    return left


def _paint_one(galaxy: Galaxy, frame: Frame, planes: dict[str, Pixels]) -> float:
    at, flux = frame.moved(galaxy.x, galaxy.y), nanomaggies(galaxy.magnitude_r)
    if galaxy.disc:
        painted = paint_disc(galaxy, at, tuple(planes))
        for name, light in painted.bands.items():
            planes[name] += np.float32(flux) * light
        return painted.left
    if galaxy.sersic_n is not None:
        angle = galaxy.position_angle_deg + 90
        profile = Sersic(
            galaxy.sersic_n, galaxy.radius_arcsec, galaxy.axial_ratio, angle, galaxy.boxiness
        )
        spread(planes, flux, galaxy.g_r, paint_sersic(profile, at))
    return 1.0


def spread(planes: dict[str, Pixels], flux: float, g_r: float, light: Pixels) -> None:
    """Add light of unit flux to all bands, with a flux in r (nanomaggies) and a colour (mag)."""
    for name, plane in planes.items():
        plane += np.float32(flux * flux_ratio(name, g_r)) * light


def measure(galaxy: Galaxy, frame: Frame, light: Pixels, sky: float, gain: float) -> Measured:
    """Mean brightness inside of the half-light ellipse, and its signal over the noise there.

    Parameters
    ----------
    galaxy
        The galaxy.
    frame
        Pixels, with its centre.
    light
        In r, shape (y, x), nanomaggies a pixel.
    sky
        Noise of the sky in a pixel (nanomaggies).
    gain
        Electrons a nanomaggy.
    """
    x, y = frame.axes()
    angle = math.radians(galaxy.position_angle_deg + 90)
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    minor = (y * cosine - x * sine) * np.float32(1 / galaxy.axial_ratio)
    inside = (x * cosine + y * sine) ** 2 + minor**2 < galaxy.radius_arcsec**2
    number, flux = int(inside.sum()), float(light[inside].sum())
    if not number or flux <= 0:
        return {"surface_brightness_r": None, "signal_to_noise": None}
    variance = number * sky**2 + flux / gain
    return {
        "surface_brightness_r": 22.5 - 2.5 * math.log10(flux / number / frame.pixel_scale**2),
        "signal_to_noise": flux / math.sqrt(variance),
    }
