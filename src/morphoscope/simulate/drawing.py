"""One galaxy from seed and index to its files and its row of truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.conditions import Conditions, draw_conditions
from morphoscope.simulate.cubes import draw_place, fits_cube
from morphoscope.simulate.frame import Pixels
from morphoscope.simulate.galaxy import Galaxy, truth
from morphoscope.simulate.picture import blank, observe, picture_of, resampled
from morphoscope.simulate.population import draw_galaxy
from morphoscope.simulate.scene import Scene, draw_scene
from morphoscope.simulate.streams import generator
from morphoscope.simulate.view import View, draw_view

__all__ = ["Drawing", "drawing_of"]

WORST_QUALITY = 20  # below the quality set, at full variety


@dataclass(frozen=True)
class Drawing:
    """One galaxy, how it is observed, and the scene that this makes.

    Attributes
    ----------
    seed
        Of the population.
    galaxy, conditions, scene
        What is drawn.
    settings
        Of the population.
    """

    seed: int
    galaxy: Galaxy
    conditions: Conditions
    scene: Scene
    settings: SimulateSettings

    @property
    def view(self) -> View:
        return self.scene.view

    @cached_property
    def observed(self) -> dict[str, Pixels]:
        """Bands with noise, as they are drawn; y upwards."""
        return observe(self.scene, self.settings, generator(self.seed, self.galaxy.index, 2))

    @cached_property
    def picture(self) -> NDArray[np.uint8]:
        """Shape (y, x, 3), red first, row 0 on top."""
        rng = generator(self.seed, self.galaxy.index, 6)
        return picture_of(self.observed, self.scene, self.settings, self.conditions.flaws, rng)

    def files(self, settings: SimulateSettings) -> list[tuple[str, str, Callable[[], bytes]]]:
        """Column of the catalogue, suffix and content of each file."""
        pictures = {"png": (".png", self.png), "jpeg": (".jpg", self.jpeg)}
        if settings.format == "fits":
            return [("file_loc", ".fits", self.fits)]
        suffix, encode = pictures[settings.format.partition("+")[0]]
        files = [("file_loc", suffix, encode)]
        return files + [("fits_loc", ".fits", self.fits)] * ("+" in settings.format)

    def png(self) -> bytes:
        _, encoded = cv2.imencode(".png", self.picture[:, :, ::-1])
        return encoded.tobytes()

    def jpeg(self) -> bytes:
        quality = self.settings.jpeg_quality
        if self.settings.variety:
            chance = generator(self.seed, self.galaxy.index, 7).random()
            quality -= round(WORST_QUALITY * self.settings.variety * chance)
        return bytes(simplejpeg.encode_jpeg(self.picture, quality, "RGB", "420"))

    def fits(self) -> bytes:
        bands = {name: resampled(b, self.view.size) for name, b in self.observed.items()}
        if self.conditions.flaws.missing:
            side, share, _ = self.conditions.flaws.missing
            for band in bands.values():
                blank(band, side, share, 0)
        middle = (self.view.size - 1) / 2
        x, y = middle + self.conditions.x, middle + self.conditions.y
        return fits_cube(bands, self.view, self.place, x, y)

    @property
    def place(self) -> tuple[float, float]:
        """Right ascension and declination (deg, ICRS)."""
        return draw_place(generator(self.seed, self.galaxy.index, 5))

    def row(self) -> dict[str, Any]:
        """Lay out the truth about the galaxy and its observation."""
        conditions, view, radius = self.conditions, self.view, self.galaxy.radius_arcsec
        middle = (view.size - 1) / 2
        # Only a cube says where it is on the sky.
        ra, dec = self.place if "fits" in self.settings.format else (None, None)
        return {
            "ra": ra,
            "dec": dec,
            **truth(self.galaxy),
            **self.scene.measured,
            "survey": view.name,
            "half_light_radius_pixels": radius / view.pixel_scale if radius else None,
            "psf_fwhm_arcsec": conditions.psf_fwhm_arcsec,
            "pixel_scale": view.pixel_scale,
            "zoom": view.zoom,
            "x": middle + conditions.x,
            "y": middle - conditions.y,
            "neighbours": len(conditions.neighbours),
            "flaws": ",".join(conditions.flaws.names) or None,
        }


def drawing_of(seed: int, index: int, kind: str, settings: SimulateSettings) -> Drawing:
    """Draw one galaxy as seed and index decide.

    Examples
    --------
    >>> drawing_of(1, 17, "spiral", SimulateSettings()).picture.shape
    (96, 96, 3)
    """
    view = draw_view(seed, index, settings)
    galaxy = draw_galaxy(seed, index, kind, settings, view)
    conditions = draw_conditions(seed, index, settings, kind, view)
    return Drawing(seed, galaxy, conditions, draw_scene(galaxy, settings, conditions), settings)
