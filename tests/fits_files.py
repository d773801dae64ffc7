"""Small galaxies in measured flux, and FITS files of them in many forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Flux = NDArray[np.float32]

BANDS = ("g", "r", "i")
# Flux in g and i of that in r: an old population, and a young one.
COLOURS = {"smooth": (0.45, 1.0, 1.45), "disc": (0.8, 1.0, 1.1)}
PIXEL_SCALE = 0.396
NOISE = 0.02
SKY = 0.3


def drawn(kind: str, seed: int, *, side: int = 64) -> Flux:
    """A galaxy in g, r, i, ``(band, ny, nx)``, nanomaggies a pixel, on a sky of 0.3.

    ``smooth`` is a round de Vaucouleurs profile, ``disc`` an exponential one with two arms.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2 + random.uniform(-1, 1, (2, 1, 1))
    angle, ratio = random.uniform(0, np.pi), random.uniform(0.7, 1)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius = np.hypot(along, across / ratio)
    if kind == "smooth":
        light = np.exp(-7.67 * ((radius / random.uniform(6, 9)) ** 0.25 - 1))
    else:
        arms = 1 + 0.7 * np.cos(2 * np.arctan2(across / ratio, along) - radius / 2)
        light = 8 * arms * np.exp(-radius / random.uniform(4, 6))
    light *= random.uniform(0.1, 0.3) / light.mean() * 0.5
    colours = np.array(COLOURS[kind]) * random.uniform(0.95, 1.05, 3)
    noise = random.normal(0, NOISE, (3, side, side))
    return (light * colours[:, None, None] + SKY + noise).astype(np.float32)


def header(*, scale: float = PIXEL_SCALE, **cards: Any) -> fits.Header:
    """Celestial coordinates of a cutout, and more cards; None leaves one out."""
    values: dict[str, Any] = {
        "BUNIT": "nanomaggy",
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 150.0,
        "CRVAL2": 2.0,
        "CRPIX1": 32.0,
        "CRPIX2": 32.0,
        "CD1_1": -scale / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale / 3600,
        **cards,
    }
    return fits.Header([(key, value) for key, value in values.items() if value is not None])


def without_wcs(**cards: Any) -> fits.Header:
    names = ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2")
    matrix = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
    return header(**dict.fromkeys((*names, *matrix)), **cards)


def write_cube(path: Path, flux: NDArray[Any], **cards: Any) -> str:
    """One cube whose header names its bands; ``.fits.fz`` is compressed by tiles."""
    made = header(**{"BANDS": ",".join(BANDS), **cards})
    first: Any = fits.PrimaryHDU(flux, made)
    if path.name.endswith(".fz"):
        tiles = fits.CompImageHDU(flux, made, compression_type="GZIP_2", quantize_level=0)
        first = fits.HDUList([fits.PrimaryHDU(), tiles])
    first.writeto(path, overwrite=True)
    return str(path)


def write_extensions(path: Path, *hdus: Any) -> str:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return str(path)


def image(values: NDArray[Any], name: str = "", **cards: Any) -> fits.ImageHDU:
    """An extension with coordinates and unit."""
    return fits.ImageHDU(values, header(**cards), name=name or None)


def upright(flux: NDArray[Any]) -> NDArray[Any]:
    """``(band, ny, nx)`` as it lies in a file to ``(ny, nx, band)`` with row 0 on top."""
    return flux[:, ::-1].transpose(1, 2, 0)
