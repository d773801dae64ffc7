"""Bands of measured flux to a prepared image: sky, masked pixels, size, and one stretch for all."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import ImageError
from morphoscope.prepare.geometry import cropped, pad_square, resize
from morphoscope.prepare.noise import add_noise
from morphoscope.prepare.stretch import SIGMA_PER_MAD, stretch
from morphoscope.prepare.view import enlarges, galaxy_view, view_of
from morphoscope.recipe import PrepareSettings

__all__ = ["fill", "prepare_bands", "resize_measured", "sky_and_noise"]

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]

WHITE = 255.0
# Sums over an image of such values still fit into float32.
LARGEST_FLUX = 1e30
# Width of the frame's rim in which the sky is measured, as a share of the side.
RIM = 1 / 8
# Share of the rim that must be measured for it to say what the sky is.
LEAST_RIM = 0.25
# A side may grow this much: what is smaller has no detail for the network to see.
LARGEST_GROWTH = 2.0
# Side of the centre, as a share of the side, which may not be masked either.
CENTRE = 1 / 4
# Share of a new pixel's area that must have been measured; else its neighbours fill it.
LEAST_MEASURED = 0.1
# Of a view's pixel, the share that masked ones may hold before it counts as masked.
HALF_HIDDEN = 0.5
# Reach of neighbours that fill masked pixels (pixels, standard deviation).
REACH = 2.0
# Least softening, as a share of white, where a sky has no noise.
LEAST_SOFTENING = 1e-4


def prepare_bands(pixels: Pixels, settings: PrepareSettings) -> Pixels:
    """Prepare the bands of one galaxy.

    In order: the sky of each band subtracted, padded to a square, cropped, resized by means over
    what is not masked (or, with ``view = "galaxy"``, the galaxy centred, levelled and scaled),
    stretched, noise added.

    Parameters
    ----------
    pixels
        (ny, nx, band) float in ``settings.unit`` a pixel, bands as in ``settings.bands``, row 0 on
        top; NaN and infinite where masked.
    settings
        The preparation, with ``channels = "bands"``.

    Returns
    -------
    numpy.ndarray
        (band, size, size). float16: 255 asinh(f / s) / asinh(w / s) of the flux f above the sky,
        with w = ``white`` and s = ``softening``, negative where f is, and above 255 where it is
        brighter than white. uint8: 0 … 255 by ``settings.stretch``, of each image on its own.

    Raises
    ------
    ImageError
        ``reason`` is ``not_multiband``, ``missing_band``, ``empty`` (nothing was measured in a
        band), ``too_small`` or ``masked``.

    Notes
    -----
    The stretch is that of Lupton, Gunn & Szalay (1999), AJ 118, 1406, eq. 3, alike in all bands,
    so that it can be undone. Means over areas keep the surface brightness: the flux remains that
    of a pixel of the file, not of the prepared image.

    Examples
    --------
    >>> chosen = {"channels": "bands", "bands": ["g", "r"], "depth": "float16", "size": 16}
    >>> settings = PrepareSettings(**chosen, stretch="asinh", white=10.0, softening=0.1)
    >>> flux = np.zeros((16, 16, 2), np.float32)
    >>> flux[8, 8] = 10, 1000
    >>> prepare_bands(flux, settings)[:, 8, 8].round().tolist()
    [255.0, 477.0]
    """
    _require_bands(pixels, settings)
    measured = np.isfinite(pixels)
    flux = np.clip(np.where(measured, pixels, 0), -LARGEST_FLUX, LARGEST_FLUX).astype(np.float32)
    levels = np.array(
        [sky_and_noise(flux[..., band], measured[..., band]) for band in range(flux.shape[2])]
    )
    flux = np.where(measured, flux - levels[:, 0].astype(np.float32), 0)
    image = _placed(flux, measured, settings)
    if settings.depth == "float16":
        image = _calibrated(image, levels[:, 1], settings)
    else:
        image = stretch(image, settings.stretch)
    image = add_noise(image, settings.add_noise)
    return np.ascontiguousarray(image.transpose(2, 0, 1), settings.depth)


def _placed(flux: Pixels, measured: Mask, settings: PrepareSettings) -> Pixels:
    """The part of the bands that the settings keep, (size, size, band)."""
    transform = None
    if settings.view == "galaxy":
        transform = view_of(flux, settings, mask=np.asarray(~measured.all(2)))
    if transform is not None:
        _require_side(min(flux.shape[:2]), settings)
        return _seen(flux, measured, transform, settings)
    flux = cropped(pad_square(flux, settings.pad), settings)
    measured = cropped(~pad_square(~measured, settings.pad), settings)
    _require_side(len(flux), settings)
    _require_measured(measured, settings)
    return resize_measured(flux, measured, settings.size)


def _seen(flux: Pixels, measured: Mask, transform: Pixels, settings: PrepareSettings) -> Pixels:
    """The view of a galaxy by what was measured of it."""
    if measured.all():
        return galaxy_view(flux, transform, settings)
    # What lies beyond the frame counts as sky, here as in padding.
    black = settings.model_copy(update={"pad": "zero"})
    hidden = galaxy_view((~measured).astype(np.float32), transform, black)
    _require_measured(hidden < HALF_HIDDEN, settings)
    if enlarges(transform):
        return galaxy_view(fill(flux, measured), transform, settings)
    total = galaxy_view(flux, transform, settings)
    enough = hidden <= 1 - LEAST_MEASURED
    means = np.divide(total, 1 - hidden, out=np.zeros_like(total), where=enough)
    return fill(means, enough)


def _require_bands(pixels: Pixels, settings: PrepareSettings) -> None:
    if pixels.ndim != 3 or 0 in pixels.shape or not np.issubdtype(pixels.dtype, np.floating):
        raise ImageError(
            f"an array {pixels.shape} of {pixels.dtype}",
            reason="not_multiband",
            expected="(ny, nx, band) of float",
        )
    if pixels.shape[2] != len(settings.bands):
        raise ImageError(
            f"the image has {pixels.shape[2]} bands",
            reason="missing_band",
            expected=", ".join(settings.bands),
        )


def _require_side(side: int, settings: PrepareSettings) -> None:
    if side * LARGEST_GROWTH < settings.size:
        raise ImageError(
            f"{side} pixels of the side are kept",
            reason="too_small",
            expected=f"at least {settings.size / LARGEST_GROWTH:g} for prepare.size = "
            f"{settings.size}",
            do="give larger cutouts, or set a smaller prepare.size",
        )


def _require_measured(measured: Mask, settings: PrepareSettings) -> None:
    """Raise where too little of the kept part was measured."""
    side = len(measured)
    if not measured.any(axis=(0, 1)).all():
        raise ImageError("nothing was measured in a band", reason="empty")
    edge = round(side * (1 - CENTRE) / 2)
    for part, name in (
        (measured, "whole"),
        (measured[edge : side - edge, edge : side - edge], "centre"),
    ):
        masked = 1 - part.mean(axis=(0, 1))
        band = int(masked.argmax())
        if masked[band] > settings.largest_masked:
            raise ImageError(
                f"{masked[band]:.0%} of the {name} is masked in the band {settings.bands[band]}",
                reason="masked",
                expected=f"at most {settings.largest_masked:.0%} (prepare.largest_masked)",
            )


def sky_and_noise(flux: Pixels, measured: Mask) -> tuple[float, float]:
    """Level of the sky and its noise in the rim of a frame (an eighth of the side).

    Parameters
    ----------
    flux
        (ny, nx), any unit.
    measured
        (ny, nx), False where masked. Where most of the rim is masked, the whole frame counts.

    Returns
    -------
    sky, noise
        Median and normalised median absolute deviation; zeros where nothing was measured.
    """
    edges = [max(1, round(side * RIM)) for side in flux.shape]
    whole = np.ones(flux.shape, bool)
    whole[edges[0] : -edges[0], edges[1] : -edges[1]] = False
    rim = whole & measured
    values = flux[rim if rim.sum() >= LEAST_RIM * whole.sum() else measured]
    if not values.size:
        return 0.0, 0.0
    sky = float(np.median(values))
    return sky, SIGMA_PER_MAD * float(np.median(np.abs(values - sky)))


def resize_measured(flux: Pixels, measured: Mask, size: int) -> Pixels:
    """Resize square bands ``(y, x, band)`` by what was measured of them.

    A new pixel is the mean over the measured part of its area; where less than a tenth of it was
    measured, its neighbours fill it, and far from any, the sky (0).
    """
    if measured.all():
        return resize(flux, size)
    if len(flux) < size:
        return resize(fill(flux, measured), size)
    weight = resize(measured.astype(np.float32), size)
    total = resize(np.where(measured, flux, 0), size)
    enough = weight >= LEAST_MEASURED
    means = np.divide(total, weight, out=np.zeros_like(total), where=enough)
    return fill(means, enough)


def fill(flux: Pixels, measured: Mask) -> Pixels:
    """Give masked pixels ``(y, x, band)`` the mean of near measured ones; 0 far from any."""
    if measured.all():
        return flux
    near = _blurred(measured.astype(np.float32))
    total = _blurred(np.where(measured, flux, 0).astype(np.float32))
    means = np.divide(total, near, out=np.zeros_like(total), where=near > 1e-3)
    filled: Pixels = np.where(measured, flux, means)
    return filled


def _blurred(image: Pixels) -> Pixels:
    blurred: Pixels = cv2.GaussianBlur(image, (0, 0), REACH, borderType=cv2.BORDER_CONSTANT)
    return blurred if blurred.ndim == 3 else blurred[..., None]


def _calibrated(flux: Pixels, noise: NDArray[np.float64], settings: PrepareSettings) -> Pixels:
    """Flux above the sky on the scale of grey levels, white = 255, in float32."""
    softening = np.full(len(noise), settings.softening)
    if not settings.softening:
        softening = np.clip(noise, LEAST_SOFTENING * settings.white, settings.white)
    curve = np.arcsinh(flux / softening) / np.arcsinh(settings.white / softening)
    return np.asarray(WHITE * curve, np.float32)
