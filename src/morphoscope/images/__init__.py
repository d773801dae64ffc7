"""Image files to arrays: one door for JPEG, PNG, TIFF, WebP, BMP, FITS and HDF5 rows.

The content decides what a file is, not its suffix. The header is read before any pixel, so that an
absurdly large image costs nothing. Whatever is wrong with a file becomes an ``ImageError`` with a
one-word reason. EXIF orientation is ignored on purpose: survey cutouts carry none, and where a
photo tool has written one, the pixels are still in the order in which they were measured. (TIFF
says in its own tags where row 0 is; that is followed.)
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from morphoscope.errors import ImageError, MissingDependencyError
from morphoscope.images.fits import fits_size, read_fits
from morphoscope.images.formats import (
    HEAD_BYTES,
    LARGEST_PIXELS,
    VALUES_PER_PIXEL,
    Kind,
    Pixels,
    header_size,
    kind_of,
    refuse_large,
)
from morphoscope.images.hdf5 import hdf5_size, read_hdf5
from morphoscope.images.rasters import decode

__all__ = ["IMAGE_SUFFIXES", "LARGEST_PIXELS", "image_size", "read_image"]

# To be met by ``name.lower().endswith``: two of them have two parts.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}
    | {".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"}
)
HDF5_ROW = re.compile(r"(?P<file>.+)::(?P<dataset>[^\[\]]+)\[(?P<index>\d+)\]")
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})


def read_image(file_loc: str, *, at_least: int = 0, largest_pixels: int = LARGEST_PIXELS) -> Pixels:
    """Read one image.

    Parameters
    ----------
    file_loc
        A path, or ``file.h5::dataset[index]`` for one row of an HDF5 dataset.
    at_least
        Smallest side that is still useful (pixels): a JPEG may be decoded at 1/2, 1/4 or 1/8 of
        its scale as long as both sides keep as many, and its colour, if stored at half the
        resolution, is repeated, not interpolated. 0 asks for all that the file holds.
    largest_pixels
        Most pixels (ny × nx) that an image may have.

    Returns
    -------
    numpy.ndarray
        (ny, nx, channel), row 0 on top. uint8 grey or RGB from JPEG, PNG, TIFF, WebP and BMP:
        16 bits are scaled to 8, transparency is laid on black, palettes are expanded. float32
        from FITS (channel = band, NaN kept) and from float TIFF; FITS rows, which run upwards, are
        reversed, so that a spiral winds the same way in FITS as in JPEG.

    Raises
    ------
    ImageError
        ``reason`` is ``missing``, ``empty``, ``truncated``, ``too_large``, ``not_an_image`` or
        ``unreadable``.

    Examples
    --------
    >>> read_image("galaxy.jpg").shape  # doctest: +SKIP
    (424, 424, 3)
    """
    with _translated(file_loc):
        row = HDF5_ROW.fullmatch(file_loc)
        if row:
            return read_hdf5(row["file"], row["dataset"], int(row["index"]), largest_pixels)
        kind, data = _content(file_loc, largest_pixels)
        if kind is None:
            return read_fits(file_loc, largest_pixels)
        ny, nx = header_size(kind, data)
        refuse_large(ny * nx, largest_pixels, "pixels")
        return decode(kind, data, at_least)


def image_size(file_loc: str) -> tuple[int, int]:
    """Size ``(ny, nx)`` in pixels, from the header alone.

    Raises
    ------
    ImageError
        As for `read_image`.
    """
    with _translated(file_loc):
        row = HDF5_ROW.fullmatch(file_loc)
        if row:
            return hdf5_size(row["file"], row["dataset"])
        kind, data = _content(file_loc, LARGEST_PIXELS)
        return fits_size(file_loc) if kind is None else header_size(kind, data)


def _content(file_loc: str, largest_pixels: int) -> tuple[Kind | None, bytes]:
    """Kind of raster and all bytes of a file; None and only its beginning for FITS."""
    with Path(file_loc).open("rb") as handle:
        head = handle.read(HEAD_BYTES)
        kind = kind_of(head)
        if kind is None:
            return None, head
        size = os.fstat(handle.fileno()).st_size
        refuse_large(size, 4 * VALUES_PER_PIXEL * largest_pixels, "bytes")
        return kind, head + handle.read()


@contextmanager
def _translated(file_loc: str) -> Iterator[None]:
    """Turn whatever a decoder raises into ``ImageError``: one bad file never ends a run."""
    try:
        yield
    except MissingDependencyError:
        raise
    except ImageError as error:
        found = error.found if file_loc in error.found else f"{file_loc}: {error.found}"
        raise ImageError(
            found, reason=error.reason, expected=error.expected, do=error.do, file_loc=file_loc
        ) from error.__cause__
    except Exception as error:
        reason, found = _reason(error)
        raise ImageError(f"{file_loc}: {found}", reason=reason, file_loc=file_loc) from error


def _reason(error: Exception) -> tuple[str, str]:
    if isinstance(error, MemoryError):
        return "too_large", "there is not enough memory to decode it"
    if isinstance(error, IsADirectoryError):
        return "not_an_image", "it is a folder"
    if isinstance(error, OSError) and error.errno in ABSENT:
        return "missing", "there is no such file"
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "missing", "there is no such file"
    return "unreadable", f"it cannot be read ({type(error).__name__}: {error})"
