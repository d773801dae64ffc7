"""Image files to arrays: one door for JPEG, PNG, TIFF, WebP, BMP, GIF, FITS and HDF5 rows.

The content decides what a file is, not its suffix. The header is read before any pixel, so that an
absurdly large image costs nothing. Whatever is wrong with a file becomes an ``ImageError`` with a
one-word reason. EXIF orientation is ignored on purpose: survey cutouts carry none, and where a
photo tool has written one, the pixels are still in the order in which they were measured.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from morphoscope.errors import ImageError, MissingDependencyError

__all__ = ["IMAGE_SUFFIXES", "LARGEST_PIXELS", "image_size", "read_image"]

Pixels = NDArray[Any]

LARGEST_PIXELS = 64_000_000
# To be met by ``name.lower().endswith``: two of them have two parts.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"}
    | {".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"}
)
HDF5_ROW = re.compile(r"(?P<file>.+)::(?P<dataset>[^\[\]]+)\[(?P<index>\d+)\]")
# A cube of a few bands is an image; the bound on values keeps a spectral cube out of memory.
VALUES_PER_PIXEL = 8
HEAD_BYTES = 64
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})

# A damaged file is told by its ImageError; OpenCV would print each one to the terminal as well.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_image(file_loc: str, *, at_least: int = 0, largest_pixels: int = LARGEST_PIXELS) -> Pixels:
    """Read one image.

    Parameters
    ----------
    file_loc
        A path, or ``file.h5::dataset[index]`` for one row of an HDF5 dataset.
    at_least
        Smallest side that is still useful (pixels): a JPEG may be decoded at 1/2, 1/4 or 1/8 of
        its scale as long as both sides keep as many; 0 asks for the full scale.
    largest_pixels
        Most pixels (ny × nx) that an image may have.

    Returns
    -------
    numpy.ndarray
        (ny, nx, channel), row 0 on top. uint8 grey or RGB from JPEG, PNG, TIFF, WebP, BMP and GIF:
        16 bits are scaled to 8, transparency is laid on black, palettes are expanded. float32
        from FITS (channel = band, NaN kept) and from float TIFF; FITS rows, which run upwards, are
        reversed, so that a spiral winds the same way in FITS as in JPEG.

    Raises
    ------
    ImageError
        ``reason`` is ``missing``, ``empty``, ``truncated``, ``too_large``, ``not_an_image`` or
        ``unreadable``.
    """
    with _translated(file_loc):
        row = HDF5_ROW.fullmatch(file_loc)
        if row:
            return _read_hdf5(row["file"], row["dataset"], int(row["index"]), largest_pixels)
        kind = _kind(file_loc)
        if kind is None:
            return _read_fits(file_loc, largest_pixels)
        _refuse_large(Path(file_loc).stat().st_size, VALUES_PER_PIXEL * 4 * largest_pixels)
        data = Path(file_loc).read_bytes()
        ny, nx = _header(kind, data)
        _refuse_large(ny * nx, largest_pixels)
        if kind.name == "JPEG":
            return _decode_jpeg(data, at_least)
        return _decode_other(kind, data)


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
            return _as_image(_hdf5_dataset(row["file"], row["dataset"]).shape[1:])[:2]
        kind = _kind(file_loc)
        if kind is None:
            with _open_fits(file_loc) as hdu:
                return _as_cube(hdu.shape)[1:]
        return _header(kind, Path(file_loc).read_bytes())


# --- what a file is, and how large ---------------------------------------------------------------


class _Kind(NamedTuple):
    """A raster format: how to know it, its size, and whether its end is there."""

    name: str
    signature: re.Pattern[bytes]
    size: Callable[[bytes], tuple[int, int]]
    complete: Callable[[bytes], bool]


def _jpeg_size(data: bytes) -> tuple[int, int]:
    ny, nx, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    return ny, nx


def _png_size(data: bytes) -> tuple[int, int]:
    nx, ny = struct.unpack_from(">II", data, 16)
    return ny, nx


def _png_complete(data: bytes) -> bool:
    place = 8
    while place + 12 <= len(data):
        name = data[place + 4 : place + 8]
        place += int.from_bytes(data[place : place + 4], "big") + 12
        if name == b"IEND":
            return place <= len(data)
    return False


def _webp_size(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8 ":
        nx, ny = struct.unpack_from("<HH", data, 26)
        return ny & 0x3FFF, nx & 0x3FFF
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1


def _tiff_size(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = version == 43
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, place)
    place += 8 if big else 2
    found: dict[int, int] = {}
    length, value = (20, 12) if big else (12, 8)
    for entry in range(place, place + length * min(count, 4096), length):
        tag, value_type = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):
            code = {3: "H", 4: "I", 16: "Q"}[value_type]
            (found[tag],) = struct.unpack_from(order + code, data, entry + value)
    return found[257], found[256]


def _bmp_size(data: bytes) -> tuple[int, int]:
    nx, ny = struct.unpack_from("<ii", data, 18)
    return abs(ny), abs(nx)


def _gif_size(data: bytes) -> tuple[int, int]:
    nx, ny = struct.unpack_from("<HH", data, 6)
    return ny, nx


def _declared_bytes(place: int, more: int) -> Callable[[bytes], bool]:
    def complete(data: bytes) -> bool:
        return len(data) >= int.from_bytes(data[place : place + 4], "little") + more

    return complete


def _ends_with(mark: bytes) -> Callable[[bytes], bool]:
    return lambda data: mark in data[-1024:]


def _pattern(text: bytes) -> re.Pattern[bytes]:
    return re.compile(text, re.DOTALL)


RASTERS = (
    _Kind("JPEG", _pattern(rb"\xff\xd8\xff"), _jpeg_size, _ends_with(b"\xff\xd9")),
    _Kind("PNG", _pattern(rb"\x89PNG\r\n\x1a\n"), _png_size, _png_complete),
    _Kind("TIFF", _pattern(rb"II[*+]\x00|MM\x00[*+]"), _tiff_size, lambda data: True),
    _Kind("WebP", _pattern(rb"RIFF....WEBPVP8[ LX]"), _webp_size, _declared_bytes(4, 8)),
    _Kind("BMP", _pattern(rb"BM.{12}[\x28-\x7c]\x00\x00\x00"), _bmp_size, _declared_bytes(2, 0)),
    _Kind("GIF", _pattern(rb"GIF8[79]a"), _gif_size, _ends_with(b"\x3b")),
)
FITS = _pattern(rb"SIMPLE  =|\x1f\x8b")


def _kind(file_loc: str) -> _Kind | None:
    """Kind of raster that the first bytes say; None for FITS."""
    with Path(file_loc).open("rb") as handle:
        head = handle.read(HEAD_BYTES)
    if not head:
        raise ImageError(f"{file_loc} is empty (0 bytes)", reason="empty")
    for kind in RASTERS:
        if kind.signature.match(head):
            return kind
    if FITS.match(head):
        return None
    raise ImageError(
        f"{file_loc} begins with {head[:8]!r}",
        reason="not_an_image",
        expected="JPEG, PNG, TIFF, WebP, BMP, GIF or FITS",
    )


def _header(kind: _Kind, data: bytes) -> tuple[int, int]:
    try:
        ny, nx = kind.size(data)
    except (ValueError, LookupError, struct.error, OverflowError) as error:
        raise _damaged(kind, data, f"its header gives no size ({error})") from error
    if min(ny, nx) < 1:
        raise _damaged(kind, data, f"its header says {ny}×{nx} pixels")
    return ny, nx


def _damaged(kind: _Kind, data: bytes, found: str) -> ImageError:
    if not kind.complete(data) or "truncated" in found:
        return ImageError(f"the {kind.name} ends too early: {found}", reason="truncated")
    return ImageError(f"the {kind.name} is damaged: {found}", reason="unreadable")


def _refuse_large(found: int, largest: int) -> None:
    if found > largest:
        raise ImageError(
            f"the image has {found:,} pixels or bytes",
            reason="too_large",
            expected=f"at most {largest:,}",
            do="cut it up, or raise clean.largest_pixels",
        )


@contextmanager
def _translated(file_loc: str) -> Iterator[None]:
    """Turn whatever a decoder raises into ``ImageError``: one bad file never ends a run."""
    try:
        yield
    except ImageError as error:
        found = error.found if file_loc in error.found else f"{file_loc}: {error.found}"
        raise ImageError(
            found, reason=error.reason, expected=error.expected, do=error.do, file_loc=file_loc
        ) from error.__cause__
    except MissingDependencyError:
        raise
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


# --- rasters -------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes, at_least: int) -> Pixels:
    kind = RASTERS[0]
    try:
        ny, nx, space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        wanted = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(space, "RGB")
        # simplejpeg would also take 3/8, 5/8 …, which have no vector code and decode more slowly.
        scale = next((s for s in (8, 4, 2) if min(-(-ny // s), -(-nx // s)) >= at_least > 0), 1)
        pixels: Pixels = simplejpeg.decode_jpeg(
            data, wanted, min_height=-(-ny // scale), min_width=-(-nx // scale)
        )
    except (ValueError, KeyError) as error:
        early = "truncated: " if "Premature end" in str(error) else ""
        raise _damaged(kind, data, f"{early}{error}") from error
    if wanted == "CMYK":
        # Adobe's way, which every known writer follows: inks are stored inverted.
        key = pixels[..., 3:].astype(np.uint16)
        return ((pixels[..., :3] * key + 127) // 255).astype(np.uint8)
    return pixels


def _decode_other(kind: _Kind, data: bytes) -> Pixels:
    if not kind.complete(data):
        raise _damaged(kind, data, f"{len(data):,} bytes are not all of it")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise _damaged(kind, data, "the decoder refuses it")
    pixels: Pixels = decoded if decoded.ndim == 3 else decoded[..., None]
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
    channels = pixels.shape[2]
    if channels == 4 and pixels.dtype == np.uint8:
        alpha = pixels[..., 3:].astype(np.uint16)
        pixels = ((pixels[..., :3] * alpha + 127) // 255).astype(np.uint8)
    if channels in (3, 4):
        return np.ascontiguousarray(pixels[..., 2::-1])
    if channels == 1:
        return pixels
    raise ImageError(f"the {kind.name} has {channels} channels", reason="not_an_image")


# --- FITS and HDF5 -------------------------------------------------------------------------------


@contextmanager
def _open_fits(file_loc: str) -> Iterator[Any]:
    """First HDU that holds an image; its data are not yet read."""
    from astropy.io import fits

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        with fits.open(file_loc, memmap=False, lazy_load_hdus=True) as hdus:
            for hdu in hdus:
                if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2:
                    break
            else:
                raise ImageError("the FITS file holds no image", reason="not_an_image")
            try:
                yield hdu
            finally:
                early = any("truncated" in str(note.message) for note in notes)
    if early:
        raise ImageError("the FITS file ends too early", reason="truncated")


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


def _read_fits(file_loc: str, largest_pixels: int) -> Pixels:
    with _open_fits(file_loc) as hdu:
        bands, ny, nx = _as_cube(hdu.shape)
        _refuse_large(ny * nx, largest_pixels)
        _refuse_large(bands * ny * nx, VALUES_PER_PIXEL * largest_pixels)
        try:
            values = np.asarray(hdu.data, np.float32).reshape(bands, ny, nx)
        except (OSError, TypeError, ValueError) as error:
            found = f"the FITS file ends too early ({error})"
            raise ImageError(found, reason="truncated") from error
    return np.ascontiguousarray(values[:, ::-1].transpose(1, 2, 0))


@functools.lru_cache(maxsize=8)
def _hdf5_file(path: str, changed_ns: int, process: int) -> Any:
    """Open file, one a process: an HDF5 handle does not survive a fork, nor a rewritten file."""
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            "an HDF5 file is to be read and h5py is not installed", do="pip install h5py"
        ) from error
    return h5py.File(path, "r")


def _hdf5_dataset(path: str, name: str) -> Any:
    file = _hdf5_file(path, Path(path).stat().st_mtime_ns, os.getpid())
    if name not in file or not hasattr(file[name], "shape"):
        raise ImageError(f"{path} has no dataset {name!r}", reason="missing")
    return file[name]


def _as_image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(ny, nx, channel) of one row of a dataset."""
    ny, nx, channels = (*shape, 1) if len(shape) == 2 else shape if len(shape) == 3 else (0, 0, 0)
    if min(ny, nx) < 1 or channels not in (1, 3):
        raise ImageError(
            f"a row of the dataset has the shape {shape}",
            reason="not_an_image",
            expected="(ny, nx), (ny, nx, 1) or (ny, nx, 3)",
        )
    return ny, nx, channels


def _read_hdf5(path: str, name: str, index: int, largest_pixels: int) -> Pixels:
    dataset = _hdf5_dataset(path, name)
    shape = _as_image(dataset.shape[1:])
    _refuse_large(shape[0] * shape[1], largest_pixels)
    if index >= dataset.shape[0]:
        raise ImageError(
            f"{path} has no row {index} in {name!r}",
            reason="missing",
            expected=f"0 … {dataset.shape[0] - 1}",
        )
    values: Pixels = np.asarray(dataset[index]).reshape(shape)
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return values if values.dtype == np.uint8 else values.astype(np.float32)
