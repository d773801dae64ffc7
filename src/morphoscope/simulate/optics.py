"""The optics: how atmosphere and telescope blur, and stars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from morphoscope.simulate.frame import Frame, Pixels

__all__ = ["Psf", "Star", "blur", "finest_cell", "margin", "paint_stars"]

# A Moffat profile of β = 3.5 (Moffat 1969, A&A 3, 455) as three Gaussians: share of the light, and
# standard deviation over FWHM. Nowhere are they off by more than 0.13 % of the peak.
GAUSSIANS = ((0.2307, 0.3338), (0.5827, 0.5264), (0.1866, 0.9603))
REACH = 3.3  # standard deviations at which a kernel ends
NARROW = 0.6  # pixels, a standard deviation below which a kernel has three values
FINEST_OF_PSF = 0.25  # of its FWHM
PIXEL_VARIANCE = 1 / 12  # of a pixel itself, in pixels²


@dataclass(frozen=True)
class Psf:
    """A point-spread function.

    Attributes
    ----------
    fwhm_arcsec
        Full width at half maximum; 0: no PSF.
    stretch
        Width along x over the mean width, that along y being its inverse.
    """

    fwhm_arcsec: float
    stretch: float = 1.0

    def widths(self, pixel_scale: float) -> list[tuple[float, float, float]]:
        """Share of the light, and standard deviations along x and y (pixels), of each Gaussian."""
        fwhm = self.fwhm_arcsec / pixel_scale
        return [
            (share, width * fwhm * self.stretch, width * fwhm / self.stretch)
            for share, width in GAUSSIANS
        ]


@dataclass(frozen=True)
class Star:
    """A star.

    Attributes
    ----------
    x, y
        Right of and above the middle of the frame (arcsec).
    flux
        In each band (nanomaggies).
    """

    x: float
    y: float
    flux: tuple[float, ...]


def margin(psf_fwhm_arcsec: float, pixel_scale: float) -> int:
    """Pixels round a cutout from which light is blurred into it; beyond, it goes on as it ends."""
    return min(math.ceil(psf_fwhm_arcsec / pixel_scale), 8)


def finest_cell(psf_fwhm_arcsec: float, pixel_scale: float) -> float:
    """Side of the cells that are worth painting (pixels); the PSF widens by 2 % at most."""
    return min(max(FINEST_OF_PSF * psf_fwhm_arcsec / pixel_scale, 0.577), 0.8)


def blur(plane: Pixels, psf: Psf, pixel_scale: float) -> Pixels:
    """Convolve with the PSF.

    Parameters
    ----------
    plane
        Shape (y, x), flux a pixel.
    psf
        The PSF; nothing is convolved where its FWHM is 0.
    pixel_scale
        Of the plane (arcsec/pixel).
    """
    if not psf.fwhm_arcsec:
        return plane
    blurred = np.zeros_like(plane)
    for share, x, y in psf.widths(pixel_scale):
        if min(x, y) < NARROW:
            kernels = _kernel(x), _kernel(y)
            part = cv2.sepFilter2D(plane, -1, *kernels, borderType=cv2.BORDER_REPLICATE)
        else:
            size = (2 * math.ceil(REACH * x) + 1, 2 * math.ceil(REACH * y) + 1)
            part = cv2.GaussianBlur(plane, size, x, sigmaY=y, borderType=cv2.BORDER_REPLICATE)
        blurred = cv2.scaleAdd(part, share, blurred)
    return blurred


def _kernel(width: float) -> Pixels:
    """A Gaussian; of a narrow one, whose samples would be too narrow, three of its variance."""
    if width < NARROW:
        side = width**2 / 2
        return np.array([side, 1 - 2 * side, side], np.float32)
    reach = math.ceil(REACH * width)
    return np.asarray(cv2.getGaussianKernel(2 * reach + 1, width, cv2.CV_32F))


def paint_stars(stars: Sequence[Star], frame: Frame, band: int, psf: Psf) -> Pixels:
    """Paint stars through the PSF: shape (y, x), nanomaggies a pixel."""
    pixels = np.arange(frame.size, dtype=np.float32) - np.float32((frame.size - 1) / 2)
    widths = np.array(psf.widths(frame.pixel_scale), np.float32)
    places = np.array([(star.x, star.y) for star in stars], np.float32) / frame.pixel_scale
    flux = np.array([star.flux[band] for star in stars], np.float32)
    along = _profile(pixels - places[:, :1], widths[:, 1]) * (widths[:, :1] * flux)[:, :, None]
    up = _profile(pixels - places[:, 1:], widths[:, 2])
    many = len(widths) * len(stars)
    return np.asarray(up.reshape(many, -1).T @ along.reshape(many, -1))


def _profile(distance: Pixels, widths: Pixels) -> Pixels:
    """Light of Gaussians in pixels at a distance, the width of a pixel added to their own.

    Shape (width, star, pixel) for distances (star, pixel).
    """
    variance = (widths**2 + np.float32(PIXEL_VARIANCE))[:, None, None]
    light = np.exp(distance**2 / (-2 * variance)) / np.sqrt(np.float32(2 * math.pi) * variance)
    # What the samples of a narrow one add up to depends on where it is (Poisson's summation).
    turn = np.cos(np.float32(2 * math.pi) * distance[:, :1])
    total = 1 + 2 * turn * np.exp(np.float32(-2 * math.pi**2) * variance)
    return np.asarray(light / total, np.float32)
