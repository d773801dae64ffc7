"""Image files to arrays: one door for JPEG, PNG, TIFF, WebP, BMP, FITS, rows of HDF5 and Zarr.

Files may lie in tar archives.

The content decides what a file is, not its suffix. The header is read before any pixel, so that an
absurdly large image costs nothing. Whatever is wrong with a file becomes an ``ImageError`` with a
one-word reason. EXIF orientation is ignored on purpose: survey cutouts carry none, and where a
photo tool has written one, the pixels are still in the order in which they were measured. (TIFF
says in its own tags where row 0 is; that is followed.)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from morphoscope.errors import ImageError, MissingDependencyError
from morphoscope.images.bands import Demand, read_planes
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
from morphoscope.images.naming import (
    BAND,
    array_row,
    band_name,
    file_of_any_band,
    files_of,
    split_hdu,
    tar_member,
)
from morphoscope.images.rasters import decode
from morphoscope.images.tars import open_binary
from morphoscope.images.zarrs import read_zarr, zarr_size

__all__ = [
    "BAND",
    "IMAGE_SUFFIXES",
    "LARGEST_PIXELS",
    "array_row",
    "band_name",
    "files_of",
    "image_size",
    "read_bands",
    "read_image",
    "tar_member",
]

# To be met by ``name.lower().endswith``: two of them have two parts.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}
    | {".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"}
)
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})


def read_image(file_loc: str, *, at_least: int = 0, largest_pixels: int = LARGEST_PIXELS) -> Pixels:
    """Read one image.

    Parameters
    ----------
    file_loc
        A path; ``file.h5::dataset[index]`` or ``store.zarr::array[index]`` for one row of an HDF5
        dataset or Zarr array; ``shard.tar::member`` for a file in an archive (``.tar``,
        ``.tar.gz``, ``.tgz``); ``file.fits[SCI]`` or ``file.fits[2]`` for another than the first
        image of a FITS file, and ``file.fits[SCI][17]`` for one slice of a stack. Where ``{band}``
        stands for bands, the first file there is; `read_bands` reads them all.
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
        ``reason`` is ``missing``, ``empty``, ``truncated``, ``too_large``, ``not_an_image``,
        ``wrong_hdu`` or ``unreadable``.

    Examples
    --------
    >>> read_image("galaxy.jpg").shape  # doctest: +SKIP
    (424, 424, 3)
    """
    with _translated(file_loc):
        row = array_row(file_loc)
        if row:
            read = read_zarr if row.kind == "Zarr" else read_hdf5
            return read(row.file, row.array, row.row, largest_pixels)
        path, hdu = split_hdu(file_of_any_band(file_loc))
        kind, data = _content(path, largest_pixels)
        if kind is None:
            return read_fits(path, hdu, largest_pixels)
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
        row = array_row(file_loc)
        if row:
            return (zarr_size if row.kind == "Zarr" else hdf5_size)(row.file, row.array)
        path, hdu = split_hdu(file_of_any_band(file_loc))
        kind, data = _content(path, LARGEST_PIXELS)
        return fits_size(path, hdu) if kind is None else header_size(kind, data)


def read_bands(
    file_loc: str,
    bands: Sequence[str],
    *,
    planes: Sequence[str] = (),
    unit: str = "",
    pixel_scale: float = 0.0,
    mask_bits: int = -1,
    largest_pixels: int = LARGEST_PIXELS,
) -> Pixels:
    """Read bands of one galaxy by name from FITS, in one unit, and refuse what is not as asked.

    Parameters
    ----------
    file_loc
        A FITS file with a cube whose header names its planes (``BANDS``, or ``BAND1`` …), or with
        one image a band (``BAND``, ``FILTER`` or ``EXTNAME``); ``file.fits[NAME]`` chooses one of
        its images. With ``{band}`` in it, one file a band.
    bands
        Bands in the order wanted. Names of surveys in them do not count (HSC-G is g).
    planes
        Bands of the planes of a cube whose header names none.
    unit
        Unit wanted of the flux of a pixel, see `morphoscope.images.units.flux_factor`; empty: the
        values as they are.
    pixel_scale
        Pixel scale that each band must have, to 10 % (arcsec/pixel); 0: any.
    mask_bits
        Bits of an extension ``MASK`` or ``DQ`` whose pixels are left out; -1: all, or those of
        defects where its header names planes; 0: it is not read.
    largest_pixels
        Most pixels (ny × nx) that an image may have.

    Returns
    -------
    numpy.ndarray
        (ny, nx, band) float32, row 0 on top, NaN where a pixel is masked or not finite.

    Raises
    ------
    ImageError
        As for `read_image`; or ``reason`` is ``not_multiband`` (no FITS), ``missing_band``,
        ``wrong_size`` (bands of different sizes), ``no_unit``, ``wrong_unit``, ``no_scale``,
        ``wrong_scale`` or ``wrong_mask``.

    Examples
    --------
    >>> read_bands("galaxy.fits", ("g", "r", "i"), unit="nanomaggy").shape  # doctest: +SKIP
    (64, 64, 3)
    """
    with _translated(file_loc):
        _require_fits(file_loc, largest_pixels)
        demand = Demand(tuple(bands), tuple(planes), unit, pixel_scale, mask_bits, largest_pixels)
        return read_planes(file_loc, demand)


def _require_fits(file_loc: str, largest_pixels: int) -> None:
    row = array_row(file_loc)
    path, _ = split_hdu(file_of_any_band(file_loc))
    kind = None if row else _content(path, largest_pixels)[0]
    name = row.kind if row else kind and kind.name
    if name:
        raise ImageError(
            f"it is {name}, which has no named bands",
            reason="not_multiband",
            expected="FITS",
            do="give FITS images, or a recipe whose prepare.channels is 'rgb' or 'grey'",
        )


def _content(path: str, largest_pixels: int) -> tuple[Kind | None, bytes]:
    """Kind of raster and all bytes of a file; None and only its beginning for FITS."""
    largest = 4 * VALUES_PER_PIXEL * largest_pixels
    with open_binary(path, largest_bytes=largest) as handle:
        head = handle.read(HEAD_BYTES)
        kind = kind_of(head)
        if kind is None:
            return None, head
        refuse_large(handle.seek(0, os.SEEK_END), largest, "bytes")
        handle.seek(0)
        return kind, handle.read()


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
