"""Discs of a stated inclination that show it well: large, bright, alone, their major axis level."""

from __future__ import annotations

from dataclasses import replace

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.conditions import draw_conditions
from morphoscope.simulate.discs import draw_disc, total_magnitude
from morphoscope.simulate.drawing import Drawing
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.scene import draw_scene
from morphoscope.simulate.streams import generator
from morphoscope.simulate.view import View

__all__ = ["draw_standard"]

# Half-light radius as a share of the cutout's side, and mean magnitude a square arcsec within it.
RADIUS = (0.14, 0.2)
FAINTEST = 21.3
MOST_LOPSIDED = 0.15
ZOOM = 0.6
TRIES = 200
LEVEL_DEG = 90.0


def draw_standard(seed: int, index: int, inclination: float, size: int = 160) -> Drawing:
    """Draw a standard galaxy.

    Parameters
    ----------
    seed, index
        Decide all but the inclination: the same galaxy, tilted.
    inclination
        0 face-on to 90 edge-on (deg).
    size
        Side of the cutout (pixels).

    Examples
    --------
    >>> draw_standard(1, 0, 60).galaxy.disc.inclination
    60
    """
    settings = SimulateSettings(size=size, zoom=[ZOOM, ZOOM], neighbours=0.0, sky_noise=0.7)
    view = View.plain(settings, ZOOM)
    for place in range(index * TRIES, (index + 1) * TRIES):
        galaxy = draw_disc(generator(seed, place, 0), place, view, settings, inclination)
        if _shows_well(galaxy, view):
            break
    galaxy = replace(galaxy, position_angle_deg=LEVEL_DEG)
    conditions = replace(draw_conditions(seed, place, settings, "disc", view), x=0.0, y=0.0)
    return Drawing(seed, galaxy, conditions, draw_scene(galaxy, settings, conditions), settings)


def _shows_well(galaxy: Galaxy, view: View) -> bool:
    """Whether a disc is large, bright and regular; what decides does not depend on its tilt."""
    low, high = RADIUS
    share = galaxy.radius_arcsec / (view.pixel_scale * view.size)
    faintest = total_magnitude(FAINTEST, galaxy.radius_arcsec)
    disc = galaxy.disc
    regular = disc is not None and not disc.warp and disc.lopsidedness < MOST_LOPSIDED
    return low < share < high and galaxy.magnitude_r < faintest and regular
