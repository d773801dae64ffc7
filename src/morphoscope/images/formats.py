"""What a file is and how large, from its first bytes."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import simplejpeg
from numpy.typing import NDArray

from morphoscope.errors import ImageError

__all__ = [
    "HEAD_BYTES",
    "LARGEST_PIXELS",
    "VALUES_PER_PIXEL",
    "Kind",
    "Pixels",
    "damaged",
    "header_size",
    "kind_of",
    "refuse_large",
]

Pixels = NDArray[Any]

LARGEST_PIXELS = 64_000_000
# A cube of a few bands is an image; the bound on values keeps a spectral cube out of memory.
VALUES_PER_PIXEL = 8
HEAD_BYTES = 64
TIFF_TAGS = TIFF_WIDTH, TIFF_HEIGHT, TIFF_ORIENTATION = 256, 257, 274


class Kind(NamedTuple):
    """A raster format: how to know it, its size ``(ny, nx)``, and whether its end is there."""

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
    """Walk to the end mark; checksums are met here because libpng prints a wrong one."""
    view = memoryview(data)
    place = 8
    while place + 12 <= len(data):
        name = data[place + 4 : place + 8]
        end = place + int.from_bytes(data[place : place + 4], "big") + 12
        if end > len(data):
            return False
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ImageError(f"the PNG is damaged: wrong checksum of {name!r}")
        if name == b"IEND":
            return True
        place = end
    return False


def _tiff_size(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2) == (43,)
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, place)
    place += 8 if big else 2
    length, value = (20, 12) if big else (12, 8)
    found: dict[int, int] = {}
    for entry in range(place, place + length * min(count, 4096), length):
        tag, value_type = struct.unpack_from(order + "HH", data, entry)
        if tag in TIFF_TAGS:
            code = {3: "H", 4: "I", 16: "Q"}[value_type]
            (found[tag],) = struct.unpack_from(order + code, data, entry + value)
    ny, nx = found[TIFF_HEIGHT], found[TIFF_WIDTH]
    # The decoder turns the image as its own orientation says; from 5 on, rows are columns.
    return (nx, ny) if found.get(TIFF_ORIENTATION, 1) >= 5 else (ny, nx)


def _webp_size(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8 ":
        nx, ny = struct.unpack_from("<HH", data, 26)
        return ny & 0x3FFF, nx & 0x3FFF
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return int.from_bytes(data[27:30], "little") + 1, int.from_bytes(data[24:27], "little") + 1


def _bmp_size(data: bytes) -> tuple[int, int]:
    nx, ny = struct.unpack_from("<ii", data, 18)
    return abs(ny), abs(nx)


def _declared_bytes(place: int, more: int) -> Callable[[bytes], bool]:
    def complete(data: bytes) -> bool:
        return len(data) >= int.from_bytes(data[place : place + 4], "little") + more

    return complete


def _pattern(text: bytes) -> re.Pattern[bytes]:
    return re.compile(text, re.DOTALL)


# A TIFF's parts may lie anywhere in it, so only its decoder knows whether all are there.
RASTERS = (
    Kind("JPEG", _pattern(rb"\xff\xd8\xff"), _jpeg_size, lambda data: b"\xff\xd9" in data[-1024:]),
    Kind("PNG", _pattern(rb"\x89PNG\r\n\x1a\n"), _png_size, _png_complete),
    Kind("TIFF", _pattern(rb"II[*+]\x00|MM\x00[*+]"), _tiff_size, lambda data: True),
    Kind("WebP", _pattern(rb"RIFF....WEBPVP8[ LX]"), _webp_size, _declared_bytes(4, 8)),
    Kind("BMP", _pattern(rb"BM.{12}[\x28-\x7c]\x00\x00\x00"), _bmp_size, _declared_bytes(2, 0)),
)
FITS = _pattern(rb"SIMPLE  =|\x1f\x8b")


def kind_of(head: bytes) -> Kind | None:
    """Kind of raster that the first bytes say; None for FITS, plain or compressed."""
    if not head:
        raise ImageError("the file has 0 bytes", reason="empty")
    for kind in RASTERS:
        if kind.signature.match(head):
            return kind
    if FITS.match(head):
        return None
    raise ImageError(
        f"the file begins with {head[:8]!r}",
        reason="not_an_image",
        expected="JPEG, PNG, TIFF, WebP, BMP or FITS",
    )


def header_size(kind: Kind, data: bytes) -> tuple[int, int]:
    """Size ``(ny, nx)`` that the header of a raster says."""
    try:
        ny, nx = kind.size(data)
    except (ValueError, LookupError, struct.error, OverflowError) as error:
        raise damaged(kind, data, f"its header gives no size ({error})") from error
    if min(ny, nx) < 1:
        raise damaged(kind, data, f"its header says {ny}×{nx} pixels")
    return ny, nx


def damaged(kind: Kind, data: bytes, found: str) -> ImageError:
    """Error for a file of a known kind: truncated where its end is not there."""
    if kind.complete(data):
        return ImageError(f"the {kind.name} is damaged: {found}", reason="unreadable")
    return ImageError(f"the {kind.name} ends too early: {found}", reason="truncated")


def refuse_large(found: int, largest: int, unit: str) -> None:
    """Raise ``ImageError`` when an image is larger than allowed."""
    if found > largest:
        raise ImageError(
            f"the image has {found:,} {unit}",
            reason="too_large",
            expected=f"at most {largest:,}",
            do="cut it into smaller cutouts",
        )
