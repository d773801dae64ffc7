"""Masks beside a FITS image: which pixels to leave out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import ImageError
from morphoscope.images.fits import as_cube, holds_image, values_of
from morphoscope.images.naming import band_name, words_in

__all__ = ["mask_of"]

MASKS = frozenset({"MASK", "DQ"})
# Planes of the LSST and HSC pipelines (cards MP_<name> = bit) that are defects; others, as
# DETECTED, mark every galaxy.
PLANE = "MP_"
DEFECTS = ("BAD", "SAT", "CR", "NO_DATA", "EDGE", "UNMASKEDNAN")


def mask_of(
    hdus: Any, image: Any, band: str, bands: Collection[str], bits: int, largest_pixels: int
) -> NDArray[np.bool_] | None:
    """Mask of an image, ``(1 or band, ny, nx)``, True = ignore, row 0 below; None: it has none.

    One mask goes with all images of a file, or with that of the one of its `bands` that its name
    has; of several, the one whose name has the band, or whose version is the image's.

    Raises
    ------
    ImageError
        ``reason`` is ``wrong_mask``: of another size, or it is not clear which of several.
    """
    masks = [hdu for hdu in hdus if holds_image(hdu) and MASKS & words_in(hdu.name)]
    if not bits or not masks:
        return None
    if len(masks) == 1:
        named = _bands_in(masks[0]) & set(bands)
        if named and band not in named:
            return None
    else:
        of_band = [mask for mask in masks if band in _bands_in(mask)]
        masks = of_band or [mask for mask in masks if mask.ver == image.ver]
    if len(masks) != 1:
        raise ImageError(
            f"it is not clear which of the masks belongs to the band {band}",
            reason="wrong_mask",
            expected="one mask, or one a band with its name or version (EXTVER)",
            do="mend the file, or set prepare.mask_bits = 0",
        )
    mask = masks[0]
    shape, expected = as_cube(mask.shape), as_cube(image.shape)
    if shape[1:] != expected[1:] or shape[0] not in (1, expected[0]):
        raise ImageError(
            f"the mask has the shape {mask.shape} and its image {image.shape}", reason="wrong_mask"
        )
    values = np.nan_to_num(values_of(mask, largest_pixels), nan=1.0).astype(np.int64)
    return np.asarray(values & _ignored(mask.header, bits) != 0)


def _bands_in(mask: Any) -> set[str]:
    words = words_in(str(mask.header.get("EXTNAME", "")))
    return {band_name(word.lower() if len(word) == 1 else word) for word in words}


def _ignored(header: Any, bits: int) -> int:
    """Bits whose pixels are left out; -1 is all bits set."""
    planes = {name[len(PLANE) :]: header[name] for name in header if name.startswith(PLANE)}
    if bits != -1 or not planes:
        return bits
    return sum(1 << int(planes[name]) for name in DEFECTS if name in planes)
