"""Some sixty numbers that say how an image looks, whatever is in it: sky, noise, colours, light."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import StoreError

__all__ = ["SMALLEST_SIDE", "VERSION", "describe"]

Floats = NDArray[np.float32]
Features = NDArray[np.float64]

# Another number for any change of what is computed: a density is of its own descriptors only.
VERSION = 1
WHITE = 255.0
# Half a grey level: below it, differences between 8-bit images are rounding.
FAINT = 0.5 / WHITE
# Above it, a pixel of 8 bits is saturated; JPEG rounds.
TOP = 254 / WHITE
# Shares of the pixels below these are told apart no further.
RARE = 1e-3
SMALLEST_SIDE = 8
LEVELS = 4
# Of a level of fewer pixels a side, nothing can be averaged.
SMALLEST_LEVEL = 4
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
# Radii of the apertures over half of the side.
RADII = (0.1, 0.2, 0.3, 0.45, 0.7)
CENTRE = 0.3
# Images that are described at once: fewer cost more calls, more cost memory.
AT_ONCE = 16


def describe(images: NDArray[Any]) -> Features:
    """Describe prepared images.

    Parameters
    ----------
    images
        Shape ``(n, channel, y, x)``, uint8 or float on the same scale (white = 255). Values that
        are not finite count as zero.

    Returns
    -------
    numpy.ndarray
        Shape ``(n, d)``, finite; ``d`` depends on the shape of an image alone. In this order:
        brightness, sky, light, colours, and the power at each scale. A mirror image has the same
        numbers but for the rounding of odd sides.

    Raises
    ------
    StoreError
        The array does not hold images, or their sides are below 8 pixels.

    Examples
    --------
    >>> describe(np.zeros((2, 1, 16, 16), np.uint8)).shape[0]
    2
    """
    if images.ndim != 4 or min(images.shape[2:]) < SMALLEST_SIDE or not images.shape[1]:
        raise StoreError(
            f"an array {images.shape}",
            expected=f"(n, channel, y, x) with sides of at least {SMALLEST_SIDE} pixels",
        )
    if not len(images):
        return _describe(np.zeros((1, *images.shape[1:]), np.float32))[:0]
    parts = [images[i : i + AT_ONCE] for i in range(0, len(images), AT_ONCE)]
    return np.concatenate([_describe(_scaled(part)) for part in parts])


def _scaled(images: NDArray[Any]) -> Floats:
    """Values from 0 (black) to 1 (white), sides even."""
    ny, nx = (side - side % 2 for side in images.shape[2:])
    part = images[..., :ny, :nx].astype(np.float32)
    if images.dtype != np.uint8:
        np.nan_to_num(part, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    part /= np.float32(WHITE)
    return part


def _describe(images: Floats) -> Features:
    grey = images.mean(1)
    small = _binned(images)
    grey_small = small.mean(1)
    sky = _sky(small)
    found = [
        *_brightness(grey, grey_small),
        *_sky_numbers(grey_small, sky),
        *_light(grey_small, sky.mean(1)),
        *_edges(grey_small),
        *_colours(images, small, sky),
        *_scales(grey),
    ]
    return np.stack(found, axis=1).astype(np.float64)


def _binned(images: Floats) -> Floats:
    """Mean of each square of four pixels; of an odd side, the last row is left out."""
    ny, nx = (side - side % 2 for side in images.shape[-2:])
    rows = images[..., 0:ny:2, :nx] + images[..., 1:ny:2, :nx]
    binned: Floats = (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)
    return binned


def _brightness(grey: Floats, small: Floats) -> list[Floats]:
    """Quantiles (as roots, as photons vary), and shares of black and white pixels."""
    flat = np.sort(small.reshape(len(small), -1), axis=1)
    places = [round(q * (flat.shape[1] - 1)) for q in QUANTILES]
    levels = np.sign(flat[:, places]) * np.sqrt(np.abs(flat[:, places]))
    black, white = (grey <= 0).mean((1, 2)), (grey >= TOP).mean((1, 2))
    return [*levels.T, _log(black, RARE), _log(white, RARE)]


def _sky(small: Floats) -> Floats:
    """Median of each channel along the edge of the frame, shape (n, channel)."""
    return np.median(_border(small), axis=-1)


def _border(small: Floats) -> Floats:
    width = max(1, small.shape[-1] // 16)
    sides = small[..., :width, :], small[..., -width:, :]
    across = small[..., :width], small[..., -width:]
    return np.concatenate([side.reshape(*small.shape[:-2], -1) for side in (*sides, *across)], -1)


def _sky_numbers(small: Floats, sky: Floats) -> list[Floats]:
    """Grey level, colours and unevenness of the edge of the frame."""
    level = sky.mean(1)
    border = _border(small) - level[:, None]
    spread = np.abs(border).mean(1)
    colours = (sky - level[:, None]).T if sky.shape[1] > 1 else []
    root = np.sign(level) * np.sqrt(np.abs(level))
    return [root, *colours, _log(spread, FAINT), border.mean(1) / (spread + FAINT)]


def _light(small: Floats, sky: Floats) -> list[Floats]:
    """How much light there is above the sky, how it is spread, how lopsided it is."""
    above = small - sky[:, None, None]
    deficit = np.maximum(-above, 0).mean((1, 2))
    light = np.maximum(above, 0)
    total = light.mean((1, 2)) + FAINT
    lopsided = np.abs(light - light[:, ::-1, ::-1]).mean((1, 2)) / total
    sums = light.reshape(len(light), -1) @ _plane(*small.shape[1:])
    sums /= (total * light[0].size)[:, None]
    within, (x, y, xx, yy, xy) = sums[:, :-5].T, sums[:, -5:].T
    xx, yy, xy = xx - x * x, yy - y * y, xy - x * y
    size = np.maximum(xx + yy, 0)
    stretch = np.hypot(xx - yy, 2 * xy) / (size + RARE)
    numbers = [_log(total, FAINT), _log(deficit, FAINT), lopsided]
    return [*numbers, *within, np.sqrt(x * x + y * y), np.sqrt(size), stretch]


@cache
def _plane(ny: int, nx: int) -> Floats:
    """Apertures and moments as columns, shape (ny × nx, k); the half side is 1."""
    y, x = np.mgrid[:ny, :nx].astype(np.float32)
    x, y = (2 * x - nx + 1) / nx, (2 * y - ny + 1) / ny
    radius = np.hypot(x, y)
    columns = [*(radius <= r for r in RADII), x, y, x * x, y * y, x * y]
    return np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)


def _edges(small: Floats) -> list[Floats]:
    """Whether gradients have one direction, and whether they run along rows and columns."""
    gx = (small[:, 1:-1, 2:] - small[:, 1:-1, :-2]).reshape(len(small), -1)
    gy = (small[:, 2:, 1:-1] - small[:, :-2, 1:-1]).reshape(len(small), -1)
    xx, yy, xy = gx * gx, gy * gy, gx * gy
    power = xx + yy
    total = power.sum(1) + FAINT**2
    one = np.hypot((xx - yy).sum(1), 2 * xy.sum(1)) / total
    square = ((xx - yy) ** 2 - 4 * xy * xy) / (power + FAINT**4)
    return [one, square.sum(1) / total]


def _colours(images: Floats, small: Floats, sky: Floats) -> list[Floats]:
    """Light of each channel, in the middle and in all, and how their structure and noise agree."""
    channels = images.shape[1]
    if channels == 1:
        return []
    light = (small - sky[..., None, None]).reshape(*small.shape[:2], -1)
    inside = _plane(*small.shape[2:])[:, RADII.index(CENTRE)]
    found = [*_ratios(light @ inside / inside.sum()), *_ratios(light.mean(2))]
    spread = light.max(1) - light.min(1)
    found.append(_log(spread.mean(1), FAINT))
    found += _agreement(light)
    noise = _diagonal(images)
    found += _agreement(noise.reshape(*noise.shape[:2], -1))
    return found + _ratios(np.abs(noise).mean((2, 3)))


def _ratios(amounts: Floats) -> list[Floats]:
    """Logarithm of each channel's amount over the mean of all."""
    logs = np.log(np.maximum(amounts, 0) + FAINT)
    return list((logs - logs.mean(1, keepdims=True)).T)


def _agreement(values: Floats) -> list[Floats]:
    """Correlation of each channel with the mean of all, values of (n, channel, pixel)."""
    own = values - values.mean(2, keepdims=True)
    mean = own.mean(1, keepdims=True)
    norm = np.sqrt((own * own).sum(2) * (mean * mean).sum(2))
    # A flat channel agrees with nothing.
    return list(((own * mean).sum(2) / (norm + FAINT**2)).T)


def _diagonal(images: Floats) -> Floats:
    """Finest diagonal detail: where there is no galaxy, the noise."""
    rows = images[..., 0::2, :] - images[..., 1::2, :]
    detail: Floats = (rows[..., 0::2] - rows[..., 1::2]) * np.float32(0.5)
    return detail


def _scales(grey: Floats) -> list[Floats]:
    """Haar's wavelet at each scale: power, its share along diagonals, sparseness, and of the sky.

    Noise that is correlated has less of it at the finest scale than at the next.
    """
    found: list[Floats] = []
    for level in range(LEVELS):
        if min(grey.shape[1:]) < 2 * SMALLEST_LEVEL and level:
            break
        ny, nx = (side - side % 2 for side in grey.shape[1:])
        grey = grey[:, :ny, :nx]
        over, under = grey[:, 0::2], grey[:, 1::2]
        across = (over + under)[..., 0::2] - (over + under)[..., 1::2]
        down = over - under
        diagonal = (down[..., 0::2] - down[..., 1::2]) / 2
        upright = np.abs(across / 2) + np.abs(down[..., 0::2] + down[..., 1::2]) / 2
        power, slanted = upright.mean((1, 2)), np.abs(diagonal)
        rms = np.sqrt((upright * upright).mean((1, 2)))
        outer = slanted[:, _outside(*slanted.shape[1:])].mean(1)
        found += [_log(power, FAINT / 4), _log(slanted.mean((1, 2)), FAINT / 4)]
        found += [_log(rms / (power + FAINT / 4), RARE), _log(outer, FAINT / 4)]
        if level == 0:
            found.append(_log((upright == 0).mean((1, 2)), RARE))
        grey = _binned(grey)
    return found


@cache
def _outside(ny: int, nx: int) -> NDArray[np.bool_]:
    """Pixels beyond the largest circle in the frame."""
    y, x = np.mgrid[:ny, :nx].astype(np.float32)
    return np.asarray(np.hypot((2 * x - nx + 1) / nx, (2 * y - ny + 1) / ny) > 1)


def _log(values: Floats, least: float) -> Floats:
    logs: Floats = np.log(values + np.float32(least))
    return logs
