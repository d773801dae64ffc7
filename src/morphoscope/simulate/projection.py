"""From the plane of a disc to the sky: tilt, thickness and dust.

A disc whose light is f(X, Y) ζ(Z) is seen at v = Y cos i + Z sin i. Along v it is therefore f,
squeezed by cos i and convolved with ζ, which stretches with sin i. Each row of the sky is a sum
over the rows of the plane, with weights that are integrals over both; this is exact at every tilt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.simulate.frame import Pixels

__all__ = ["Layer", "Tilt", "layers"]

KNOTS = 257
TALLEST = 5.0  # scale heights; sech² has a ten-thousandth of its light beyond
THINNEST = 1e-3  # of a row, below which a kernel is as good as sharp
FLATTEST = 0.1  # of a row, the least that a row of the plane is thought to be deep
MIXING = 2.0  # scale heights of dust that a line of sight crosses within one scale length of light
BLOCK = 32  # rows of the sky that are summed together, over no more rows than they see


@dataclass(frozen=True)
class Tilt:
    """How a plane of n × n cells is seen.

    Attributes
    ----------
    inclination
        0 face-on, 90 edge-on (deg).
    n, cell
        Cells of the plane, and the side of one (arcsec).
    rows, row
        Rows of the sky, and the height of one (arcsec).
    """

    inclination: float
    n: int
    cell: float
    rows: int
    row: float

    @property
    def cosine(self) -> float:
        return max(math.cos(math.radians(self.inclination)), 0.0)

    @property
    def sine(self) -> float:
        return math.sin(math.radians(self.inclination))

    def weights(self, kernels: NDArray[np.float32], reach: float) -> tuple[Pixels, ...]:
        """Weights (row of the sky, row of the plane) of kernels given from −reach to reach."""
        scale = (KNOTS - 1) / (2 * reach)
        v = (np.arange(self.rows) - (self.rows - 1) / 2) * (self.row * scale)
        y = (np.arange(self.n) - (self.n - 1) / 2) * (self.cell * self.cosine * scale)
        along = (v + (KNOTS - 1) / 2).astype(np.float32)[:, None] - y.astype(np.float32)[None, :]
        found = cv2.remap(kernels, along, np.zeros_like(along), cv2.INTER_LINEAR)
        return tuple(cv2.split(found))

    def seen(self, first: int, last: int, reach: float) -> slice:
        """Rows of the plane that some rows of the sky see through kernels of a reach."""
        low, high = ((k - (self.rows - 1) / 2) * self.row for k in (first, last - 1))
        deep, middle = max(self.cell * self.cosine, 1e-9), (self.n - 1) / 2
        start = math.floor(max((low - reach) / deep + middle, 0))
        return slice(start, max(math.ceil(min((high + reach) / deep + middle + 1, self.n)), start))


@dataclass(frozen=True)
class Layer:
    """A layer of dust in the middle of a disc.

    Attributes
    ----------
    height
        Scale height (arcsec).
    length
        Scale length of the light about it (arcsec).
    near_side
        As of the disc.
    """

    height: float
    length: float
    near_side: int = 1

    def mixed(self, tilt: Tilt) -> float:
        """Share of the light that is mixed with the dust along the line of sight, not beside it.

        Seen from near the edge, a line of sight is within the layer all through the disc.
        """
        return math.exp(-((self.length * tilt.cosine / (MIXING * self.height)) ** 2))


def layers(plane: Pixels, height: float, tilt: Tilt, dust: Layer | None = None) -> list[Pixels]:
    """See a plane of light at a tilt, in parts before, among and behind a layer of dust.

    Parameters
    ----------
    plane
        Shape (n, n).
    height
        Scale height of its light, which falls as sech² (arcsec).
    tilt
        How it is seen.
    dust
        The layer of dust, if there is one.

    Returns
    -------
    list
        The whole, without dust; or the parts before, among and behind it. Each of shape
        (rows, n).
    """
    kernels, reach = _kernels(height, tilt, dust)
    weights = tilt.weights(kernels, reach)[: 3 if dust else 1]
    parts = [np.empty((tilt.rows, tilt.n), np.float32) for _ in weights]
    for first in range(0, tilt.rows, BLOCK):
        block = slice(first, min(first + BLOCK, tilt.rows))
        rows = tilt.seen(block.start, block.stop, reach)
        for part, weight in zip(parts, weights):
            np.matmul(weight[block, rows], plane[rows], out=part[block])
    return parts


def _kernels(height: float, tilt: Tilt, dust: Layer | None) -> tuple[NDArray[np.float32], float]:
    """Light of a row of the plane over distance, integrated over rows of both grids.

    The table of shape (1, distance, part) runs over distances from minus to plus what is given
    with it (arcsec).
    """
    tall = max(height * tilt.sine, THINNEST * tilt.row)
    # Edge-on a row of the plane has no depth; it is given that of a few knots.
    deep = max(tilt.cell * tilt.cosine, FLATTEST * tilt.row, 4 * TALLEST * tall / KNOTS)
    reach = TALLEST * tall + (tilt.row + deep) / 2 + 0.1 * tilt.row
    step = 2 * reach / (KNOTS - 1)
    knots = np.arange(KNOTS) * step - reach
    profile = 1 / np.cosh(np.minimum(np.abs(knots) / tall, 40)) ** 2
    profile /= profile.sum()
    whole = _integrated(profile, step, tilt.row, deep)
    if not dust:
        return whole.astype(np.float32)[None, :, None], reach
    # Of the dust, this share lies behind, less that before: all to none as Z crosses the layer.
    crossed = np.tanh(dust.near_side * knots / max(dust.height * tilt.sine, THINNEST * tilt.row))
    beside = (1 - dust.mixed(tilt)) * profile * np.maximum(crossed, 0)
    front = _integrated(beside, step, tilt.row, deep)
    back = front[::-1]
    parts = np.stack([front, whole - front - back, back, np.zeros(KNOTS)], axis=-1)
    return parts.astype(np.float32)[None], reach


def _integrated(
    profile: NDArray[np.float64], step: float, row: float, deep: float
) -> NDArray[np.float64]:
    """Convolve a profile with two boxes, as differences of its second integral."""
    once = np.cumsum(profile)
    # The second sum at a knot reaches a step beyond it.
    twice = (np.cumsum(once) - once) * step
    most = math.ceil((row + deep) / (2 * step)) + 1
    beyond = twice[-1] + np.arange(1, most + 1) * (step * once[-1])
    longer = np.concatenate([np.zeros(most), twice, beyond])
    convolved = np.zeros_like(profile)
    for sign, offset in ((1, row + deep), (1, -row - deep), (-1, row - deep), (-1, deep - row)):
        whole = math.floor(offset / (2 * step))
        part, first = offset / (2 * step) - whole, most + whole
        convolved += sign * (1 - part) * longer[first : first + profile.size]
        convolved += sign * part * longer[first + 1 : first + 1 + profile.size]
    return convolved / deep
