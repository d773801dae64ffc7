"""The plane of a disc seen from above: old light, young light and dust.

All but bars and star-forming regions is first laid out over (ψ, ln r), where ψ is the azimuth less
that of a logarithmic spiral: arms are straight there, and irregularities follow them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.simulate.frame import Pixels
from morphoscope.simulate.galaxy import Arms, Bar, Disc, Galaxy

__all__ = ["EXPONENTIAL_HALF_LIGHT", "Plane", "paint_plane"]

EXPONENTIAL_HALF_LIGHT = 1.67835  # half-light radius of an exponential disc over its scale length
RADII, AZIMUTHS = 96, 128  # of the layout over (ψ, ln r)
PAD = 2
INNERMOST, OUTERMOST = 0.03, 9.0  # radii of the layout, scale lengths
SPAN = math.log(OUTERMOST / INNERMOST)
BROKEN = 0.45  # scale length beyond a break over that inside
INNER_EDGE = 0.8  # rad of an arm's phase by which dust lies inside of it
LOPSIDED_FROM = 2.0  # scale lengths at which half of the lopsidedness is reached


@dataclass(frozen=True)
class Plane:
    """Light and dust of a disc seen from above, on square cells round its centre.

    Attributes
    ----------
    old, young
        Shape (y, x), share of the galaxy's light in r; x along the line of nodes.
    dust
        Optical depth in r, or nothing.
    cell
        Side of a cell (arcsec).
    """

    old: Pixels
    young: Pixels | None
    dust: Pixels | None
    cell: float


@dataclass(frozen=True)
class _Layout:
    """The grid over (ψ, ln r): radii (r, 1) in arcsec, ψ (1, ψ), azimuth (r, ψ)."""

    radius: Pixels
    spiral: Pixels
    azimuth: Pixels
    turned: Pixels
    scale_length: float


def paint_plane(galaxy: Galaxy, disc: Disc, n: int, cell: float) -> Plane:
    """Paint the plane of a disc on n × n cells.

    Arms take light from the disc around them and lay it along logarithmic spirals: on each circle
    a share of the light, the contrast, follows a von Mises profile round every arm, which leaves
    the mean of a circle, and so the radial profile, as it was. Patches then modulate the arms.

    Parameters
    ----------
    galaxy
        The galaxy.
    disc
        Its disc.
    n
        Cells a side, even.
    cell
        Side of a cell (arcsec).
    """
    layout = _lay_out(galaxy, disc.arms)
    carried = sum(part.fraction for part in (disc.bulge, disc.bar) if part)
    smooth = (1 - carried) * cell**2 * _radial(disc, layout)
    sheets = [np.broadcast_to(smooth, layout.azimuth.shape)]
    if disc.arms:
        sheets = _armed(disc, disc.arms, smooth, layout)
    if disc.lopsidedness:
        sheets = [sheet * _lopsided(disc, layout) for sheet in sheets]
    if disc.dust:
        sheets.append(_dust(disc, layout))
    painted = _unroll(sheets, layout, n, cell)
    old, young = painted[0], painted[1] if disc.arms else None
    if disc.bar:
        old = old + disc.bar.fraction * _bar(disc.bar, disc.arms, n, cell)
    if young is not None and disc.arms and disc.arms.clumps:
        young = _clumped(disc.arms, young, sheets[1], layout, cell)
    return Plane(old, young, painted[-1] if disc.dust else None, cell)


@lru_cache(maxsize=64)
def _polar(n: int) -> tuple[Pixels, Pixels]:
    """Rows of the layout from one cell's radius on, and share of the circle, of n × n cells."""
    axis = np.arange(n, dtype=np.float32) - (n - 1) / 2
    radius, azimuth = cv2.cartToPolar(*np.meshgrid(axis, axis))
    row = np.log(np.maximum(radius, 0.1)) * ((RADII - 1) / SPAN)
    return row.astype(np.float32), (azimuth / (2 * math.pi)).astype(np.float32)


@lru_cache(maxsize=1)
def _reduced() -> Pixels:
    """Radii of the layout, shape (r, 1), in scale lengths."""
    share = np.arange(RADII)[:, None] / (RADII - 1)
    return np.asarray(INNERMOST * np.exp(share * SPAN), np.float32)


def _lay_out(galaxy: Galaxy, arms: Arms | None) -> _Layout:
    scale_length = galaxy.radius_arcsec / EXPONENTIAL_HALF_LIGHT
    radius = _reduced() * np.float32(scale_length)
    spiral = np.arange(AZIMUTHS, dtype=np.float32)[None, :] * np.float32(2 * math.pi / AZIMUTHS)
    if arms:
        slope = arms.winding / math.tan(math.radians(arms.pitch_angle_deg))
        turned = slope * np.log(radius / arms.begin_arcsec) + math.radians(arms.phase_deg)
    else:
        turned = np.zeros_like(radius)
    return _Layout(
        radius=radius,
        spiral=spiral,
        azimuth=(spiral + turned).astype(np.float32),
        turned=turned.astype(np.float32),
        scale_length=scale_length,
    )


def _radial(disc: Disc, layout: _Layout) -> Pixels:
    """Surface brightness along the radius, of unit flux (a square arcsec)."""
    h = layout.scale_length
    light = _exponential(disc, layout.radius / h) / h**2
    if disc.ring:
        ring = disc.ring
        width = ring.width * ring.radius_arcsec
        crest = np.exp(-0.5 * ((layout.radius - ring.radius_arcsec) / width) ** 2)
        crest /= (2 * math.pi) ** 1.5 * ring.radius_arcsec * width
        light = (1 - ring.fraction) * light + ring.fraction * crest
    return np.asarray(light, np.float32)


def _exponential(disc: Disc, reduced: Pixels) -> NDArray[np.float64]:
    """Exponential disc of unit scale length and flux; beyond a break it falls faster."""
    if not disc.break_radius:
        return np.asarray(np.exp(-reduced) / (2 * math.pi))
    broken, steep = disc.break_radius, 1 / BROKEN
    inner = 1 - (1 + broken) * math.exp(-broken)
    outer = math.exp(-broken) * (broken / steep + 1 / steep**2)
    beyond = np.maximum(reduced - broken, 0)
    light = np.exp(-np.minimum(reduced, broken) - steep * beyond)
    return np.asarray(light / (2 * math.pi * (inner + outer)))


def _armed(disc: Disc, arms: Arms, smooth: Pixels, layout: _Layout) -> list[Pixels]:
    """Old light between the arms and young light in them, over (ψ, ln r)."""
    share = arms.contrast / (1 + (arms.begin_arcsec / layout.radius) ** 4)
    if disc.ring:
        ring = disc.ring
        distance = (layout.radius - ring.radius_arcsec) / (ring.width * ring.radius_arcsec)
        share = np.maximum(share, 0.5 * np.exp(-0.5 * distance**2))
    young = smooth * share * _pattern(arms, layout)
    old = np.broadcast_to(smooth * (1 - share), young.shape)
    if arms.density_wave:
        wave = arms.density_wave * share / max(arms.contrast, 1e-3)
        old = old * (1 + wave * np.cos(arms.number * layout.spiral))
    return [np.asarray(old, np.float32), np.asarray(young, np.float32)]


def _pattern(arms: Arms, layout: _Layout) -> Pixels:
    """Brightness of the arms relative to the mean of their circle."""
    rng = np.random.default_rng(arms.patches)
    stray = arms.irregularity * _field(rng, (9, 1))[:, :1]
    phase = arms.number * (layout.spiral + stray)
    light = cv2.exp(np.float32(arms.sharpness) * (np.cos(phase) - 1))
    if arms.irregularity:
        light *= cv2.exp(np.float32(1.5 * arms.irregularity) * _field(rng, (7, 4)))
    if arms.flocculence:
        torn = cv2.exp(np.float32(1.3) * _field(rng, (18, 16)))
        mean = light.mean(axis=1, keepdims=True)
        light = (1 - arms.flocculence) * light + arms.flocculence * mean * torn
    light = light * cv2.exp(np.float32(arms.patchiness) * _field(rng, (30, 32)))
    return np.asarray(light / light.mean(axis=1, keepdims=True), np.float32)


def _field(rng: np.random.Generator, knots: tuple[int, int]) -> Pixels:
    """A smooth random field of unit spread over (ψ, ln r), the same at both ends of ψ.

    Its knots are rows and columns; 1, or a whole part of the azimuths.
    """
    rows, columns = knots
    field = rng.standard_normal((rows, columns), dtype=np.float32)
    if columns == 1:
        return np.asarray(cv2.resize(field, (1, RADII), interpolation=cv2.INTER_CUBIC))
    step = AZIMUTHS // columns
    wrapped = cv2.copyMakeBorder(field, 0, 0, 2, 2, cv2.BORDER_WRAP)
    whole = cv2.resize(wrapped, (AZIMUTHS + 4 * step, RADII), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(whole[:, 2 * step : AZIMUTHS + 2 * step])


def _lopsided(disc: Disc, layout: _Layout) -> Pixels:
    rise = (layout.radius / (LOPSIDED_FROM * layout.scale_length)) ** 2
    amplitude = disc.lopsidedness * rise / (1 + rise)
    direction = math.radians(disc.lopsided_deg)
    return np.asarray(1 + amplitude * np.cos(layout.azimuth - direction), np.float32)


def _dust(disc: Disc, layout: _Layout) -> Pixels:
    """Optical depth over (ψ, ln r), thicker on the inner edges of the arms."""
    dust, arms = disc.dust, disc.arms
    assert dust is not None
    depth = dust.optical_depth * np.exp(-layout.radius / (dust.extent * layout.scale_length))
    if not arms or not dust.lane:
        return np.asarray(np.broadcast_to(depth, layout.azimuth.shape), np.float32)
    phase = arms.number * layout.spiral - arms.winding * INNER_EDGE
    lane = np.exp(np.float32(3) * (np.cos(phase) - 1))
    rough = cv2.exp(0.5 * _field(np.random.default_rng([arms.patches, 1]), (24, 32)))
    begun = 1 / (1 + (0.6 * arms.begin_arcsec / layout.radius) ** 4)
    return np.asarray(depth * (1 + dust.lane * begun * lane) * rough, np.float32)


def _unroll(sheets: list[Pixels], layout: _Layout, n: int, cell: float) -> list[Pixels]:
    """Bring sheets over (ψ, ln r) to the cells of the plane."""
    row, azimuth = _polar(n)
    first = math.log(cell / (INNERMOST * layout.scale_length)) * (RADII - 1) / SPAN
    row = np.clip(row + np.float32(first), 0, RADII - 1)
    turned = layout.turned[:, 0] / np.float32(2 * math.pi)
    # ln r grows evenly with the row, and the turn of a spiral with ln r.
    share = cv2.scaleAdd(row, float(turned[0] - turned[-1]) / (RADII - 1), azimuth)
    share -= turned[0]
    share -= np.floor(share)
    column = cv2.addWeighted(share, AZIMUTHS, share, 0, PAD)
    blank = [np.zeros_like(layout.azimuth)] * (4 - len(sheets) if len(sheets) > 1 else 0)
    table = cv2.merge([np.ascontiguousarray(sheet, np.float32) for sheet in [*sheets, *blank]])
    table = cv2.copyMakeBorder(table, 0, 0, PAD, PAD, cv2.BORDER_WRAP)
    painted = cv2.remap(table, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return list(cv2.split(painted))[: len(sheets)]


def _bar(bar: Bar, arms: Arms | None, n: int, cell: float) -> Pixels:
    """Draw a Ferrers bar of unit flux, along the line from which the arms begin."""
    axis = ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * cell).astype(np.float32)
    angle = math.radians(arms.phase_deg if arms else 0.0)
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along = axis[None, :] * cosine + axis[:, None] * sine
    across = axis[:, None] * cosine - axis[None, :] * sine
    squared = along**2 + (across / np.float32(bar.axial_ratio)) ** 2
    light = np.maximum(1 - squared / np.float32(bar.radius_arcsec**2), 0) ** 2
    return np.asarray(light / max(light.sum(), 1e-30), dtype=np.float32)


def _clumped(arms: Arms, young: Pixels, sheet: Pixels, layout: _Layout, cell: float) -> Pixels:
    """Gather a share of the arms' light in star-forming regions, most where there is most of it."""
    rng = np.random.default_rng([arms.patches, 2])
    number = int(rng.integers(8, 60))
    weights = np.cumsum((sheet * layout.radius**2).ravel())
    chosen = np.searchsorted(weights, weights[-1] * rng.random(number, dtype=np.float32))
    rows, columns = np.divmod(np.minimum(chosen, weights.size - 1), AZIMUTHS)
    radius, azimuth = layout.radius[rows, 0] / cell, layout.azimuth[rows, columns]
    n = young.shape[0]
    x, y = (radius * turn(azimuth) + (n - 1) / 2 for turn in (np.cos, np.sin))
    inside = (np.minimum(x, y) > 1) & (np.maximum(x, y) < n - 2)
    light = rng.lognormal(0.0, 0.9, number).astype(np.float32)
    light *= arms.clumps * young.sum() / light.sum()
    clumped = young * np.float32(1 - arms.clumps)
    cells = np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)
    np.add.at(clumped, cells, light[inside])
    return clumped
