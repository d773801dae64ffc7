"""Bands to one picture, by the recipe of the survey."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from morphoscope.simulate.bands import Recipe

__all__ = ["composite"]


def composite(
    bands: dict[str, NDArray[np.float32]], recipe: Recipe, *, per_pixel: float = 1.0
) -> NDArray[np.uint8]:
    """Compose three bands into one picture by an asinh stretch that keeps colours.

    With I = (R + G + B) / 3, each channel is multiplied by f(I) / I, where
    f(I) = a asinh(Q I / s); where a channel would exceed white, all three are divided by the
    largest, so that bright centres keep their colour, or each is cut.

    Parameters
    ----------
    bands
        Sky-subtracted bands, each of shape (y, x), nanomaggies a pixel.
    recipe
        Which bands, their weights and the stretch.
    per_pixel
        Area of a pixel of the survey over that of these bands.

    Returns
    -------
    NDArray
        Shape (y, x, 3), uint8, red first.

    Notes
    -----
    Lupton et al. 2004 (PASP 116, 133), section 3 and equation 2. The normalisation, by which a
    tenth of the stretch is a tenth of white, is that of ``astropy.visualization``; that of the
    Legacy viewer is asinh(Q I) / √Q.

    Examples
    --------
    >>> import numpy as np
    >>> from morphoscope.simulate.bands import SURVEYS
    >>> dark = np.zeros((1, 1), np.float32)
    >>> composite({"i": dark + 1000, "r": dark, "g": dark}, SURVEYS["sdss"].picture).tolist()
    [[[255, 0, 0]]]
    """
    first = bands[recipe.bands[0]]
    channels = np.empty((3, *first.shape), np.float32)
    for channel, name, scale in zip(channels, recipe.bands, recipe.scales):
        np.multiply(bands[name], np.float32(scale * per_pixel), out=channel)
        channel += np.float32(recipe.pedestal)
    if not recipe.keeps_colour:
        np.maximum(channels, 0, out=channels)
    intensity = np.maximum((channels[0] + channels[1] + channels[2]) / 3, np.float32(1e-6))
    reach = np.float32(recipe.softening / recipe.stretch)
    channels *= np.float32(_white(recipe)) * np.arcsinh(reach * intensity) / intensity
    if recipe.keeps_colour:
        channels /= np.maximum(channels.max(axis=0), 1.0)
    np.clip(channels, 0, 1, out=channels)
    return np.ascontiguousarray(np.rint(255 * channels).astype(np.uint8).transpose(1, 2, 0))


def _white(recipe: Recipe) -> float:
    if recipe.keeps_colour:
        return 0.1 / math.asinh(0.1 * recipe.softening)
    return 1 / math.sqrt(recipe.softening)
