"""Five classes as volunteers tell them apart: three smooth ones, edge-on discs and spirals."""

from __future__ import annotations

import math

import numpy as np

from morphoscope.simulate.galaxy import Arms, Bar, Bulge, Disc, Galaxy, axial_ratio
from morphoscope.simulate.streams import cut_normal

__all__ = ["draw_edge_on", "draw_smooth", "draw_spiral"]

# Ranges (lowest, highest). Volunteers of Galaxy Zoo 2 call a smooth galaxy round down to b/a of
# about 0.8 and cigar-shaped below about 0.4 (Willett et al. 2013, MNRAS 435, 2835).
AXIAL_RATIO = {"round": (0.8, 1.0), "in_between": (0.4, 0.8), "cigar": (0.2, 0.4)}
EDGE_ON_INCLINATION = (80.0, 90.0)
SPIRAL_INCLINATION = (0.0, 65.0)
MAGNITUDE_R = (14.8, 18.5)
RADIUS_ARCSEC = (1.5, 6.5)
BRIGHTEST_SHARE = 0.4  # of the faintest galaxies' number, in a linear rise with magnitude
BULGE_FLATTENING = 0.7
BARRED = 0.35
ARM_NUMBERS = {2: 0.6, 3: 0.22, 4: 0.18}


def draw_smooth(rng: np.random.Generator, index: int, kind: str) -> Galaxy:
    low, high = AXIAL_RATIO[kind]
    early = rng.random() < 0.7
    sersic_n = cut_normal(rng, *((3.6, 1.0, 1.5, 5.0) if early else (1.5, 0.5, 1.0, 2.5)))
    magnitude = _magnitude(rng)
    return Galaxy(
        index=index,
        kind=kind,
        magnitude_r=magnitude,
        radius_arcsec=_radius(rng, magnitude, 4.2 if kind != "cigar" else 5.0),
        axial_ratio=rng.uniform(low, high),
        position_angle_deg=rng.uniform(0, 180),
        g_r=cut_normal(rng, 0.86, 0.09, 0.6, 1.1)
        if early
        else cut_normal(rng, 0.56, 0.13, 0.25, 0.9),
        sersic_n=round(sersic_n if kind != "cigar" else 0.6 + sersic_n / 2, 1),
    )


def draw_edge_on(rng: np.random.Generator, index: int, kind: str) -> Galaxy:
    inclination = _inclination(rng, EDGE_ON_INCLINATION)
    thickness = cut_normal(rng, 0.28, 0.1, 0.1, 0.55)
    magnitude = _magnitude(rng)
    radius = _radius(rng, magnitude, 4.8)
    # Light that crosses the whole disc is reddened.
    g_r = cut_normal(rng, 0.66, 0.14, 0.3, 1.0)
    bulge = _bulge(rng, radius, inclination, g_r) if rng.random() < 0.65 else None
    return Galaxy(
        index=index,
        kind=kind,
        magnitude_r=magnitude,
        radius_arcsec=radius,
        axial_ratio=axial_ratio(inclination, math.pi * thickness / 6),
        position_angle_deg=rng.uniform(0, 180),
        g_r=g_r,
        disc=Disc(inclination, thickness, bulge),
    )


def draw_spiral(rng: np.random.Generator, index: int, kind: str) -> Galaxy:
    inclination = _inclination(rng, SPIRAL_INCLINATION)
    thickness = cut_normal(rng, 0.2, 0.06, 0.1, 0.4)
    magnitude = _magnitude(rng)
    radius = _radius(rng, magnitude, 5.0)
    g_r = cut_normal(rng, 0.52, 0.13, 0.25, 0.85)
    bulge = _bulge(rng, radius, inclination, g_r) if rng.random() < 0.9 else None
    bar = None
    if rng.random() < BARRED:
        bar = Bar(rng.uniform(0.06, 0.18), radius * rng.uniform(0.4, 0.8))
    return Galaxy(
        index=index,
        kind=kind,
        magnitude_r=magnitude,
        radius_arcsec=radius,
        axial_ratio=axial_ratio(inclination, math.pi * thickness / 6),
        position_angle_deg=rng.uniform(0, 180),
        g_r=g_r,
        disc=Disc(inclination, thickness, bulge, _arms(rng, radius, g_r, bar), bar),
    )


def _bulge(rng: np.random.Generator, radius: float, inclination: float, g_r: float) -> Bulge:
    fraction = float(np.clip(rng.lognormal(math.log(0.14), 0.65), 0.02, 0.5))
    return Bulge(
        fraction=fraction,
        sersic_n=round(2 * cut_normal(rng, 1.5 + 3 * fraction, 0.7, 1.0, 4.0)) / 2,
        radius_arcsec=radius * cut_normal(rng, 0.2 + 0.3 * fraction, 0.06, 0.1, 0.5),
        axial_ratio=axial_ratio(inclination, BULGE_FLATTENING),
        g_r=max(cut_normal(rng, 0.84, 0.08, 0.6, 1.05), g_r),
    )


def _arms(rng: np.random.Generator, radius: float, g_r: float, bar: Bar | None) -> Arms:
    return Arms(
        number=int(rng.choice(list(ARM_NUMBERS), p=list(ARM_NUMBERS.values()))) if not bar else 2,
        pitch_angle_deg=cut_normal(rng, 19, 7, 8, 38),
        contrast=cut_normal(rng, 0.5, 0.22, 0.1, 0.9),
        sharpness=rng.uniform(1.0, 4.0),
        begin_arcsec=bar.radius_arcsec if bar else radius * rng.uniform(0.2, 0.5),
        phase_deg=rng.uniform(0, 360),
        patchiness=rng.uniform(0.2, 0.9),
        patches=int(rng.integers(2**32)),
        winding=int(rng.choice((-1, 1))),
        g_r=g_r - rng.uniform(0.08, 0.35),
    )


def _magnitude(rng: np.random.Generator) -> float:
    low, high = MAGNITUDE_R
    a, u = BRIGHTEST_SHARE, rng.random()
    share = (math.sqrt(a * a + u * (1 - a * a)) - a) / (1 - a)
    return float(low + (high - low) * share)


def _radius(rng: np.random.Generator, magnitude: float, typical: float) -> float:
    """Draw a half-light radius; brighter galaxies are larger (Shen et al. 2003)."""
    low, high = (math.log10(bound) for bound in RADIUS_ARCSEC)
    middle = math.log10(typical) - 0.1 * (magnitude - 16.5)
    return math.pow(10.0, cut_normal(rng, middle, 0.13, low, high))


def _inclination(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw the inclination of a disc that may point anywhere: uniform in its cosine."""
    low, high = (math.cos(math.radians(bound)) for bound in bounds)
    return math.degrees(math.acos(rng.uniform(high, low)))
