"""The g, r and i bands of an SDSS-like frame, and how they become one picture.

Fluxes are in nanomaggies (22.5 mag = 1). Levels are those of the survey in a typical night:
York et al. 2000 (AJ 120, 1579) for the camera, Gunn et al. 1998 (AJ 116, 3040) for its gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BANDS", "Band", "composite", "flux_ratio", "nanomaggies"]


@dataclass(frozen=True)
class Band:
    """One band of the camera.

    Attributes
    ----------
    sky_mag
        Surface brightness of the night sky (mag/arcsec²).
    gain
        Electrons that one nanomaggy gives in one exposure.
    seeing
        FWHM of the PSF relative to r.
    scale
        Weight in the picture; these make a galaxy of solar colour look white.
    """

    sky_mag: float
    gain: float
    seeing: float
    scale: float

    def sky_sigma(self, pixel_scale: float) -> float:
        """Noise of the sky in one pixel (nanomaggies)."""
        electrons = nanomaggies(self.sky_mag) * pixel_scale**2 * self.gain
        return float(np.sqrt(electrons)) / self.gain


BANDS = {
    "g": Band(sky_mag=21.8, gain=850.0, seeing=1.05, scale=1.37),
    "r": Band(sky_mag=20.9, gain=900.0, seeing=1.0, scale=1.0),
    "i": Band(sky_mag=20.3, gain=750.0, seeing=0.97, scale=0.82),
}

STRETCH = 1.5
SOFTENING = 2.9
PEDESTAL = 0.022


def nanomaggies(magnitude: float) -> float:
    """Flux of a magnitude (nanomaggies)."""
    return float(10.0 ** (0.4 * (22.5 - magnitude)))


def flux_ratio(band: str, g_r: float) -> float:
    """Flux in a band relative to r, for a galaxy of colour g−r (mag).

    The colour r−i follows g−r on the straight locus that galaxies share, 0.04 + 0.4 (g−r).
    """
    magnitudes = {"g": g_r, "r": 0.0, "i": -(0.04 + 0.4 * g_r)}
    return float(10.0 ** (-0.4 * magnitudes[band]))


def composite(
    i: NDArray[np.float32], r: NDArray[np.float32], g: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Compose three bands into one picture by an asinh stretch that keeps colours.

    With I = (R + G + B) / 3, each channel is multiplied by f(I) / I, where
    f(I) = a asinh(Q I / s); where a channel would exceed white, all three are divided by the
    largest, so that bright centres keep their colour.

    Parameters
    ----------
    i, r, g
        Sky-subtracted bands, shape (y, x), nanomaggies a pixel.

    Returns
    -------
    NDArray
        Shape (y, x, 3), uint8, red first.

    Notes
    -----
    Lupton et al. 2004 (PASP 116, 133), section 3 and equation 2. The normalisation, by which a
    tenth of the stretch is a tenth of white, is that of ``astropy.visualization``.

    Examples
    --------
    >>> import numpy as np
    >>> dark = np.zeros((1, 1), np.float32)
    >>> composite(dark + 1000, dark, dark).tolist()
    [[[255, 0, 0]]]
    """
    bands = zip((i, r, g), (BANDS[name].scale for name in "irg"))
    channels = np.stack([band * scale + PEDESTAL for band, scale in bands], axis=-1)
    intensity = channels.mean(axis=-1, keepdims=True)
    positive = np.maximum(intensity, 1e-6)
    white = 0.1 / np.arcsinh(0.1 * SOFTENING)
    channels *= white * np.arcsinh(SOFTENING * positive / STRETCH) / positive
    channels /= np.maximum(channels.max(axis=-1, keepdims=True), 1.0)
    return np.asarray(np.rint(255 * np.clip(channels, 0, 1)), dtype=np.uint8)
