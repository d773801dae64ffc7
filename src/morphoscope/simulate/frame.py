"""The grid of pixels that galaxies are painted on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame", "Pixels"]

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """A square grid of pixels on the sky, x to the right and y upwards.

    Attributes
    ----------
    size
        Pixels a side.
    pixel_scale
        Arcsec a pixel.
    x, y
        Where the galaxy's centre is, from the middle of the grid (arcsec).
    finest
        Side of the smallest cell that a disc is painted on (pixels). Cells of 0.577, and what
        reads them off, blur as little as a pixel itself does.
    """

    size: int
    pixel_scale: float
    x: float = 0.0
    y: float = 0.0
    finest: float = 0.577

    def axes(self) -> tuple[Pixels, Pixels]:
        """Distance of each pixel from the galaxy's centre (arcsec); shapes (1, x) and (y, 1)."""
        along = (np.arange(self.size, dtype=np.float32) - (self.size - 1) / 2) * self.pixel_scale
        right, up = along - np.float32(self.x), along - np.float32(self.y)
        return right.astype(np.float32)[None, :], up.astype(np.float32)[:, None]

    def window(self, reach: float) -> tuple[Frame, tuple[slice, slice]]:
        """Give the part of the pixels within a reach of the centre (arcsec), and where it lies."""
        middle, pixels = (self.size - 1) / 2, math.ceil(reach / self.pixel_scale)
        column, row = (round(at / self.pixel_scale + middle) for at in (self.x, self.y))
        side = min(2 * pixels + 1, self.size)
        left, low = (min(max(k - pixels, 0), self.size - side) for k in (column, row))
        shift = middle - (side - 1) / 2
        x, y = (at + (shift - k) * self.pixel_scale for at, k in ((self.x, left), (self.y, low)))
        part = slice(low, low + side), slice(left, left + side)
        return replace(self, size=side, x=x, y=y), part

    def moved(self, x: float, y: float) -> Frame:
        """Give the same pixels for a galaxy so far right of and above this one (arcsec)."""
        return replace(self, x=self.x + x, y=self.y + y)
