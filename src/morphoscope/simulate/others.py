"""What is no disc: ellipticals, stars where a galaxy was expected, and images of no use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.discs import draw_disc, draw_radius, total_magnitude
from morphoscope.simulate.galaxy import Galaxy
from morphoscope.simulate.streams import cut_normal
from morphoscope.simulate.view import View

__all__ = ["draw_bad_image", "draw_elliptical", "draw_star"]

NOTHING = 35.0  # magnitude of no object at all
STAR_MAGNITUDES = (11.0, 19.5)


def draw_elliptical(
    rng: np.random.Generator, index: int, view: View, settings: SimulateSettings
) -> Galaxy:
    """Draw an elliptical, its brightness falling with size (Kormendy 1977, ApJ 218, 333)."""
    radius = draw_radius(rng, view, share=0.75)
    brightness = cut_normal(rng, 20.7, 0.9, 18.5, 23.3)
    return Galaxy(
        index=index,
        kind="elliptical",
        magnitude_r=total_magnitude(brightness, radius),
        radius_arcsec=radius,
        axial_ratio=cut_normal(rng, 0.78, 0.18, 0.4, 1.0),
        position_angle_deg=rng.uniform(0, 180),
        g_r=cut_normal(rng, 0.9, 0.12, 0.5, 1.3),
        sersic_n=cut_normal(rng, 3.4, 1.1, 1.2, 6.0),
        boxiness=cut_normal(rng, 0.0, 0.15, -0.3, 0.4) if rng.random() < 0.4 else 0.0,
    )


def draw_star(
    rng: np.random.Generator, index: int, view: View, settings: SimulateSettings
) -> Galaxy:
    """Draw a star, two of them, or nothing, in the place of a galaxy."""
    star = Galaxy(
        index=index,
        kind="star",
        magnitude_r=NOTHING if rng.random() < 0.12 else rng.uniform(*STAR_MAGNITUDES),
        radius_arcsec=0.0,
        axial_ratio=1.0,
        position_angle_deg=rng.uniform(0, 90),
        g_r=rng.uniform(0.1, 1.4),
    )
    if rng.random() < 0.65 or star.magnitude_r == NOTHING:
        return star
    near = rng.uniform(0.7, 4.0, 2) * rng.choice((-1, 1), 2)
    fainter = rng.exponential(1.0)
    second = replace(
        star,
        magnitude_r=star.magnitude_r + fainter,
        g_r=rng.uniform(0.1, 1.4),
        x=float(near[0]),
        y=float(near[1]),
    )
    return replace(star, companion=second)


def draw_bad_image(
    rng: np.random.Generator, index: int, view: View, settings: SimulateSettings
) -> Galaxy:
    """Draw a disc or an elliptical for an image that is spoiled."""
    draw = draw_disc if rng.random() < 0.6 else draw_elliptical
    return replace(draw(rng, index, view, settings), kind="bad_image")
