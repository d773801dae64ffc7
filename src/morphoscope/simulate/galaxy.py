"""A galaxy as it is before any telescope: the truth that a picture of it hides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Arms",
    "Bar",
    "Bulge",
    "Disc",
    "Dust",
    "Galaxy",
    "Ring",
    "Shell",
    "Tail",
    "axial_ratio",
    "scale_height",
    "truth",
]


# Classes of which nobody could tell the inclination that a disc in them has.
UNMEASURABLE = frozenset({"merger", "bad_image"})


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
    axial_ratio
        Of the bar seen from above.
    """

    fraction: float
    radius_arcsec: float
    axial_ratio: float = 0.3


@dataclass(frozen=True)
class Ring:
    """A ring in the plane of the disc.

    Attributes
    ----------
    fraction
        Share of the disc's light that lies in it.
    radius_arcsec
        Of its crest.
    width
        Standard deviation of its cross-section over its radius.
    """

    fraction: float
    radius_arcsec: float
    width: float


@dataclass(frozen=True)
class Dust:
    """A layer of dust in the middle of the disc.

    Attributes
    ----------
    optical_depth
        In r, through the centre of the disc seen face-on.
    extent
        Scale length over that of the light.
    height
        Scale height over that of the light.
    lane
        Optical depth on the inner edges of the arms over that between them, less one.
    """

    optical_depth: float
    extent: float = 1.3
    height: float = 0.35
    lane: float = 0.0


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
        Seed of those places, and of all else that is irregular.
    winding
        1 where an arm, going outward, turns anticlockwise on the picture, −1 where clockwise.
    g_r
        Colour g−r (mag).
    flocculence
        Share of the arms' light that lies in short torn pieces instead.
    irregularity
        How far arms stray from their spiral (rad) and differ from each other.
    clumps
        Share of the arms' light in star-forming regions.
    density_wave
        Amplitude of the broad arms of old stars below them.
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
    flocculence: float = 0.0
    irregularity: float = 0.0
    clumps: float = 0.0
    density_wave: float = 0.0


@dataclass(frozen=True)
class Disc:
    """An exponential disc and what it carries.

    Attributes
    ----------
    inclination
        0 face-on, 90 edge-on (deg).
    thickness
        Scale height over scale length, the light falling as sech² above the plane.
    near_side
        1 where the side clockwise of the position angle is nearer (the right of a galaxy that
        stands upright), −1 the other.
    break_radius
        Radius beyond which the light falls faster, in scale lengths; 0: nowhere.
    young_height
        Scale height of the arms' light over that of the old.
    warp
        Height of the outermost disc over the plane of the inner, over the half-light radius.
    lopsidedness
        Amplitude of the first harmonic of the outer disc.
    lopsided_deg
        Its direction in the plane of the disc, from the major axis.
    """

    inclination: float
    thickness: float
    bulge: Bulge | None = None
    arms: Arms | None = None
    bar: Bar | None = None
    ring: Ring | None = None
    dust: Dust | None = None
    near_side: int = 1
    break_radius: float = 0.0
    young_height: float = 1.0
    warp: float = 0.0
    lopsidedness: float = 0.0
    lopsided_deg: float = 0.0


@dataclass(frozen=True)
class Tail:
    """A tidal tail, a piece of a spiral that widens and fades.

    Attributes
    ----------
    fraction
        Its light over the galaxy's.
    begin_arcsec, end_arcsec
        Distance of its ends from the galaxy's centre.
    begin_deg, turn_deg
        Where it begins, anticlockwise from the right, and how far it turns.
    width_arcsec
        Standard deviation of its cross-section in its middle.
    """

    fraction: float
    begin_arcsec: float
    end_arcsec: float
    begin_deg: float
    turn_deg: float
    width_arcsec: float


@dataclass(frozen=True)
class Shell:
    """A shell round a galaxy that has swallowed another.

    Attributes
    ----------
    fraction
        Its light over the galaxy's.
    radius_arcsec
        Of its sharp outer edge.
    direction_deg, width_deg
        Middle of its arc, anticlockwise from the right, and the arc's standard deviation.
    """

    fraction: float
    radius_arcsec: float
    direction_deg: float
    width_deg: float


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
        Total magnitude in r, of a disc before its dust dims it.
    radius_arcsec
        Half-light radius along the major axis; of the disc alone where there is one.
    axial_ratio
        b/a on the sky; of the disc alone where there is one.
    position_angle_deg
        Of the major axis, anticlockwise from the picture's upward direction, 0 to 180.
    g_r
        Colour g−r (mag); of the disc between its arms where there is one.
    sersic_n
        Of a smooth galaxy.
    boxiness
        Exponent of a smooth galaxy's isophotes less 2: above 0 boxy, below 0 discy.
    x, y
        Where it is from where the telescope points, right and up (arcsec).
    companion
        The other galaxy of a merger.
    tails, shells
        What the merger has torn out.
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
    boxiness: float = 0.0
    x: float = 0.0
    y: float = 0.0
    companion: Galaxy | None = None
    tails: tuple[Tail, ...] = ()
    shells: tuple[Shell, ...] = ()


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


def scale_height(intrinsic_axial_ratio: float) -> float:
    """Scale height over scale length of a disc whose second moments have an axial ratio edge-on.

    Examples
    --------
    >>> round(axial_ratio(90, math.pi * scale_height(0.2) / 6), 3)
    0.2
    """
    return 6 * intrinsic_axial_ratio / math.pi


def truth(galaxy: Galaxy) -> dict[str, Any]:
    """Lay a galaxy out as one row of a catalogue; what it has not is null."""
    disc, companion = galaxy.disc, galaxy.companion
    return {
        "class": galaxy.kind,
        "magnitude_r": galaxy.magnitude_r,
        "half_light_radius_arcsec": galaxy.radius_arcsec or None,
        "axial_ratio": galaxy.axial_ratio if galaxy.radius_arcsec else None,
        "position_angle_deg": galaxy.position_angle_deg if galaxy.radius_arcsec else None,
        "g_r": galaxy.g_r,
        "sersic_n": galaxy.sersic_n,
        "inclination": disc.inclination if disc and galaxy.kind not in UNMEASURABLE else None,
        **_disc_truth(disc),
        **_arms_truth(disc.arms if disc else None),
        "separation_arcsec": companion
        and math.hypot(companion.x - galaxy.x, companion.y - galaxy.y),
        "tails": len(galaxy.tails),
        "shells": len(galaxy.shells),
    }


def _disc_truth(disc: Disc | None) -> dict[str, Any]:
    bulge, bar, ring, dust = (
        (disc.bulge, disc.bar, disc.ring, disc.dust) if disc else (None, None, None, None)
    )
    return {
        "thickness": disc and disc.thickness,
        "intrinsic_axial_ratio": disc and axial_ratio(90, math.pi * disc.thickness / 6),
        "near_side": disc and disc.near_side,
        "bulge_fraction": (bulge.fraction if bulge else 0.0) if disc else None,
        "bulge_sersic_n": bulge and bulge.sersic_n,
        "bulge_radius_arcsec": bulge and bulge.radius_arcsec,
        "bar_fraction": (bar.fraction if bar else 0.0) if disc else None,
        "bar_radius_arcsec": bar and bar.radius_arcsec,
        "ring_fraction": (ring.fraction if ring else 0.0) if disc else None,
        "ring_radius_arcsec": ring and ring.radius_arcsec,
        "tau": (dust.optical_depth if dust else 0.0) if disc else None,
        "dust_lane": dust and dust.lane,
        "warp": disc and disc.warp,
        "lopsidedness": disc and disc.lopsidedness,
        "break_radius": (disc.break_radius or None) if disc else None,
    }


def _arms_truth(arms: Arms | None) -> dict[str, Any]:
    return {
        "arms": arms and arms.number,
        "pitch_angle_deg": arms and arms.pitch_angle_deg,
        "arm_contrast": arms and arms.contrast,
        "winding": arms and arms.winding,
        "flocculence": arms and arms.flocculence,
        "clumps": arms and arms.clumps,
    }
