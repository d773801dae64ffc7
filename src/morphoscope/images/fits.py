"""FITS images, plain or compressed, to float32."""

from __future__ import annotations

import gzip
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from morphoscope.errors import ImageError
from morphoscope.images.formats import VALUES_PER_PIXEL, Pixels, refuse_large
from morphoscope.images.naming import SLICE
from morphoscope.images.tars import open_binary

__all__ = ["as_cube", "chosen", "fits_size", "holds_image", "open_fits", "read_fits", "values_of"]

GZIP, SIGNATURE = b"\x1f\x8b", b"SIMPLE  ="

NOTES = threading.RLock()


def fits_size(path: str, hdu: str = "") -> tuple[int, int]:
    """Size ``(ny, nx)`` of one image of a FITS file."""
    with open_fits(path) as hdus:
        return as_cube(chosen(hdus, hdu).shape)[1:]


def read_fits(path: str, hdu: str, largest_pixels: int) -> Pixels:
    """(ny, nx, band) float32 of one image of a FITS file, row 0 on top."""
    with open_fits(path) as hdus:
        values = np.asarray(values_of(chosen(hdus, hdu), largest_pixels), np.float32)
    return np.ascontiguousarray(values[:, ::-1].transpose(1, 2, 0))


def values_of(hdu: Any, largest_pixels: int) -> Pixels:
    """(band, ny, nx) values of an image, row 0 below as in the file; too many are not read."""
    bands, ny, nx = as_cube(hdu.shape)
    refuse_large(ny * nx, largest_pixels, "pixels")
    refuse_large(bands * ny * nx, VALUES_PER_PIXEL * largest_pixels, "values")
    try:
        values: Pixels = np.asarray(hdu.data).reshape(bands, ny, nx)
    except (OSError, EOFError, TypeError, ValueError) as error:
        found = f"the FITS file ends too early ({error})"
        raise ImageError(found, reason="truncated") from error
    return values


@contextmanager
def open_fits(path: str) -> Iterator[Any]:
    """List of HDUs whose data are not yet read; a file without its end is an error."""
    from astropy.io import fits

    # Python keeps one record of warnings for all threads: one would take another's.
    with NOTES, warnings.catch_warnings(record=True) as notes, _unpacked(path) as handle:
        warnings.simplefilter("always")
        try:
            opened = fits.open(handle, memmap=False, lazy_load_hdus=True)
        except (OSError, EOFError) as error:
            found = f"the FITS header is damaged or has no end ({error})"
            raise ImageError(found, reason="truncated") from error
        with opened as hdus:
            yield hdus
    if any("truncated" in str(note.message) for note in notes):
        raise ImageError("the FITS file ends too early", reason="truncated")


def holds_image(hdu: Any) -> bool:
    """Whether there are pixels in an HDU."""
    return bool(hdu.is_image) and len(hdu.shape) >= 2


class Slice:
    """One of the images that lie one behind the other in an HDU; the others are not read."""

    is_image = True

    def __init__(self, hdu: Any, index: int) -> None:
        if not 0 <= index < hdu.shape[0] or len(hdu.shape) < 3:
            raise ImageError(
                f"the FITS image of the shape {tuple(hdu.shape)} has no slice {index}",
                reason="missing",
            )
        self._hdu, self._index = hdu, index
        self.shape, self.header, self.name = tuple(hdu.shape[1:]), hdu.header, hdu.name

    @property
    def data(self) -> Any:
        """Values of the slice, as the HDU scales them."""
        return self._hdu.section[self._index]


def chosen(hdus: Any, wanted: str) -> Any:
    """The image that ``NAME``, ``NAME,version`` or a number chooses; empty: the first.

    ``][17`` behind it chooses a slice of that image.

    Raises
    ------
    ImageError
        ``reason`` is ``not_an_image`` or ``wrong_hdu``; what is there is told.
    """
    wanted, _, index = wanted.partition(SLICE)
    if index:
        return Slice(chosen(hdus, wanted), int(index))
    if not wanted:
        image = next((hdu for hdu in hdus if holds_image(hdu)), None)
        if image is None:
            raise ImageError("the FITS file holds no image", reason="not_an_image")
        return image
    name, _, version = wanted.partition(",")
    try:
        image = hdus[int(name)] if name.isdigit() else hdus[name.strip(), int(version or 1)]
    except (KeyError, IndexError, ValueError):
        image = None
    if image is None or not holds_image(image):
        raise ImageError(
            f"the FITS file has no image [{wanted}]",
            reason="wrong_hdu",
            expected=f"one of {'; '.join(map(_described, range(len(hdus)), hdus))}",
        )
    return image


def _described(index: int, hdu: Any) -> str:
    content = "×".join(map(str, hdu.shape)) if holds_image(hdu) else "no image"
    return f"[{index}] {hdu.name or 'without name'} ({content})"


@contextmanager
def _unpacked(path: str) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open file; astropy, given the path, would leave a damaged one open."""
    with open_binary(path) as handle:
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


def as_cube(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(band, ny, nx) of a FITS image, whose leading axes may be of length one."""
    *rest, bands, ny, nx = (1, *shape)
    if any(length != 1 for length in rest) or min(bands, ny, nx) < 1:
        raise ImageError(
            f"the FITS image has the shape {shape}",
            reason="not_an_image",
            expected="(ny, nx) or (band, ny, nx)",
        )
    return bands, ny, nx
