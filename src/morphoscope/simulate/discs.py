"""Discs of every type and tilt: from S0 to Sd, with all that discs carry."""

from __future__ import annotations

import math

import numpy as np

from morphoscope.recipe import SimulateSettings
from morphoscope.simulate.galaxy import (
    Arms,
    Bar,
    Bulge,
    Disc,
    Dust,
    Galaxy,
    Ring,
    axial_ratio,
    scale_height,
)
from morphoscope.simulate.streams import cut_normal, either, log_uniform, weighted
from morphoscope.simulate.view import View

__all__ = ["draw_disc", "draw_radius", "total_magnitude"]

# Half-light radius over the side of the cutout.
SIZES = (0.03, 0.2)
INTRINSIC_AXIAL_RATIO = (0.08, 0.55)
# The latest types are thick again, as Magellanic irregulars are (Sánchez-Janssen et al. 2010,
# MNRAS 406, L65; Roychowdhury et al. 2010, MNRAS 404, L60).
MAGELLANIC_FROM = 0.75
MAGELLANIC_THICKENING = 0.25
SURFACE_BRIGHTNESS = (18.5, 23.6)
BULGE_FLATTENING = (0.55, 0.85)
ARM_NUMBERS = {1: 0.05, 2: 0.55, 3: 0.2, 4: 0.14, 5: 0.06}


def draw_disc(
    rng: np.random.Generator,
    index: int,
    view: View,
    settings: SimulateSettings,
    inclination: float | None = None,
) -> Galaxy:
    """Draw a disc whose type runs from 0, an S0, to 1, an Sd, and decides most of the rest.

    An ``inclination`` (deg) that is given replaces the one that would be drawn; all else stays.
    """
    stage = float(rng.beta(1.3, 1.1))
    drawn = _inclination(rng, settings.inclination)
    inclination = drawn if inclination is None else inclination
    radius = draw_radius(rng, view)
    bulge_fraction = min(float(rng.lognormal(math.log(0.02 + 0.33 * (1 - stage) ** 1.5), 0.5)), 0.7)
    low, high = INTRINSIC_AXIAL_RATIO
    puffed = (max(0.0, stage - MAGELLANIC_FROM) / (1 - MAGELLANIC_FROM)) ** 2
    mean = 0.13 + 0.25 * bulge_fraction + MAGELLANIC_THICKENING * puffed
    q0 = cut_normal(rng, mean, 0.04 + 0.08 * puffed, low, high)
    g_r = cut_normal(rng, 0.78 - 0.38 * stage, 0.1, 0.2, 1.05)
    bar = _bar(rng, radius, bulge_fraction) if rng.random() < 0.4 else None
    brightness = cut_normal(rng, 20.3 + 1.9 * stage, 0.85, *SURFACE_BRIGHTNESS)
    disc = Disc(
        inclination=inclination,
        thickness=scale_height(q0),
        bulge=_bulge(rng, radius, inclination, bulge_fraction),
        bar=bar,
        arms=_arms(rng, stage, radius, g_r, bar) if rng.random() < 0.25 + 1.1 * stage else None,
        ring=_ring(rng, radius, bar) if rng.random() < 0.14 else None,
        dust=_dust(rng, stage),
        near_side=either(rng),
        break_radius=rng.uniform(2.2, 4.0) if rng.random() < 0.4 else 0.0,
        young_height=rng.uniform(0.4, 0.8),
        warp=either(rng) * rng.uniform(0.1, 0.45) if rng.random() < 0.15 else 0.0,
        lopsidedness=float(abs(rng.normal(0, 0.35 if rng.random() < 0.3 else 0.08))),
        lopsided_deg=rng.uniform(0, 360),
    )
    return Galaxy(
        index=index,
        kind="disc",
        magnitude_r=total_magnitude(brightness, radius),
        radius_arcsec=radius,
        axial_ratio=axial_ratio(inclination, q0),
        position_angle_deg=rng.uniform(0, 180),
        g_r=g_r,
        disc=disc,
    )


def draw_radius(rng: np.random.Generator, view: View, share: float = 1.0) -> float:
    """Draw a half-light radius as a share of the cutout (arcsec); large ones a little likelier."""
    low, high = SIZES
    side = view.size * view.pixel_scale
    return side * max(low, share * low * math.pow(high / low, rng.random() ** 0.8))


def total_magnitude(brightness: float, radius_arcsec: float) -> float:
    """Magnitude of a face-on galaxy whose mean brightness within its half-light radius is given.

    Examples
    --------
    >>> round(total_magnitude(20.0, 1.0), 2)
    18.0
    """
    return brightness - 2.5 * math.log10(2 * math.pi * radius_arcsec**2)


def _inclination(rng: np.random.Generator, kind: str) -> float:
    share = rng.random()
    return 90 * share if kind == "uniform" else math.degrees(math.acos(share))


def _bulge(
    rng: np.random.Generator, radius: float, inclination: float, fraction: float
) -> Bulge | None:
    if fraction < 0.01:
        return None
    return Bulge(
        fraction=fraction,
        sersic_n=round(2 * cut_normal(rng, 1.2 + 3.5 * fraction, 0.7, 1.0, 4.0)) / 2,
        radius_arcsec=radius * cut_normal(rng, 0.13 + 0.45 * fraction, 0.05, 0.06, 0.5),
        axial_ratio=axial_ratio(inclination, rng.uniform(*BULGE_FLATTENING)),
        g_r=cut_normal(rng, 0.86, 0.1, 0.55, 1.15),
    )


def _bar(rng: np.random.Generator, radius: float, bulge_fraction: float) -> Bar:
    return Bar(
        fraction=rng.uniform(0.03, 0.2) * (1 - bulge_fraction),
        radius_arcsec=radius * rng.uniform(0.35, 0.95),
        axial_ratio=rng.uniform(0.18, 0.45),
    )


def _ring(rng: np.random.Generator, radius: float, bar: Bar | None) -> Ring:
    inner = bar.radius_arcsec * rng.uniform(1.0, 1.15) if bar else radius * rng.uniform(0.5, 1.0)
    outer = radius * rng.uniform(1.1, 2.0)
    return Ring(
        fraction=rng.uniform(0.05, 0.35),
        radius_arcsec=inner if rng.random() < 0.6 else outer,
        width=rng.uniform(0.08, 0.22),
    )


def _dust(rng: np.random.Generator, stage: float) -> Dust | None:
    """Draw the dust, thickest in Sb and Sc (Xilouris et al. 1999, A&A 344, 868)."""
    typical = 0.07 + 0.9 * math.exp(-(((stage - 0.5) / 0.3) ** 2))
    depth = float(rng.lognormal(math.log(typical), 0.6))
    if depth < 0.06:
        return None
    return Dust(
        optical_depth=min(depth, 4.0),
        extent=rng.uniform(1.0, 1.6),
        height=rng.uniform(0.2, 0.5),
        lane=rng.uniform(0.0, 3.5),
    )


def _arms(
    rng: np.random.Generator, stage: float, radius: float, g_r: float, bar: Bar | None
) -> Arms:
    torn = rng.beta(1, 4) if rng.random() < 0.5 else rng.uniform(0.2, 1.0)
    numbers = {2: 0.85, 3: 0.1, 4: 0.05} if bar else ARM_NUMBERS
    return Arms(
        number=weighted(rng, numbers),
        pitch_angle_deg=cut_normal(rng, 11 + 15 * stage, 6, 6, 42),
        contrast=cut_normal(rng, 0.22 + 0.5 * stage, 0.2, 0.05, 0.95),
        sharpness=log_uniform(rng, 0.8, 5.0),
        begin_arcsec=bar.radius_arcsec if bar else radius * rng.uniform(0.12, 0.5),
        phase_deg=rng.uniform(0, 360),
        patchiness=rng.uniform(0.1, 0.8),
        patches=int(rng.integers(2**32)),
        winding=either(rng),
        g_r=g_r - rng.uniform(0.1, 0.4),
        flocculence=float(torn),
        irregularity=rng.uniform(0.02, 0.5),
        clumps=rng.uniform(0.0, 0.12) if rng.random() < 0.3 + 0.5 * stage else 0.0,
        density_wave=rng.uniform(0.0, 0.5),
    )
