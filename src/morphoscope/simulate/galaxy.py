"""A galaxy as it is before any telescope: the truth that a picture of it hides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Arms", "Bar", "Bulge", "Disc", "Galaxy", "axial_ratio", "truth"]


@dataclass(frozen=True)
class Bulge:
    """A Sersic bulge in the middle of a disc.

    Attributes
    ----------
    fraction
        Share of the galaxy's light in r.
    sersic_n
        Sersic index.
    radius_arcsec
        Half-light radius along the major axis.
    axial_ratio
        b/a on the sky.
    g_r
        Colour g−r (mag).
    """

    fraction: float
    sersic_n: float
    radius_arcsec: float
    axial_ratio: float
    g_r: float


@dataclass(frozen=True)
class Bar:
    """A bar in the plane of the disc.

    Attributes
    ----------
    fraction
        Share of the galaxy's light in r.
    radius_arcsec
        From the centre to its end.
    """

    fraction: float
    radius_arcsec: float


@dataclass(frozen=True)
class Arms:
    """Logarithmic spiral arms, painted on a disc.

    Attributes
    ----------
    number
        How many.
    pitch_angle_deg
        Angle between an arm and a circle; large is loosely wound.
    contrast
        Share of the disc's light that the arms have, far out; 0 is a smooth disc.
    sharpness
        Concentration of an arm along a circle (of a von Mises profile).
    begin_arcsec
        Radius inside which they fade; they begin at the ends of a bar.
    phase_deg
        Where they begin in the plane of the disc, from its major axis.
    patchiness
        Spread of the logarithm of their brightness from place to place.
    patches
        Seed of those places.
    winding
        1 where an arm, going outward, turns anticlockwise on the picture, −1 where clockwise.
    g_r
        Colour g−r (mag).
    """

    number: int
    pitch_angle_deg: float
    contrast: float
    sharpness: float
    begin_arcsec: float
    phase_deg: float
    patchiness: float
    patches: int
    winding: int
    g_r: float


@dataclass(frozen=True)
class Disc:
    """An exponential disc and what it carries.

    Attributes
    ----------
    inclination
        0 face-on, 90 edge-on (deg).
    thickness
        Scale height over scale length, the light falling as sech² above the plane.
    """

    inclination: float
    thickness: float
    bulge: Bulge | None = None
    arms: Arms | None = None
    bar: Bar | None = None


@dataclass(frozen=True)
class Galaxy:
    """A galaxy; smooth, with a Sersic index, or with a disc.

    Attributes
    ----------
    index
        Its number in the population.
    kind
        Its class.
    magnitude_r
        Total magnitude in r.
    radius_arcsec
        Half-light radius along the major axis; of the disc alone where there is one.
    axial_ratio
        b/a on the sky; of the disc alone where there is one.
    position_angle_deg
        Of the major axis, anticlockwise from the picture's upward direction, 0 to 180.
    g_r
        Colour g−r (mag); of the disc between its arms where there is one.
    """

    index: int
    kind: str
    magnitude_r: float
    radius_arcsec: float
    axial_ratio: float
    position_angle_deg: float
    g_r: float
    sersic_n: float | None = None
    disc: Disc | None = None


def axial_ratio(inclination: float, flattening: float) -> float:
    """Axial ratio on the sky of an oblate body (Hubble 1926, ApJ 64, 321).

    Parameters
    ----------
    inclination
        0 face-on, 90 edge-on (deg).
    flattening
        Axial ratio seen edge-on. For the second moments of a disc of `thickness` t with a sech²
        profile it is π t / 6: they are 3 h² along the plane and π² t² h² / 12 across.

    Examples
    --------
    >>> round(axial_ratio(60, 0.0), 3)
    0.5
    """
    angle = math.radians(inclination)
    return math.hypot(math.cos(angle), flattening * math.sin(angle))


def truth(galaxy: Galaxy) -> dict[str, Any]:
    """Lay a galaxy out as one row of a catalogue; what it has not is null."""
    disc = galaxy.disc
    bulge, arms, bar = (disc.bulge, disc.arms, disc.bar) if disc else (None, None, None)
    return {
        "class": galaxy.kind,
        "magnitude_r": galaxy.magnitude_r,
        "half_light_radius_arcsec": galaxy.radius_arcsec,
        "axial_ratio": galaxy.axial_ratio,
        "position_angle_deg": galaxy.position_angle_deg,
        "g_r": galaxy.g_r,
        "sersic_n": galaxy.sersic_n,
        "inclination": disc and disc.inclination,
        "thickness": disc and disc.thickness,
        "bulge_fraction": (bulge.fraction if bulge else 0.0) if disc else None,
        "bulge_sersic_n": bulge and bulge.sersic_n,
        "bulge_radius_arcsec": bulge and bulge.radius_arcsec,
        "arms": arms and arms.number,
        "pitch_angle_deg": arms and arms.pitch_angle_deg,
        "arm_contrast": arms and arms.contrast,
        "winding": arms and arms.winding,
        "bar_fraction": (bar.fraction if bar else 0.0) if disc else None,
        "bar_radius_arcsec": bar and bar.radius_arcsec,
    }
