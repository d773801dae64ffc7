"""FITS cubes: all bands of one cutout in nanomaggies, with the place on the sky."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np

from morphoscope.simulate.frame import Pixels
from morphoscope.simulate.view import View

__all__ = ["draw_place", "fits_cube"]


def draw_place(rng: np.random.Generator) -> tuple[float, float]:
    """Draw right ascension and declination (deg, ICRS), uniform on the sphere."""
    return rng.uniform(0, 360), math.degrees(math.asin(rng.uniform(-1, 1)))


def fits_cube(
    bands: dict[str, Pixels], view: View, place: tuple[float, float], x: float, y: float
) -> bytes:
    """Write bands as one FITS file.

    Parameters
    ----------
    bands
        Band to pixels of shape (y, x), y upwards, nanomaggies a pixel, from blue to red.
    view
        Survey and pixels of the cutout.
    place
        Right ascension and declination of the galaxy's centre (deg, ICRS).
    x, y
        The galaxy's centre (pixels from 0, y upwards).

    Returns
    -------
    bytes
        A primary array (band, y, x), float32, north up and east to the left.

    Notes
    -----
    The projection is gnomonic (Calabretta & Greisen 2002, A&A 395, 1077).
    """
    from astropy.io import fits

    header = fits.Header()
    header["BUNIT"] = ("nanomaggy", "flux of a pixel; 22.5 mag is 1")
    header["SURVEY"] = (view.name, "survey that is simulated")
    header["BANDS"] = (",".join(bands), "planes of the cube, first to last")
    for number, name in enumerate(bands, 1):
        header[f"FILTER{number}"] = (name, f"band of plane {number}")
    header["EXPTIME"] = (view.survey.exposure_s, "exposure time in r (s)")
    header["PIXSCALE"] = (view.pixel_scale, "pixel scale (arcsec/pixel)")
    header["MAGZERO"] = (22.5, "magnitude of a flux of 1")
    degrees = view.pixel_scale / 3600
    header["WCSAXES"] = 2
    for axis, kind, value, pixel in zip((1, 2), ("RA---TAN", "DEC--TAN"), place, (x, y)):
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg"
        header[f"CRVAL{axis}"] = value
        header[f"CRPIX{axis}"] = pixel + 1
    header["CD1_1"], header["CD1_2"] = -degrees, 0.0
    header["CD2_1"], header["CD2_2"] = 0.0, degrees
    header["RADESYS"] = "ICRS"
    cube = np.stack(list(bands.values())).astype(np.float32)
    written = BytesIO()
    fits.PrimaryHDU(cube, header).writeto(written)
    return written.getvalue()
