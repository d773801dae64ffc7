"""Discs: an exponential disc seen at an inclination, with spiral arms and a bar painted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.simulate.bands import BANDS, flux_ratio
from morphoscope.simulate.galaxy import Arms, Bar, Disc, Galaxy

__all__ = ["Frame", "paint_disc", "smooth_disc"]

Pixels = NDArray[np.float32]

EXPONENTIAL_HALF_LIGHT = 1.67835  # half-light radius of an exponential disc over its scale length
PATCH_GRID = 48
PATCH_REACH = 5.0  # scale lengths from the centre to the edge of the patches
BAR_AXIAL_RATIO = 0.3


@dataclass(frozen=True)
class Frame:
    """A square grid of pixels on the sky, x to the right and y upwards.

    Attributes
    ----------
    size
        Pixels a side.
    pixel_scale
        Arcsec a pixel.
    x, y
        Where the galaxy's centre is, from the middle of the grid (arcsec).
    """

    size: int
    pixel_scale: float
    x: float = 0.0
    y: float = 0.0

    def axes(self) -> tuple[Pixels, Pixels]:
        """Distance of each pixel from the galaxy's centre (arcsec); shapes (1, x) and (y, 1)."""
        along = (np.arange(self.size, dtype=np.float32) - (self.size - 1) / 2) * self.pixel_scale
        return (along - self.x)[None, :], (along - self.y)[:, None]


def smooth_disc(galaxy: Galaxy, frame: Frame) -> Pixels:
    """Draw the disc without arms or bar, of unit flux, as no atmosphere has blurred it."""
    import galsim

    disc = _disc(galaxy)
    profile = galsim.InclinedExponential(
        disc.inclination * galsim.degrees,
        half_light_radius=galaxy.radius_arcsec,
        scale_h_over_r=disc.thickness,
    )
    profile = profile.rotate((galaxy.position_angle_deg + 90) * galsim.degrees)
    image = profile.shift(frame.x, frame.y).drawImage(
        nx=frame.size, ny=frame.size, scale=frame.pixel_scale, dtype=np.float32
    )
    # The finite Fourier transform rings a little below zero far from a thin disc.
    return np.asarray(np.maximum(image.array, 0), dtype=np.float32)


def paint_disc(galaxy: Galaxy, frame: Frame) -> dict[str, Pixels]:
    """Paint the disc with its arms and bar in each band.

    Arms take light from the disc around them and lay it along logarithmic spirals: on each circle
    a share of the light, the contrast, follows a von Mises profile round every arm, which leaves
    the mean of a circle, and so the radial profile, as it was. Patches then modulate the arms.

    Parameters
    ----------
    galaxy
        A galaxy with a disc.
    frame
        Where to paint it.

    Returns
    -------
    dict
        Band to plane of shape (y, x); in r the fluxes of disc, arms and bar together are the
        galaxy's light less its bulge's, as a share of one.
    """
    disc = _disc(galaxy)
    plane = _Plane.of(galaxy, frame)
    carried = (disc.bulge.fraction if disc.bulge else 0) + (disc.bar.fraction if disc.bar else 0)
    old = (1 - carried) * smooth_disc(galaxy, frame)
    young = np.zeros_like(old)
    if disc.arms:
        taken = old * _arm_share(disc.arms, plane.radius)
        old = old - taken
        young = taken * _arm_pattern(disc.arms, plane)
        young *= taken.sum() / max(young.sum(), 1e-30)
    if disc.bar:
        old = old + disc.bar.fraction * _bar(disc.bar, disc.arms, plane)
    young_g_r = disc.arms.g_r if disc.arms else galaxy.g_r
    return {
        band: np.asarray(
            old * flux_ratio(band, galaxy.g_r) + young * flux_ratio(band, young_g_r), np.float32
        )
        for band in BANDS
    }


@dataclass(frozen=True)
class _Plane:
    """Coordinates in the plane of a disc of each pixel: x along the major axis."""

    x: Pixels
    y: Pixels
    radius: Pixels
    azimuth: Pixels
    scale_length: float

    @classmethod
    def of(cls, galaxy: Galaxy, frame: Frame) -> Self:
        right, up = frame.axes()
        angle = np.deg2rad(galaxy.position_angle_deg + 90)
        x = right * np.cos(angle) + up * np.sin(angle)
        y = (up * np.cos(angle) - right * np.sin(angle)) / galaxy.axial_ratio
        return cls(
            x=x.astype(np.float32),
            y=y.astype(np.float32),
            radius=np.hypot(x, y).astype(np.float32),
            azimuth=np.arctan2(y, x).astype(np.float32),
            scale_length=galaxy.radius_arcsec / EXPONENTIAL_HALF_LIGHT,
        )


def _arm_share(arms: Arms, radius: Pixels) -> Pixels:
    share = arms.contrast / (1 + (arms.begin_arcsec / np.maximum(radius, 1e-3)) ** 4)
    return np.asarray(share, dtype=np.float32)


def _arm_pattern(arms: Arms, plane: _Plane) -> Pixels:
    """Brightness of the arms relative to the mean of their circle."""
    turned = np.log(np.maximum(plane.radius, 1e-3) / arms.begin_arcsec)
    turned *= arms.winding / np.tan(np.deg2rad(arms.pitch_angle_deg))
    phase = arms.number * (plane.azimuth - turned - np.deg2rad(arms.phase_deg))
    round_the_arm = np.exp(arms.sharpness * np.cos(phase)) / np.i0(arms.sharpness)
    return np.asarray(round_the_arm * _patches(arms, plane), dtype=np.float32)


def _patches(arms: Arms, plane: _Plane) -> Pixels:
    """Patches of star formation, laid out in the plane of the disc."""
    rng = np.random.default_rng(arms.patches)
    field = rng.standard_normal((PATCH_GRID, PATCH_GRID), dtype=np.float32)
    cells = PATCH_GRID / (2 * PATCH_REACH * plane.scale_length)
    x, y = (axis * np.float32(cells) + PATCH_GRID // 2 for axis in (plane.x, plane.y))
    level = cv2.remap(field, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
    return np.asarray(np.exp(arms.patchiness * level), dtype=np.float32)


def _bar(bar: Bar, arms: Arms | None, plane: _Plane) -> Pixels:
    """Draw a Ferrers bar of unit flux, along the line from which the arms begin."""
    angle = np.deg2rad(arms.phase_deg if arms else 0.0)
    along = plane.x * np.cos(angle) + plane.y * np.sin(angle)
    across = plane.y * np.cos(angle) - plane.x * np.sin(angle)
    distance = np.hypot(along, across / BAR_AXIAL_RATIO) / bar.radius_arcsec
    light = np.maximum(1 - distance**2, 0) ** 2
    return np.asarray(light / max(light.sum(), 1e-30), dtype=np.float32)


def _disc(galaxy: Galaxy) -> Disc:
    if galaxy.disc is None:
        raise ValueError(f"galaxy {galaxy.index} ({galaxy.kind}) has no disc")
    return galaxy.disc
