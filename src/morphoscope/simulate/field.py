"""The field: small galaxies and stars beside the galaxy, and stars where one was expected."""

from __future__ import annotations

import numpy as np

from morphoscope.simulate.bands import Band, flux_ratio, nanomaggies
from morphoscope.simulate.conditions import Conditions, Neighbour
from morphoscope.simulate.flaws import Glare, draw_glare
from morphoscope.simulate.frame import Frame, Pixels
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.optics import Star
from morphoscope.simulate.sersic import Sersic, paint_sersic
from morphoscope.simulate.subject import spread

__all__ = ["field_stars", "paint_neighbour"]

GLARING = 13.5  # magnitude of a central star from which it has spikes
NEIGHBOUR_REACH = 6.0  # half-light radii of a neighbour that are painted


def paint_neighbour(neighbour: Neighbour, frame: Frame, planes: dict[str, Pixels]) -> None:
    """Add a small galaxy, on no more pixels than it shines on."""
    centred = frame.moved(neighbour.x, neighbour.y)
    window, part = centred.window(NEIGHBOUR_REACH * neighbour.radius_arcsec)
    light = paint_sersic(
        Sersic(1.0, neighbour.radius_arcsec, neighbour.axial_ratio, neighbour.angle_deg), window
    )
    patches = {name: plane[part] for name, plane in planes.items()}
    spread(patches, nanomaggies(neighbour.magnitude_r), neighbour.g_r, light)


def field_stars(
    galaxy: Galaxy, conditions: Conditions, frame: Frame, bands: dict[str, Band]
) -> tuple[list[Star], list[Glare]]:
    """Stars of the field and, of the class `star`, in the middle; with spikes if bright."""

    def star(x: float, y: float, magnitude: float, g_r: float) -> Star:
        flux = nanomaggies(magnitude)
        return Star(x, y, tuple(flux * flux_ratio(name, g_r) for name in bands))

    side, glares = frame.size * frame.pixel_scale, list(conditions.flaws.glares)
    stars = [
        star(one.x, one.y, one.magnitude_r, one.g_r)
        for one in conditions.neighbours
        if not one.radius_arcsec
    ]
    stars += [star(g.x * side, g.y * side, g.magnitude_r, g.g_r) for g in glares]
    if galaxy.kind == "star" and not conditions.flaws.empty:
        for one in (galaxy, galaxy.companion) if galaxy.companion else (galaxy,):
            x, y = frame.x + one.x, frame.y + one.y
            stars.append(star(x, y, one.magnitude_r, one.g_r))
            if one.magnitude_r < GLARING:
                glares.append(_central(one, x / side, y / side))
    return stars, glares


def _central(star: Galaxy, x: float, y: float) -> Glare:
    halo = draw_glare(np.random.default_rng([star.index, 7]), x, y, star.magnitude_r)
    return Glare(
        x, y, star.magnitude_r, star.g_r, star.position_angle_deg, halo.halo, halo.bleed_arcsec
    )
