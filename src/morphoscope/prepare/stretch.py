"""Brightness stretches to 0 … 255, one curve for all channels so that colour is kept."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["stretch"]

Pixels = NDArray[Any]

# Share of the pixels (per cent) that may be black and white in the percentile stretch.
DARK, BRIGHT = 0.5, 99.5
# Least noise of a sky, for one that is flat: a grey level, or a dynamic range of 10⁴ in float.
LEAST_NOISE_LEVELS, LEAST_NOISE_SHARE = 1.0, 1e-4
# Softening in standard deviations of the sky: less shows fainter arms, and more of the noise.
SOFTENING = 8
# Standard deviation of a normal distribution in median absolute deviations.
SIGMA_PER_MAD = 1.4826


def stretch(pixels: Pixels, method: Literal["none", "asinh", "percentile"]) -> Pixels:
    """Stretch an image to uint8.

    Parameters
    ----------
    pixels
        (y, x, channel) uint8, or float in any unit of flux, finite.
    method
        ``none`` leaves uint8 as it is and maps float linearly from its least to its greatest
        value, the one linear map that clips nothing. ``percentile`` maps linearly between the
        0.5th and 99.5th percentile. ``asinh`` is linear near the sky and logarithmic above its
        noise: Lupton et al. (2004), PASP 116, 133, eq. 2, with the sky at its median, softened at
        eight standard deviations of its noise. Both are set by the brightest channel of each
        pixel, not by the mean as there, so that no channel saturates and a core keeps its shape.

    Returns
    -------
    numpy.ndarray
        (y, x, channel) uint8. An image of one single value stays as it is (uint8) or is black.

    Examples
    --------
    >>> ramp = np.linspace(0, 5, 4, dtype=np.float32).reshape(2, 2, 1)
    >>> stretch(ramp, "none")[..., 0].tolist()
    [[0, 85], [170, 255]]
    """
    if method == "none" and pixels.dtype == np.uint8:
        return pixels
    values = pixels.astype(np.float64)
    if method == "none":
        scaled = _linear(values, float(values.min()), float(values.max()))
    elif method == "percentile":
        black, white = np.percentile(values.max(axis=2), (DARK, BRIGHT))
        scaled = _linear(values, float(black), float(white))
    else:
        scaled = _asinh(values, LEAST_NOISE_LEVELS if pixels.dtype == np.uint8 else 0.0)
    if scaled is None:
        return pixels if pixels.dtype == np.uint8 else np.zeros(pixels.shape, np.uint8)
    levels: Pixels = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return levels


def _linear(values: Pixels, black: float, white: float) -> Pixels | None:
    if not white > black:
        return None
    scaled: Pixels = (values - black) / (white - black)
    return scaled


def _asinh(values: Pixels, least_noise: float) -> Pixels | None:
    brightest = values.max(axis=2, keepdims=True)
    sky = np.median(brightest)
    noise = SIGMA_PER_MAD * np.median(np.abs(brightest - sky))
    black, white = max(sky - noise, brightest.min()), brightest.max()
    if not white > black:
        return None
    softening = SOFTENING * max(noise, least_noise, LEAST_NOISE_SHARE * (white - black))
    above = np.maximum(brightest - black, 1e-6 * (white - black))
    curve = np.arcsinh(above / softening) / np.arcsinh((white - black) / softening)
    coloured: Pixels = np.maximum(values - black, 0) * (curve / above)
    return coloured
