"""What spoils a frame: trails, gradients, missing parts, bands that do not meet, bright stars."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from morphoscope.simulate.frame import Frame, Pixels
from morphoscope.simulate.streams import log_uniform

__all__ = [
    "FLAWS",
    "NO_FLAWS",
    "Flaws",
    "Glare",
    "Trail",
    "draw_flaws",
    "draw_glare",
    "paint_glare",
    "paint_trail",
]


@dataclass(frozen=True)
class Trail:
    """A straight track of a satellite or an aeroplane.

    Attributes
    ----------
    angle_deg
        Its direction, anticlockwise from the right.
    offset
        Of its line from the middle, over the side of the frame.
    brightness
        Over the noise of the sky, in each band from blue to red.
    width
        Standard deviation of its cross-section (pixels).
    """

    angle_deg: float
    offset: float
    brightness: tuple[float, ...]
    width: float


@dataclass(frozen=True)
class Glare:
    """A star bright enough for spikes, a halo and a saturated core.

    Attributes
    ----------
    x, y
        Right of and above the middle, over the side of the frame; may lie outside.
    magnitude_r, g_r
        Magnitude in r and colour g−r.
    angle_deg
        Of one of its four spikes.
    halo
        Share of its light in the halo, in each band from blue to red.
    bleed_arcsec
        How far its charge has run up and down its columns.
    """

    x: float
    y: float
    magnitude_r: float
    g_r: float
    angle_deg: float
    halo: tuple[float, ...]
    bleed_arcsec: float = 0.0


@dataclass(frozen=True)
class Flaws:
    """What is wrong with one frame.

    Attributes
    ----------
    names
        In words, for the truth table.
    trails, glares
        What crosses it and what shines into it.
    gradient
        Sky over its noise: in the middle, and its rise to the right and upwards over the frame,
        for each band.
    missing
        Side that is missing (0 right, 1 top, 2 left, 3 bottom), share of the frame, and whether
        it is white; or nothing.
    misplaced
        How far bands lie off, x and y of each (pixels); or nothing.
    off_centre
        Where the galaxy lies, right of and above the middle, over the side; or nothing.
    empty
        There is nothing but noise.
    """

    names: tuple[str, ...] = ()
    trails: tuple[Trail, ...] = ()
    glares: tuple[Glare, ...] = ()
    gradient: tuple[tuple[float, float, float], ...] = ()
    missing: tuple[int, float, bool] | None = None
    misplaced: tuple[tuple[float, float], ...] = ()
    off_centre: tuple[float, float] | None = None
    empty: bool = field(default=False)


NO_FLAWS = Flaws()
BANDS_AT_MOST = 5
SPIKES = 0.006  # share of a star's light in its spikes
FULL = 150.0  # nanomaggies a square arcsec, beyond white in any picture


def _trail(rng: np.random.Generator, strength: float) -> Flaws:
    tracks = 1 + int(rng.random() < 0.25)
    angle, reach = rng.uniform(0, 180), 0.12 + 0.3 * (1 - strength)
    colour = rng.dirichlet(np.ones(BANDS_AT_MOST)) * BANDS_AT_MOST
    if rng.random() < 0.5:  # A satellite crosses while one band is exposed.
        colour = np.full(BANDS_AT_MOST, 0.02)
        colour[int(rng.integers(3))] = 1.0
    bright = log_uniform(rng, 2, 12) * (0.4 + 3 * strength)
    trails = tuple(
        Trail(
            angle + rng.normal(0, 2) * k,
            float(np.clip(rng.normal(0, reach), -0.5, 0.5)),
            tuple(float(bright * c) for c in colour),
            rng.uniform(0.8, 3.0),
        )
        for k in range(tracks)
    )
    return Flaws(("trail",), trails=trails)


def _glare(rng: np.random.Generator, strength: float) -> Flaws:
    angle = rng.uniform(0, 2 * math.pi)
    near = rng.uniform(0.12, 0.5) if strength > 0.5 else rng.uniform(0.35, 0.75)
    x, y = near * math.cos(angle), near * math.sin(angle)
    return Flaws(("glare",), glares=(draw_glare(rng, x, y, 8.5 if strength > 0.5 else 10.5),))


def draw_glare(rng: np.random.Generator, x: float, y: float, brightest: float) -> Glare:
    """Draw a bright star at a place."""
    red = rng.random() < 0.6
    halo = np.array([0.010, 0.016, 0.045, 0.045, 0.045]) * log_uniform(rng, 0.4, 2.2)
    return Glare(
        x=x,
        y=y,
        magnitude_r=rng.uniform(brightest, brightest + 3),
        g_r=rng.uniform(0.8, 1.5) if red else rng.uniform(0.1, 0.7),
        angle_deg=rng.uniform(0, 90),
        halo=tuple(float(h) for h in halo),
        bleed_arcsec=log_uniform(rng, 5, 60) if rng.random() < 0.12 else 0.0,
    )


def _gradient(rng: np.random.Generator, strength: float) -> Flaws:
    tint = rng.uniform(0.0, 1.0, BANDS_AT_MOST) ** 2
    if rng.random() < 0.5:
        tint = np.array([0.1, 0.2, 1.0, 1.0, 1.0]) * rng.uniform(0.6, 1.4)
    level = log_uniform(rng, 1.5, 8) * (0.3 + 2.5 * strength)
    slope, angle = level * rng.uniform(0.3, 2.0), rng.uniform(0, 2 * math.pi)
    rise = slope * math.cos(angle), slope * math.sin(angle)
    return Flaws(
        ("gradient",),
        gradient=tuple((float(level * t), float(rise[0] * t), float(rise[1] * t)) for t in tint),
    )


def _missing(rng: np.random.Generator, strength: float) -> Flaws:
    share = rng.uniform(0.3, 0.75) if strength > 0.5 else rng.uniform(0.03, 0.3)
    return Flaws(("missing",), missing=(int(rng.integers(4)), share, bool(rng.random() < 0.4)))


def _misplaced(rng: np.random.Generator, strength: float) -> Flaws:
    spread = 3.5 * strength + 0.7
    shifts = tuple((float(x), float(y)) for x, y in rng.normal(0, spread, (BANDS_AT_MOST, 2)))
    return Flaws(("misplaced",), misplaced=shifts)


def _cut(rng: np.random.Generator, strength: float) -> Flaws:
    far = rng.uniform(0.42, 0.6) if strength > 0.5 else rng.uniform(0.08, 0.25)
    along = rng.uniform(-0.4, 0.4)
    x, y = (far, along) if rng.random() < 0.5 else (along, far)
    sign = 1 if rng.random() < 0.5 else -1
    return Flaws(("off_centre",), off_centre=(sign * x, sign * y))


def _empty(rng: np.random.Generator, strength: float) -> Flaws:
    return Flaws(("empty",), empty=True)


FLAWS: dict[str, Callable[[np.random.Generator, float], Flaws]] = {
    "trail": _trail,
    "glare": _glare,
    "gradient": _gradient,
    "missing": _missing,
    "misplaced": _misplaced,
    "off_centre": _cut,
    "empty": _empty,
}
SPOILING = {
    "trail": 0.2,
    "glare": 0.28,
    "gradient": 0.14,
    "missing": 0.13,
    "misplaced": 0.07,
    "off_centre": 0.12,
    "empty": 0.06,
}
MILD = {"trail": 0.2, "glare": 0.35, "gradient": 0.25, "missing": 0.1, "off_centre": 0.1}


def draw_flaws(rng: np.random.Generator, *, spoiled: bool) -> Flaws:
    """Draw what is wrong with a frame: enough to spoil it, or a nuisance that it survives."""
    shares = SPOILING if spoiled else MILD
    name = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    return FLAWS[name](rng, rng.uniform(0.6, 1.0) if spoiled else rng.uniform(0.0, 0.4))


def paint_trail(trail: Trail, frame: Frame, band: int, sigma: float) -> Pixels:
    """Paint a trail in the noise of the sky times its brightness; shape (y, x)."""
    x, y = frame.axes()
    angle = math.radians(trail.angle_deg)
    side, pixel = frame.size * frame.pixel_scale, frame.pixel_scale
    across = (y * math.cos(angle) - x * math.sin(angle) - trail.offset * side) / pixel
    light = np.exp(-0.5 * (across / trail.width) ** 2)
    return np.asarray(trail.brightness[band] * sigma * light, np.float32)


def paint_glare(glare: Glare, frame: Frame, flux: float, band: int) -> Pixels:
    """Paint halo and spikes of a bright star; shape (y, x), nanomaggies a pixel."""
    x, y = frame.axes()
    side, pixel = frame.size * frame.pixel_scale, frame.pixel_scale
    right, up = x - np.float32(glare.x * side), y - np.float32(glare.y * side)
    squared = right * right + up * up
    # The light of a power law of index 2.6 that is flat within 6 arcsec, and its integral.
    halo = glare.halo[band] * (1 + squared / 36) ** -1.3 * pixel**2 / (36 * math.pi / 0.3)
    angle = math.radians(glare.angle_deg)
    along = right * math.cos(angle) + up * math.sin(angle)
    across = up * math.cos(angle) - right * math.sin(angle)
    spikes = _spike(along, across, pixel) + _spike(across, along, pixel)
    light = flux * (halo + SPIKES * spikes)
    if glare.bleed_arcsec:
        light = light + _bleed(right, up, glare.bleed_arcsec, pixel) * (1 + 0.35 * band)
    return np.asarray(light, np.float32)


def _bleed(right: Pixels, up: Pixels, reach: float, pixel: float) -> Pixels:
    """Light of full pixels, which only differ by how far they lie from the star."""
    width = 0.7 + 0.8 * np.exp(-np.abs(up) / reach)
    inside = (np.abs(right) < width * pixel) & (np.abs(up) < reach)
    return np.asarray(np.where(inside, FULL * pixel**2, 0), np.float32)


def _spike(along: Pixels, across: Pixels, pixel: float) -> Pixels:
    width = 1.1 * max(pixel, 0.35)
    light = np.exp(-0.5 * (across / width) ** 2) / (1 + (along / 7) ** 2)
    return np.asarray(light * pixel**2 / (7 * math.pi * width * math.sqrt(2 * math.pi)), np.float32)
