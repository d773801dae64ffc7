"""Unit and pixel scale of a FITS image, from its header: what is not stated is not guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from morphoscope.errors import ImageError

__all__ = ["flux_factor", "scale_of"]

Header = Mapping[str, Any]

# Flux of magnitude 0 (AB) in Jy: 48.60 of Oke & Gunn (1983), ApJ 266, 713.
AB_ZERO_JY = 10 ** (-0.4 * 48.60) * 1e23
IN_JY = {
    "maggy": AB_ZERO_JY,
    "nanomaggy": AB_ZERO_JY * 1e-9,
    "Jy": 1.0,
    "mJy": 1e-3,
    "uJy": 1e-6,
    "nJy": 1e-9,
}
SPELLINGS = {
    "maggies": "maggy",
    "mgy": "maggy",
    "nanomaggies": "nanomaggy",
    "nmgy": "nanomaggy",
    "jy": "Jy",
    "ujy": "uJy",
    "microjy": "uJy",
    "µjy": "uJy",
    "njy": "nJy",
    "nanojansky": "nJy",
}
PER_PIXEL = ("/pixel", "/pix")
SURFACE = "MJy/sr"
# Numbers that a detector counts: a zero point says what flux they are.
COUNTS = frozenset(
    f"{name}{rate}"
    for name in ("adu", "dn", "count", "counts", "electron", "electrons", "e-")
    for rate in ("", "/s", "/sec")
)
ZERO_POINTS = ("MAGZERO", "PHOTZP", "ZP", "MAGZPT")
# Systems of magnitudes named by these cards; another than AB is refused.
SYSTEMS = ("MAGSYS", "PHOTSYS")
# Surveys whose cutouts state no unit and whose documentation does: the Legacy Surveys' viewer.
SURVEYS = {"decals": "nanomaggy", "legacysurvey": "nanomaggy"}
ARCSEC = 3600.0
IN_DEG = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600, "rad": 180 / math.pi}
CELESTIAL = ("RA-", "DEC", "GLO", "GLA", "ELO", "ELA")


def _text(value: Any) -> str:
    """A card's text; a card without a value says nothing."""
    return value.strip() if isinstance(value, str) else ""


def flux_factor(header: Header, unit: str) -> float:
    """Factor that brings the pixel values of an image to a unit.

    Parameters
    ----------
    header
        Cards of the image. ``BUNIT`` comes first; of a detector's counts, or without it, a zero
        point of AB magnitudes (``FLUXMAG0``; ``MAGZERO``, ``PHOTZP``, ``ZP``, ``MAGZPT``;
        ``PHOTFLAM`` with ``PHOTPLAM``); then the survey, where its documentation states the unit.
    unit
        nanomaggy, maggy, Jy, mJy, uJy or nJy; any other must be stated alike. Empty: 1 is returned.

    Raises
    ------
    ImageError
        ``reason`` is ``no_unit`` where nothing is stated, else ``wrong_unit``.

    Notes
    -----
    Magnitudes are AB, 3630.78 Jy at 0 (Oke & Gunn 1983); HST's are from ``PHOTFLAM``
    (erg/s/cm²/Å) and ``PHOTPLAM`` (Å): −2.5 log ``PHOTFLAM`` − 5 log ``PHOTPLAM`` − 2.408.

    Examples
    --------
    >>> round(flux_factor({"BUNIT": "nanomaggy"}, "uJy"), 3)
    3.631
    >>> round(flux_factor({"BUNIT": "adu", "MAGZERO": 22.5}, "nanomaggy"), 6)
    1.0
    """
    if not unit:
        return 1.0
    stated, wanted = _text(header.get("BUNIT")), _spelt(unit)
    found = _spelt(stated)
    if found.casefold() == wanted.casefold() and wanted not in IN_JY:
        return 1.0
    in_jy = _in_jy(header, found)
    if in_jy is not None and wanted in IN_JY:
        return in_jy / IN_JY[wanted]
    if not stated:
        raise ImageError(
            "the FITS header states no unit (BUNIT) and no AB zero point",
            reason="no_unit",
            expected=unit,
            do="write BUNIT into it, or set prepare.unit = '' if all files have the same",
        )
    raise ImageError(
        f"the FITS image is in {stated!r}",
        reason="wrong_unit",
        expected=f"{unit}, or what can be converted to it",
        do="convert the image, or state its AB zero point (MAGZERO)",
    )


def _spelt(unit: str) -> str:
    """Usual spelling of a unit; a flux per pixel is what every pixel value is."""
    text = unit.replace(" ", "")
    for ending in PER_PIXEL:
        text = text[: -len(ending)] if text.casefold().endswith(ending) else text
    if text in IN_JY or text == SURFACE:
        return text
    name = text.casefold()
    return SPELLINGS.get(name, name if name in IN_JY else text)


def _in_jy(header: Header, unit: str) -> float | None:
    """Jy of one unit of the pixel values; None where it cannot be told."""
    if unit in IN_JY:
        return IN_JY[unit]
    if unit == SURFACE:
        side = math.radians(scale_of(header) / ARCSEC)
        return 1e6 * side * side
    if unit and unit.casefold() not in COUNTS:
        return None
    at_zero = _counts_at_zero(header)
    if at_zero:
        return AB_ZERO_JY / at_zero
    survey = SURVEYS.get(str(header.get("SURVEY", "")).strip().casefold())
    return IN_JY[survey] if survey and not unit else None


def _counts_at_zero(header: Header) -> float | None:
    """Counts of magnitude 0 (AB)."""
    systems = [str(header[name]).strip().upper() for name in SYSTEMS if name in header]
    if any(system != "AB" for system in systems):
        return None
    at_zero = _number(header, "FLUXMAG0")
    if at_zero and at_zero > 0:
        return at_zero
    for name in ZERO_POINTS:
        magnitude = _number(header, name)
        # 0 is what some pipelines write for "not measured".
        if magnitude:
            return float(10 ** (0.4 * magnitude))
    flam, pivot = _number(header, "PHOTFLAM"), _number(header, "PHOTPLAM")
    if flam and pivot and min(flam, pivot) > 0:
        return float(10 ** (0.4 * (-2.5 * math.log10(flam) - 5 * math.log10(pivot) - 2.408)))
    return None


def scale_of(header: Header) -> float:
    """Pixel scale (arcsec/pixel) that the celestial coordinates of an image state.

    The square root of the area of a pixel, from ``CDi_j``, or ``CDELTi`` with ``PCi_j``.

    Raises
    ------
    ImageError
        ``reason`` is ``no_scale``: there are no celestial coordinates.

    Examples
    --------
    >>> wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-4, "CDELT2": 1e-4}
    >>> round(scale_of(wcs), 6)
    0.36
    """
    types = [str(header.get(f"CTYPE{axis}", "")).upper()[:3] for axis in (1, 2)]
    side = math.sqrt(abs(_determinant(header))) if set(types) <= set(CELESTIAL) else 0.0
    if not side > 0:
        raise ImageError(
            "the FITS header states no pixel scale (no celestial WCS)",
            reason="no_scale",
            do="write the WCS into it, or set prepare.pixel_scale = 0 if all files have the same",
        )
    return side * ARCSEC


def _determinant(header: Header) -> float:
    """Area of a pixel (square degrees), with the sign of its handedness."""
    units = [IN_DEG.get(str(header.get(f"CUNIT{a}", "deg")).strip().lower(), 0.0) for a in (1, 2)]
    keys = [f"{row}_{column}" for row in (1, 2) for column in (1, 2)]
    if any(f"CD{key}" in header for key in keys):
        matrix = [_number(header, f"CD{key}") or 0.0 for key in keys]
        steps = [1.0, 1.0]
    else:
        default = dict.fromkeys(("1_1", "2_2"), 1.0)
        found = [_number(header, f"PC{key}") for key in keys]
        matrix = [
            default.get(key, 0.0) if value is None else value
            for key, value in zip(keys, found, strict=True)
        ]
        steps = [_number(header, f"CDELT{axis}") or 0.0 for axis in (1, 2)]
    area = matrix[0] * matrix[3] - matrix[1] * matrix[2]
    return area * steps[0] * steps[1] * units[0] * units[1]


def _number(header: Header, name: str) -> float | None:
    try:
        value = float(header[name])
    except (KeyError, TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
