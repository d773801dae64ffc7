"""FITS images, plain or compressed, to float32."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from morphoscope.errors import ImageError
from morphoscope.images.formats import VALUES_PER_PIXEL, Pixels, refuse_large

__all__ = ["fits_size", "read_fits"]

GZIP, SIGNATURE = b"\x1f\x8b", b"SIMPLE  ="


def fits_size(file_loc: str) -> tuple[int, int]:
    """Size ``(ny, nx)`` of the first image of a FITS file."""
    with _first_image(file_loc) as hdu:
        return _as_cube(hdu.shape)[1:]


def read_fits(file_loc: str, largest_pixels: int) -> Pixels:
    """(ny, nx, band) float32 of the first image of a FITS file, row 0 on top."""
    with _first_image(file_loc) as hdu:
        bands, ny, nx = _as_cube(hdu.shape)
        refuse_large(ny * nx, largest_pixels, "pixels")
        refuse_large(bands * ny * nx, VALUES_PER_PIXEL * largest_pixels, "values")
        try:
            values = np.asarray(hdu.data, np.float32).reshape(bands, ny, nx)
        except (OSError, EOFError, TypeError, ValueError) as error:
            found = f"the FITS file ends too early ({error})"
            raise ImageError(found, reason="truncated") from error
    return np.ascontiguousarray(values[:, ::-1].transpose(1, 2, 0))


@contextmanager
def _first_image(file_loc: str) -> Iterator[Any]:
    """First HDU that holds an image; its data are not yet read."""
    from astropy.io import fits

    with warnings.catch_warnings(record=True) as notes, _unpacked(file_loc) as handle:
        warnings.simplefilter("always")
        try:
            opened = fits.open(handle, memmap=False, lazy_load_hdus=True)
        except (OSError, EOFError) as error:
            found = f"the FITS header is damaged or has no end ({error})"
            raise ImageError(found, reason="truncated") from error
        with opened as hdus:
            image = next((hdu for hdu in hdus if hdu.is_image and len(hdu.shape) >= 2), None)
            if image is None:
                raise ImageError("the FITS file holds no image", reason="not_an_image")
            yield image
    if any("truncated" in str(note.message) for note in notes):
        raise ImageError("the FITS file ends too early", reason="truncated")


@contextmanager
def _unpacked(file_loc: str) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open file; astropy, given the path, would leave a damaged one open."""
    with Path(file_loc).open("rb") as handle:
        packed = handle.read(2) == GZIP
        handle.seek(0)
        if not packed:
            yield handle
            return
        with gzip.GzipFile(fileobj=handle) as unpacked:
            try:
                head = unpacked.read(len(SIGNATURE))
            except EOFError as error:
                raise ImageError("the gzip file ends too early", reason="truncated") from error
            if head != SIGNATURE:
                raise ImageError("the gzip file holds no FITS", reason="not_an_image")
            unpacked.seek(0)
            yield unpacked


def _as_cube(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(band, ny, nx) of a FITS image, whose leading axes may be of length one."""
    *rest, bands, ny, nx = (1, *shape)
    if any(length != 1 for length in rest) or min(bands, ny, nx) < 1:
        raise ImageError(
            f"the FITS image has the shape {shape}",
            reason="not_an_image",
            expected="(ny, nx) or (band, ny, nx)",
        )
    return bands, ny, nx
