"""What one cutout shows: which survey, how large its pixels are, and how it was resampled."""

from __future__ import annotations

import math
from dataclasses import dataclass

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.bands import SURVEYS, Survey
from morphoscope.simulate.streams import generator, log_uniform

__all__ = ["View", "draw_view"]

FEWEST_PIXELS = 16


@dataclass(frozen=True)
class View:
    """The pixels of one cutout.

    Attributes
    ----------
    name
        Survey.
    native_scale
        Of the survey's pixels (arcsec/pixel).
    size
        Pixels a side of the cutout.
    zoom
        Pixels of the survey in one of the cutout's. Above 1 light and noise of several are added
        up; below 1 the survey's own pixels are drawn and interpolated, so that noise is blotchy.
    """

    name: str
    native_scale: float
    size: int
    zoom: float = 1.0

    @property
    def survey(self) -> Survey:
        return SURVEYS[self.name]

    @property
    def drawn(self) -> int:
        """Pixels a side that are drawn, before any interpolation."""
        if self.zoom >= 1:
            return self.size
        return max(math.ceil(self.size * self.zoom), FEWEST_PIXELS)

    @property
    def drawn_scale(self) -> float:
        """Arcsec a pixel that is drawn."""
        return self.native_scale * max(self.zoom, 1.0)

    @property
    def pixel_scale(self) -> float:
        """Arcsec a pixel of the cutout."""
        return self.drawn_scale * (self.drawn / self.size)

    @classmethod
    def plain(cls, settings: SimulateSettings, zoom: float = 1.0, name: str = "") -> View:
        """Give the view that settings name; of a mixture of surveys that of SDSS."""
        name = name or ("sdss" if settings.survey == "mixed" else settings.survey)
        scale = settings.pixel_scale or SURVEYS[name].pixel_scale
        return cls(name, scale, settings.size, zoom)


def draw_view(seed: int, index: int, settings: SimulateSettings) -> View:
    """Draw which survey shows a galaxy, and how its cutout was resampled.

    Examples
    --------
    >>> draw_view(1, 17, SimulateSettings()).pixel_scale
    0.396
    """
    if settings.zoom[0] == settings.zoom[1] and settings.survey != "mixed":
        return View.plain(settings, settings.zoom[0])
    rng = generator(seed, index, 3)
    zoom = log_uniform(rng, *settings.zoom)
    name = list(SURVEYS)[int(rng.integers(len(SURVEYS)))]
    return View.plain(settings, zoom, name if settings.survey == "mixed" else "")
