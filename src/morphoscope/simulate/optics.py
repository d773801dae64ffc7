"""The optics: how the atmosphere blurs, and profiles too steep to be painted on pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.simulate.bands import BANDS
from morphoscope.simulate.conditions import Conditions

if TYPE_CHECKING:
    import galsim

__all__ = ["blur", "margin", "psf", "sersic"]

Pixels = NDArray[np.float32]

# The engine already runs one process a core.
cv2.setNumThreads(1)

SUBSAMPLE = 2  # discs are painted on half pixels, 6 or 7 to the FWHM of an SDSS PSF
REACH = 3.0  # FWHM of the PSF at which its kernel ends; 0.5 % of the light lies outside
MOFFAT_BETA = 3.5  # half-integers have a closed Fourier transform, 10 times as fast as 3
TRUNCATION = 8.0  # half-light radii at which a Sersic profile ends, as in the survey's own models


def psf(conditions: Conditions, band: str) -> galsim.GSObject | None:
    """Make the Moffat PSF of a band (Moffat 1969, A&A 3, 455); none where the FWHM is 0."""
    import galsim

    if not conditions.psf_fwhm_arcsec:
        return None
    profile = galsim.Moffat(beta=MOFFAT_BETA, fwhm=conditions.psf_fwhm_arcsec * BANDS[band].seeing)
    return profile.shear(g1=conditions.psf_g1, g2=conditions.psf_g2)


def margin(conditions: Conditions, pixel_scale: float) -> int:
    """Pixels round a cutout from which light is blurred into it."""
    return math.ceil(REACH * conditions.psf_fwhm_arcsec / pixel_scale)


def blur(plane: Pixels, profile: galsim.GSObject | None, pixel_scale: float, edge: int) -> Pixels:
    """Convolve half pixels with the PSF, add them up to pixels and cut the edge off.

    Parameters
    ----------
    plane
        Shape (2 (ny + 2 edge), 2 (nx + 2 edge)), flux a half pixel.
    profile
        The PSF; nothing is convolved where there is none.
    pixel_scale
        Of the cutout (arcsec/pixel).
    edge
        As ``margin`` gives it (pixels).

    Returns
    -------
    Pixels
        Shape (ny, nx), flux a pixel.
    """
    if profile is not None and plane.any():
        side = 2 * SUBSAMPLE * edge + 1
        drawn = profile.drawImage(
            nx=side, ny=side, scale=pixel_scale / SUBSAMPLE, method="no_pixel"
        )
        # The PSF is the same turned by half a turn, so that OpenCV's correlation convolves.
        kernel = drawn.array / drawn.array.sum()
        plane = cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    ny, nx = (side // SUBSAMPLE for side in plane.shape)
    pixels = SUBSAMPLE**2 * cv2.resize(plane, (nx, ny), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[edge : ny - edge, edge : nx - edge])


def sersic(n: float, radius_arcsec: float, axial_ratio: float) -> galsim.GSObject:
    """Make a Sersic profile of unit flux, its major axis along x (Sersic 1963, BAAA 6, 41).

    Parameters
    ----------
    n
        Index, 1 exponential, 4 de Vaucouleurs.
    radius_arcsec
        Half-light radius along the major axis.
    axial_ratio
        b/a.
    """
    import galsim

    # A shear keeps areas, so the radius that GalSim is told is the geometric mean of the axes.
    radius = radius_arcsec * math.sqrt(axial_ratio)
    profile = galsim.Sersic(n, half_light_radius=radius, trunc=TRUNCATION * radius)
    return profile.shear(q=axial_ratio, beta=0 * galsim.degrees)
