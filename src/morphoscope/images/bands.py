"""The bands of a galaxy from FITS files: found by name, checked, masked, in one unit."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from morphoscope.errors import ImageError
from morphoscope.images.fits import as_cube, chosen, holds_image, open_fits, values_of
from morphoscope.images.formats import Pixels
from morphoscope.images.masks import mask_of
from morphoscope.images.naming import BAND, band_name, split_hdu, words_in
from morphoscope.images.units import flux_factor, scale_of

__all__ = ["Demand", "read_planes"]

# Share by which a pixel scale may differ.
SCALE_TOLERANCE = 0.1
# Words in the name of an extension that holds no flux of its own.
AUXILIARY = frozenset({"MASK", "DQ", "MASKBITS", "VARIANCE", "VAR", "INVVAR", "IVAR", "WHT"})
AUXILIARY |= {"WEIGHT", "WEIGHTS", "ERR", "ERROR", "SIGMA", "RMS", "STD", "NOISE", "EXP", "NEXP"}
AUXILIARY |= {"CTX", "CON", "NEXPTIME", "PSF", "BKG", "BACKGROUND", "SEGM", "SEGMENTATION"}
AUXILIARY |= {"CHI2", "MODEL", "RESID"}
GENERIC = frozenset({"", "PRIMARY", "IMAGE", "SCI", "DATA", "COMPRESSED_IMAGE"})
CARDS = ("BAND", "FILTER")


@dataclass(frozen=True)
class Demand:
    """What must hold of every image; `morphoscope.images.read_bands` says what each means."""

    bands: tuple[str, ...]
    planes: tuple[str, ...]
    unit: str
    pixel_scale: float
    mask_bits: int
    largest_pixels: int


@dataclass(frozen=True)
class Plane:
    """One band: which image of the file, which plane of its cube, its own and inherited cards."""

    name: str
    hdu: Any
    index: int
    cards: Mapping[str, Any]


def read_planes(file_loc: str, demand: Demand) -> Pixels:
    """(ny, nx, band) float32 in the order asked for, NaN where masked, row 0 on top."""
    if BAND in file_loc:
        bands = [_of_one_file(file_loc, band, demand) for band in demand.bands]
    else:
        bands = _read(file_loc, demand.bands, demand)
    sizes = {band.shape for band in bands}
    if len(sizes) > 1:
        raise ImageError(
            f"the bands have the sizes {', '.join(f'{ny}×{nx}' for ny, nx in sorted(sizes))}",
            reason="wrong_size",
            expected="bands on one grid of pixels",
            do="resample them to one grid",
        )
    return np.ascontiguousarray(np.stack(bands, axis=2)[::-1])


def _of_one_file(file_loc: str, band: str, demand: Demand) -> Pixels:
    """Plane of the file that ``{band}`` names; its header may keep silent, not contradict."""
    try:
        return _read(file_loc.replace(BAND, band), (band,), demand, silent_as=band)[0]
    except FileNotFoundError as error:
        raise ImageError(f"there is no file of the band {band}", reason="missing_band") from error


def _read(file_loc: str, bands: Sequence[str], demand: Demand, silent_as: str = "") -> list[Pixels]:
    path, wanted = split_hdu(file_loc)
    with open_fits(path) as hdus:
        images = [chosen(hdus, wanted)] if wanted else _science(hdus)
        planes = (silent_as,) if silent_as else demand.planes
        found = _planes(images, hdus[0].header, planes)
        names = {plane.name for plane in found}
        return [_flux(plane, names, hdus, demand) for plane in _in_order(found, bands)]


def _science(hdus: Any) -> list[Any]:
    """Images that hold flux; the first one alone, where it is a cube."""
    first = chosen(hdus, "")
    if as_cube(first.shape)[0] > 1:
        return [first]
    images = [hdu for hdu in hdus if holds_image(hdu)]
    return [hdu for hdu in images if not AUXILIARY & words_in(hdu.name)] or [first]


def _planes(images: list[Any], primary: Any, planes: Sequence[str]) -> list[Plane]:
    """All planes that have a name."""
    found = []
    for hdu in images:
        n = as_cube(hdu.shape)[0]
        cards = ChainMap(hdu.header, primary)
        names = _cube_names(hdu.header, n) if n > 1 else _name(hdu, cards, alone=len(images) == 1)
        if not names and len(images) == 1:
            names = _declared(planes, n)
        found += [Plane(band_name(name), hdu, i, cards) for i, name in enumerate(names)]
    return found


def _cube_names(header: Any, n: int) -> list[str]:
    """Names of the planes: ``BANDS`` ("g,r,i" or "gri"), or ``BAND1`` …, or ``BAND0`` …."""
    text = str(header.get("BANDS", "")).strip()
    names = [name for name in re.split(r"[,;\s]+", text) if name]
    if len(names) == 1 and len(text) == n:
        names = list(text)
    if names and len(names) != n:
        raise ImageError(
            f"the card BANDS names {text!r} and the cube has {n} planes", reason="missing_band"
        )
    for first in (1, 0):
        numbered = [header.get(f"BAND{first + index}") for index in range(n)]
        if not names and all(name is not None for name in numbered):
            names = [str(name) for name in numbered]
    return names


def _name(hdu: Any, cards: Mapping[str, Any], *, alone: bool) -> list[str]:
    """Name of the band of a single plane, if it has one: its cards', then its extension's."""
    source = cards if alone else hdu.header
    for card in ("BANDS", *CARDS):
        if str(source.get(card, "")).strip():
            return [str(source[card])]
    extension = str(hdu.header.get("EXTNAME", "")).strip()
    if extension.upper() in GENERIC:
        return []
    # FITS does not tell large from small letters in names of extensions.
    return [extension.lower() if len(extension) == 1 else extension]


def _declared(planes: Sequence[str], n: int) -> list[str]:
    if planes and len(planes) != n:
        raise ImageError(
            f"the FITS image has {n} planes and names none",
            reason="missing_band",
            expected=f"the {len(planes)} planes {', '.join(planes)}",
        )
    return list(planes)


def _in_order(found: list[Plane], bands: Sequence[str]) -> list[Plane]:
    """The planes of the bands that are asked for, each there once."""
    names = [plane.name for plane in found]
    for band in bands:
        if names.count(band_name(band)) != 1:
            what = "more than one" if band_name(band) in names else "no"
            raise ImageError(
                f"there is {what} band {band} ({', '.join(names) or 'none is named'})",
                reason="missing_band",
                expected=f"each of {', '.join(bands)} once",
                do="name the bands in cards (BANDS of a cube, FILTER of an extension), or, if no "
                "file does, in prepare.planes",
            )
    by_name = dict(zip(names, found, strict=True))
    return [by_name[band_name(band)] for band in bands]


def _flux(plane: Plane, names: set[str], hdus: Any, demand: Demand) -> Pixels:
    """(ny, nx) float32 of a plane in the unit asked for, NaN where masked or not finite."""
    if demand.pixel_scale:
        _require_scale(scale_of(plane.hdu.header), demand.pixel_scale)
    factor = flux_factor(plane.cards, demand.unit)
    values = values_of(plane.hdu, demand.largest_pixels)[plane.index]
    # What is beyond float32 becomes infinite, and so is left out.
    with np.errstate(over="ignore", invalid="ignore"):
        flux: Pixels = (values.astype(np.float64) * factor).astype(np.float32)
    flux[~np.isfinite(flux)] = np.nan
    limits = (demand.mask_bits, demand.largest_pixels)
    mask = mask_of(hdus, plane.hdu, plane.name, names, *limits)
    if mask is not None:
        flux[mask[plane.index if len(mask) > 1 else 0]] = np.nan
    return flux


def _require_scale(found: float, expected: float) -> None:
    if abs(found / expected - 1) > SCALE_TOLERANCE:
        raise ImageError(
            f"the pixel scale is {found:.4g} arcsec/pixel",
            reason="wrong_scale",
            expected=f"{expected:g}, to {SCALE_TOLERANCE:.0%}",
            do="resample the image to that scale",
        )
