"""Discs on the sky: the plane tilted, dimmed by its dust, warped and turned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from morphoscope.simulate.bands import REDDENING, flux_ratio
from morphoscope.simulate.frame import Frame, Pixels
from morphoscope.simulate.galaxy import Bulge, Disc, Galaxy
from morphoscope.simulate.plane import EXPONENTIAL_HALF_LIGHT, Plane, paint_plane
from morphoscope.simulate.projection import Layer, Tilt, layers
from morphoscope.simulate.sersic import Sersic, paint_sersic

__all__ = ["PaintedDisc", "paint_disc"]

CELLS = 1.3  # most cells over the pixels of the frame's side
REACH = 6.0  # scale lengths and scale heights to the edge of the plane
WARP_FROM = 1.8  # scale lengths
CHANNELS = 4  # that OpenCV resamples together
BULGE_REACH = 1.8  # half-light radii for each unit of the Sersic index, beyond two
STEEPEST = 12.0  # tangent of the tilt used for what of a bulge lies behind the dust


@dataclass(frozen=True)
class PaintedDisc:
    """A disc and its bulge in each band.

    Attributes
    ----------
    bands
        Band to plane of shape (y, x); without dust the fluxes in r add up to one.
    left
        Share of its light in r that leaves its dust.
    """

    bands: dict[str, Pixels]
    left: float


@dataclass(frozen=True)
class _Seen:
    """A disc on the rows of the sky: light of each band, optical depth in r, share left in r."""

    bands: list[Pixels]
    depth: Pixels | None
    left: float


def paint_disc(galaxy: Galaxy, frame: Frame, names: tuple[str, ...]) -> PaintedDisc:
    """Paint a galaxy with a disc, as no atmosphere has blurred it.

    Parameters
    ----------
    galaxy
        A galaxy with a disc.
    frame
        Where to paint it.
    names
        Bands.

    Raises
    ------
    ValueError
        The galaxy has no disc.

    Examples
    --------
    >>> galaxy = Galaxy(0, "disc", 16.0, 3.0, 0.5, 30.0, 0.6, disc=Disc(60.0, 0.2))
    >>> painted = paint_disc(galaxy, Frame(128, 0.396), ("g", "r"))
    >>> round(float(painted.bands["r"].sum()), 1)
    1.0
    """
    if galaxy.disc is None:
        raise ValueError(f"galaxy {galaxy.index} ({galaxy.kind}) has no disc")
    disc, tilt = galaxy.disc, _tilt(galaxy, galaxy.disc, frame)
    seen = _see(galaxy, disc, paint_plane(galaxy, disc, tilt.n, tilt.cell), tilt, names)
    if disc.warp:
        seen = _warp(galaxy, disc, tilt, seen)
    sheets = [*seen.bands, *([] if seen.depth is None else [seen.depth])]
    on_sky = _to_sky(galaxy, frame, tilt, sheets)
    area = np.float32(frame.pixel_scale**2 / (tilt.cell * tilt.row))
    bands = {name: area * light for name, light in zip(names, on_sky)}
    left = seen.left
    if disc.bulge:
        depth = None if seen.depth is None else on_sky[-1]
        share = disc.bulge.fraction
        left = (1 - share) * left + share * _add_bulge(galaxy, disc.bulge, frame, bands, depth)
    return PaintedDisc(bands, left)


def _tilt(galaxy: Galaxy, disc: Disc, frame: Frame) -> Tilt:
    """Choose cells and rows fine enough for the frame, and no more than it shows."""
    h, pixel = galaxy.radius_arcsec / EXPONENTIAL_HALF_LIGHT, frame.pixel_scale
    most = max(CELLS * frame.size, 96)
    diagonal = frame.size * pixel / math.sqrt(2) + math.hypot(frame.x, frame.y)
    reach = min(REACH * h, diagonal)
    cell = max(frame.finest * pixel, 2 * reach / most)
    n = 16 * math.ceil(2 * reach / cell / 16)
    angle = math.radians(disc.inclination)
    height = n * cell / 2 * math.cos(angle) + min(
        REACH * disc.thickness * h * math.sin(angle), diagonal
    )
    height += abs(disc.warp) * galaxy.radius_arcsec * 2
    row = max(frame.finest * pixel, 2 * height / most)
    return Tilt(disc.inclination, n, cell, 2 * math.ceil(height / row + 1), row)


def _see(galaxy: Galaxy, disc: Disc, plane: Plane, tilt: Tilt, names: tuple[str, ...]) -> _Seen:
    """See the plane at its tilt, through its own dust."""
    h = galaxy.radius_arcsec / EXPONENTIAL_HALF_LIGHT
    dust = None
    if disc.dust:
        dust = Layer(disc.dust.height * disc.thickness * h, h, disc.near_side)
    parts = [(layers(plane.old, disc.thickness * h, tilt, dust), galaxy.g_r)]
    if plane.young is not None and disc.arms:
        height = disc.thickness * disc.young_height * h
        parts.append((layers(plane.young, height, tilt, dust), disc.arms.g_r))
    if plane.dust is None or not dust:
        return _Seen([_mixture(parts, name, 0) for name in names], None, 1.0)
    # A column of dust is seen aslant: the same in fewer rows.
    depth = layers(plane.dust, dust.height, tilt)[0] * np.float32(tilt.cell / tilt.row)
    bands = [_dimmed(parts, name, depth) for name in names]
    whole = sum(float(layer.sum()) for some, _ in parts for layer in some)
    return _Seen(bands, depth, float(bands[names.index("r")].sum()) / max(whole, 1e-30))


def _mixture(parts: list[tuple[list[Pixels], float]], name: str, layer: int) -> Pixels:
    """Light of a band in one layer, from what is old and what is young."""
    (old, g_r), *young = parts
    light = old[layer] * np.float32(flux_ratio(name, g_r))
    for some, g_r in young:
        light = cv2.scaleAdd(some[layer], flux_ratio(name, g_r), light)
    return light


def _dimmed(parts: list[tuple[list[Pixels], float]], name: str, depth: Pixels) -> Pixels:
    """Light of a band: what lies before the dust, is mixed with it, and shines through it."""
    front, among, back = (_mixture(parts, name, layer) for layer in range(3))
    thick = depth * np.float32(REDDENING[name]) + np.float32(1e-4)
    through = cv2.exp(-thick)
    back *= through
    among *= np.divide(1 - through, thick, out=thick)
    front += among
    front += back
    return front


def _warp(galaxy: Galaxy, disc: Disc, tilt: Tilt, seen: _Seen) -> _Seen:
    """Bend the outer disc up on one side and down on the other."""
    h = galaxy.radius_arcsec / EXPONENTIAL_HALF_LIGHT
    x = (np.arange(tilt.n) - (tilt.n - 1) / 2) * tilt.cell
    beyond = np.maximum(np.abs(x) / h - WARP_FROM, 0) / (REACH - WARP_FROM)
    shift = disc.warp * galaxy.radius_arcsec * np.sign(x) * beyond**1.5 * tilt.sine / tilt.row
    columns, rows = np.meshgrid(
        np.arange(tilt.n, dtype=np.float32), np.arange(tilt.rows, dtype=np.float32)
    )
    rows -= shift.astype(np.float32)[None, :]

    def bent(sheet: Pixels) -> Pixels:
        return np.asarray(cv2.remap(sheet, columns, rows, cv2.INTER_LINEAR))

    depth = None if seen.depth is None else bent(seen.depth)
    return _Seen([bent(band) for band in seen.bands], depth, seen.left)


def _to_sky(galaxy: Galaxy, frame: Frame, tilt: Tilt, sheets: list[Pixels]) -> list[Pixels]:
    """Turn sheets of (rows, cells) by the position angle onto the pixels of the frame."""
    angle = math.radians(galaxy.position_angle_deg + 90)
    cosine, sine, middle = math.cos(angle), math.sin(angle), (frame.size - 1) / 2
    pixel = frame.pixel_scale
    x0, y0 = middle + frame.x / pixel, middle + frame.y / pixel
    a, b = pixel / tilt.cell, pixel / tilt.row
    matrix = np.array(
        [
            [a * cosine, a * sine, (tilt.n - 1) / 2 - a * (cosine * x0 + sine * y0)],
            [-b * sine, b * cosine, (tilt.rows - 1) / 2 - b * (-sine * x0 + cosine * y0)],
        ]
    )
    on_sky: list[Pixels] = []
    for k in range(0, len(sheets), CHANNELS):
        some = sheets[k : k + CHANNELS]
        stack = cv2.merge([np.ascontiguousarray(sheet) for sheet in some])
        size, flags = (frame.size, frame.size), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        on_sky += cv2.split(cv2.warpAffine(stack, matrix, size, flags=flags))
    return on_sky


def _add_bulge(
    galaxy: Galaxy,
    bulge: Bulge,
    frame: Frame,
    bands: dict[str, Pixels],
    depth: Pixels | None,
) -> float:
    """Add the bulge, its far part behind the dust; what share of it is left in r."""
    left = 1.0
    window, part = frame.window((2 + BULGE_REACH * bulge.sersic_n) * bulge.radius_arcsec)
    angle = galaxy.position_angle_deg + 90
    light = paint_sersic(
        Sersic(bulge.sersic_n, bulge.radius_arcsec, bulge.axial_ratio, angle), window
    )
    hidden = None if depth is None else light * _behind(galaxy, bulge, window)
    for name, band in bands.items():
        shining = light
        if depth is not None and hidden is not None:
            through = cv2.exp(depth[part] * np.float32(-REDDENING[name]))
            shining = light - hidden * (1 - through)
        band[part] += np.float32(bulge.fraction * flux_ratio(name, bulge.g_r)) * shining
        if name == "r":
            left = float(shining.sum()) / max(float(light.sum()), 1e-30)
    return left


def _behind(galaxy: Galaxy, bulge: Bulge, frame: Frame) -> Pixels:
    """Share of a bulge's light that lies behind the plane of the disc."""
    disc, (x, y) = galaxy.disc, frame.axes()
    assert disc is not None
    angle = math.radians(galaxy.position_angle_deg + 90)
    v = y * np.float32(math.cos(angle)) - x * np.float32(math.sin(angle))
    tangent = min(math.tan(math.radians(min(disc.inclination, 89.9))), STEEPEST)
    steep = -disc.near_side * tangent / bulge.radius_arcsec
    return np.asarray(0.5 + 0.5 * np.tanh(v * np.float32(steep)), np.float32)
