"""One image to the shape of the galaxy in its middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.clean.checks import TOP_LEVEL, blank
from morphoscope.measure.growth import half_light_and_concentration
from morphoscope.measure.isophotes import axial_ratio_of_isophotes
from morphoscope.recipe import CleanSettings
from morphoscope.sources.corners import blank_corners, joined
from morphoscope.sources.moments import even_out
from morphoscope.sources.sky import Frame, open_frame
from morphoscope.sources.source import Source, find_source, surroundings

__all__ = ["Shape", "measure_shape"]

Mask = NDArray[np.bool_]
LIMITS = CleanSettings()
SMALLEST_SIDE = 10
SMALLEST_SOURCE = 12
# Share of the footprint that may be holes, or at the top level, without a word.
ALLOWED = 0.02
# A flat top has more pixels than chance and two equal neighbours give.
FLAT_TOP = 9
SEPARATOR = "|"


@dataclass(frozen=True)
class Shape:
    """Shape of a galaxy; all but the flag not-a-number where it could not be measured.

    Attributes
    ----------
    axial_ratio
        b/a from the second moments of the light inside the isophotal footprint.
    axial_ratio_isophote
        Median b/a of ellipses fitted to the isophotes in the outer half of the footprint.
    position_angle_deg
        Of the major axis, anticlockwise from the picture's upward direction, 0 ≤ … < 180.
    half_light_radius
        Semi-major axis of the ellipse that holds half of the light (pixels).
    semi_major
        Square root of the larger second moment (pixels).
    x, y
        Barycentre, from the middle of the first pixel, row 0 on top (pixels).
    signal_to_noise
        Light of the footprint over the noise of its pixels, taken as independent.
    concentration
        5 log10(r80 / r20).
    flag
        Reasons for caution or for no measurement, joined by ``|``; None where there are none.
    """

    axial_ratio: float = np.nan
    axial_ratio_isophote: float = np.nan
    position_angle_deg: float = np.nan
    half_light_radius: float = np.nan
    semi_major: float = np.nan
    x: float = np.nan
    y: float = np.nan
    signal_to_noise: float = np.nan
    concentration: float = np.nan
    flag: str | None = None


def measure_shape(
    pixels: NDArray[Any], mask: Mask | None = None, *, psf_fwhm: float = 0.0
) -> Shape:
    """Measure the galaxy in the middle of an image.

    The sky's level and noise are those of the frame's rim. Sources are connected pixels above it;
    where they touch they are parted as SExtractor does (Bertin & Arnouts 1996, A&AS 117, 393). The
    galaxy is the one in, or nearest to, the middle. Where a neighbour covers it, its opposite half
    is put in.

    Parameters
    ----------
    pixels
        Shape ``(ny, nx)`` or ``(ny, nx, channel)``, row 0 on top; the channels are averaged.
        Not-a-number and infinite pixels are ignored.
    mask
        True = ignore, shape ``(ny, nx)``.
    psf_fwhm
        Full width at half maximum of the point-spread function (pixels), taken as Gaussian and
        taken away from both axial ratios and from ``semi_major``; 0: none is.

    Returns
    -------
    Shape
        Flags without a measurement: ``too_small``, ``blank``, ``no_source``. Flags beside one:
        ``cut_by_edge``, ``masked``, ``saturated``, ``unresolved``.

    Raises
    ------
    ValueError
        The pixels or the mask have another shape, or `psf_fwhm` is negative.

    Examples
    --------
    >>> y, x = np.mgrid[-32:33, -32:33]
    >>> shape = measure_shape(1000 * np.exp(-np.hypot(y, x / 0.5) / 5))
    >>> round(shape.axial_ratio, 2), round(shape.position_angle_deg)
    (0.5, 0)
    """
    _check(pixels, mask, psf_fwhm)
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        return Shape(flag="too_small")
    cube = pixels if pixels.ndim == 3 else pixels[..., None]
    mask = joined(mask, blank_corners(cube))
    frame = None if blank(cube, LIMITS) else open_frame(cube, mask)
    if frame is None or not frame.light.any():
        return Shape(flag="blank")
    source = find_source(frame)
    if source is None:
        return Shape(flag="no_source")
    if np.count_nonzero(source.footprint) < SMALLEST_SOURCE:
        return Shape(flag="too_small")
    return _measured(cube, frame, source, psf_fwhm)


def _check(pixels: NDArray[Any], mask: Mask | None, psf_fwhm: float) -> None:
    if pixels.ndim not in (2, 3):
        raise ValueError(f"pixels of shape {pixels.shape} are no image (ny, nx) or (ny, nx, band)")
    if mask is not None and mask.shape != pixels.shape[:2]:
        raise ValueError(f"the mask is {mask.shape}, the image {pixels.shape[:2]}")
    if not 0 <= psf_fwhm < np.inf:
        raise ValueError(f"psf_fwhm is {psf_fwhm}; it must be 0 or more pixels")


def _measured(cube: NDArray[Any], frame: Frame, source: Source, psf_fwhm: float) -> Shape:
    flags = _flags(cube, frame, source)
    near, own, (top, left) = surroundings(frame, source)
    light, even, moments = even_out(near, own)
    if moments is None:
        return Shape(flag="no_source")
    plain, real = moments.ellipse(), moments.ellipse(psf_fwhm)
    hidden = own.others | near.holes
    area = int(np.count_nonzero(even.footprint))
    isophote = axial_ratio_of_isophotes(near.light, hidden, plain, area, psf_fwhm)
    half, concentration = half_light_and_concentration(near.light, hidden, plain, even.footprint)
    total = float(light[even.footprint].sum(dtype=np.float64))
    return Shape(
        real.axial_ratio,
        isophote,
        real.position_angle,
        half,
        real.semi_major,
        x=plain.x + left,
        y=plain.y + top,
        signal_to_noise=total / (frame.noise * area**0.5),
        concentration=concentration,
        flag=SEPARATOR.join(flags if real.resolved else [*flags, "unresolved"]) or None,
    )


def _flags(cube: NDArray[Any], frame: Frame, source: Source) -> list[str]:
    inside = source.footprint
    borders = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
    found = {
        "cut_by_edge": any(border.any() for border in borders),
        "masked": float(frame.holes[inside].mean()) > ALLOWED,
        "saturated": _saturated(cube[inside], frame.holes[inside]),
    }
    return [name for name, true in found.items() if true]


def _saturated(values: NDArray[Any], holes: Mask) -> bool:
    """Whether a source has a flat top: of 8 bits at the top level, of floats at its maximum."""
    values = values[~holes]
    if not values.size:
        return False
    top = TOP_LEVEL if values.dtype == np.uint8 else values.max(0)
    white = np.count_nonzero((values >= top).all(1))
    return bool(white > max(FLAT_TOP, ALLOWED * len(values)))
