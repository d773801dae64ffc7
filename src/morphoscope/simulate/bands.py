"""Surveys: their bands, pixels, seeing, sky and the recipe of their pictures.

Fluxes are in nanomaggies (22.5 mag = 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["REDDENING", "SURVEYS", "Band", "Recipe", "Survey", "flux_ratio", "nanomaggies"]

# Optical depth relative to r; slopes between bands of the Milky Way's law (R_V = 3.1), as in
# Schlafly & Finkbeiner 2011 (ApJ 737, 103), table 6.
REDDENING = {"g": 1.43, "r": 1.0, "i": 0.76, "z": 0.57, "y": 0.48}


@dataclass(frozen=True)
class Band:
    """One band of a camera.

    Attributes
    ----------
    sky_mag
        Surface brightness of the night sky (mag/arcsec²).
    gain
        Electrons that one nanomaggy gives in all exposures together.
    seeing
        FWHM of the PSF relative to r.
    """

    sky_mag: float
    gain: float
    seeing: float

    def sky_sigma(self, pixel_scale: float) -> float:
        """Noise of the sky in one pixel (nanomaggies)."""
        electrons = nanomaggies(self.sky_mag) * pixel_scale**2 * self.gain
        return float(np.sqrt(electrons)) / self.gain


@dataclass(frozen=True)
class Recipe:
    """How three bands become a picture.

    Attributes
    ----------
    bands
        For red, green and blue.
    scales
        Weight of each, in the same order.
    stretch, softening
        s and Q of the asinh stretch.
    pedestal
        Added to each weighted band (nanomaggies a pixel of the survey).
    keeps_colour
        Whether a pixel beyond white keeps its colour, or each channel is cut at white.
    """

    bands: tuple[str, str, str]
    scales: tuple[float, float, float]
    stretch: float
    softening: float
    pedestal: float
    keeps_colour: bool = True


@dataclass(frozen=True)
class Survey:
    """One survey.

    Attributes
    ----------
    pixel_scale
        Of its pixels (arcsec/pixel).
    psf_fwhm
        Median full width of its PSF in r (arcsec).
    exposure_s
        Exposure time in r, all exposures together.
    bands
        Its bands from blue to red.
    picture
        Its composite.
    """

    pixel_scale: float
    psf_fwhm: float
    exposure_s: float
    bands: dict[str, Band]
    picture: Recipe


# SDSS: York et al. 2000 (AJ 120, 1579), Gunn et al. 1998 (AJ 116, 3040); the weights make a galaxy
# of solar colour look white. Legacy: gains give the sky noise of cutouts of DECaLS (Dey et al.
# 2019, AJ 157, 168); the picture is that of the survey's viewer. HSC: gains give the depths of the
# Wide layer in Aihara et al. 2022 (PASJ 74, 247), table 1.
SURVEYS = {
    "sdss": Survey(
        pixel_scale=0.396,
        psf_fwhm=1.3,
        exposure_s=53.9,
        bands={
            "g": Band(sky_mag=21.8, gain=850.0, seeing=1.05),
            "r": Band(sky_mag=20.9, gain=900.0, seeing=1.0),
            "i": Band(sky_mag=20.3, gain=750.0, seeing=0.97),
        },
        picture=Recipe(("i", "r", "g"), (0.82, 1.0, 1.37), 1.5, 2.9, 0.022),
    ),
    "legacy": Survey(
        pixel_scale=0.262,
        psf_fwhm=1.2,
        exposure_s=200.0,
        bands={
            "g": Band(sky_mag=22.0, gain=16500.0, seeing=1.1),
            "r": Band(sky_mag=20.9, gain=14300.0, seeing=1.0),
            "z": Band(sky_mag=18.9, gain=12300.0, seeing=0.95),
        },
        picture=Recipe(("z", "r", "g"), (2.2, 3.4, 6.0), 1.0, 20.0, 0.03, keeps_colour=False),
    ),
    "hsc": Survey(
        pixel_scale=0.168,
        psf_fwhm=0.7,
        exposure_s=600.0,
        bands={
            "g": Band(sky_mag=22.0, gain=2.4e5, seeing=1.1),
            "r": Band(sky_mag=20.9, gain=3.1e5, seeing=1.0),
            "i": Band(sky_mag=20.2, gain=5.9e5, seeing=0.85),
            "z": Band(sky_mag=19.1, gain=3.1e5, seeing=0.95),
            "y": Band(sky_mag=18.3, gain=1.5e5, seeing=0.95),
        },
        picture=Recipe(("i", "r", "g"), (0.82, 1.0, 1.37), 0.04, 4.0, 0.002),
    ),
}


def nanomaggies(magnitude: float) -> float:
    """Flux of a magnitude (nanomaggies)."""
    return float(10.0 ** (0.4 * (22.5 - magnitude)))


def flux_ratio(band: str, g_r: float) -> float:
    """Flux in a band relative to r, for a galaxy of colour g−r (mag).

    Redder colours follow g−r on the straight locus that galaxies share: r−i is 0.04 + 0.4 (g−r),
    i−z 0.02 + 0.26 (g−r) and z−y 0.02 + 0.1 (g−r).
    """
    r_i, i_z, z_y = 0.04 + 0.4 * g_r, 0.02 + 0.26 * g_r, 0.02 + 0.1 * g_r
    magnitudes = {"g": g_r, "r": 0.0, "i": -r_i, "z": -r_i - i_z, "y": -r_i - i_z - z_y}
    return float(10.0 ** (-0.4 * magnitudes[band]))
