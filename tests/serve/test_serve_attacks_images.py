"""What an image may be that means no good."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from serve.attacks import CARD, MB, Target, png, refused
from serve.servers import API, galaxy


def _bmp(nx: int, ny: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, nx, ny, 1, 24, *[0] * 6)


def _jpeg_header(nx: int, ny: int) -> bytes:
    data = bytearray(galaxy(0, 64))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", ny, nx)
    return bytes(data)


def _webp_header(side: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + 2 * (side - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff_header(nx: int, ny: int) -> bytes:
    entries = struct.pack("<HHII", 256, 4, 1, nx) + struct.pack("<HHII", 257, 4, 1, ny)
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: png(30_000, 30_000, b""),
    "PNG that holds them": lambda: png(40_000, 40_000, bytes(5001 * 40_000), depth=1),
    "PNG of 2**31": lambda: png(2**31 - 1, 2**31 - 1, b""),
    "JPEG": lambda: _jpeg_header(65_500, 65_500),
    "WebP": lambda: _webp_header(16_000_000),
    "TIFF": lambda: _tiff_header(100_000, 100_000),
    "BMP": lambda: _bmp(2**31 - 1, -(2**31)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_of_a_billion_pixels(target: Target, kind: str) -> None:
    """The header is believed enough to refuse it; nothing is decoded."""
    refused(target.image(BOMBS[kind]()), (413, 422))


def test_pixels_that_take_eight_bytes_each(target: Target) -> None:
    """As many pixels as may be, of 16 bits and four channels: 200 kB that become 240 MB, and
    five times that while they are scaled to 8 bits; no more than the threads decode at once."""
    target.most_bytes = 1_500_000_000
    side = 5400
    row = b"\0" + bytes(8 * side)
    reply = target.image(png(side, side, row * side, depth=16, kind=6))
    assert reply.status_code == 200
    assert {one["flag"] for one in reply.json()["answers"]} == {"blank"}


def test_a_png_with_more_in_it_than_it_says(target: Target) -> None:
    """Ten pixels by its header, 700 MB by what is packed into it."""
    packer = zlib.compressobj(6)
    packed = b"".join(packer.compress(bytes(MB)) for _ in range(700)) + packer.flush()
    reply = target.image(png(10, 10, packed=packed))
    assert reply.status_code in (200, 422)


def _fits(cards: dict[str, Any], data: bytes = b"") -> bytes:
    lines = [f"{key:<8}= {value!s:>20}".ljust(80) for key, value in cards.items()] + ["END"]
    head = "".join(line.ljust(80) for line in lines).encode()
    return head.ljust(-(-len(head) // CARD) * CARD) + data


def _image_fits(nx: int, ny: int, nz: int = 0) -> bytes:
    axes = {"NAXIS": 3 if nz else 2, "NAXIS1": nx, "NAXIS2": ny} | ({"NAXIS3": nz} if nz else {})
    return _fits({"SIMPLE": "T", "BITPIX": 8} | axes)


def _packed(head: bytes, more: int) -> bytes:
    """Gzip of a header and many megabytes of what follows, in pieces of ten."""
    return gzip.compress(head) + gzip.compress(b" " * 10 * MB) * (more // 10)


FITS_BOMBS: dict[str, Callable[[], bytes]] = {
    "a wide one": lambda: _image_fits(10**6, 10**6),
    "a deep one": lambda: _image_fits(5000, 5000, 100_000),
    "beyond any number": lambda: _image_fits(10**19, 10**19),
    "below zero": lambda: _image_fits(-100, -100),
    "thousands of axes": lambda: _fits({"SIMPLE": "T", "BITPIX": 8, "NAXIS": 9999}),
    "a gigabyte, packed": lambda: _packed(_image_fits(5000, 5000), 1000),
    "a gigabyte of header": lambda: _packed(b"SIMPLE  =                    T".ljust(80), 1000),
    "a deep one, packed": lambda: _packed(_image_fits(1000, 1000, 1000), 1000),
    "packed twice": lambda: gzip.compress(_packed(_image_fits(100, 100), 1000)),
}


@pytest.mark.parametrize("kind", FITS_BOMBS)
def test_fits_that_says_it_is_enormous(target: Target, kind: str) -> None:
    """By its axes, or once it is unpacked."""
    begun = time.monotonic()
    refused(target.image(FITS_BOMBS[kind]()), (413, 415, 422))
    assert time.monotonic() - begun < 5


def _as(kind: str, drawn: np.ndarray) -> bytes:
    written = io.BytesIO()
    if kind == "FITS":
        from astropy.io import fits

        fits.PrimaryHDU(drawn[..., 0].astype(np.float32)).writeto(written)
    else:
        Image.fromarray(drawn).save(written, kind)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF", "BMP", "FITS"])
def test_a_file_that_ends_too_early(target: Target, drawn: np.ndarray, kind: str) -> None:
    """At every place: an error in words, or no answer with a flag; never a wrong answer."""
    whole = _as(kind, drawn)
    for length in (1, 2, 8, 20, 60, len(whole) // 3, len(whole) // 2, len(whole) - 40):
        reply = target.image(whole[:length])
        if reply.status_code == 200:
            assert all(one["class"] is None for one in reply.json()["answers"]), length
        else:
            refused(reply, (415, 422))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF", "BMP", "FITS"])
def test_a_file_with_other_bytes_in_it(target: Target, drawn: np.ndarray, kind: str) -> None:
    """Whatever a decoder makes of damage, the server goes on."""
    random = np.random.default_rng(1)
    whole = np.frombuffer(_as(kind, drawn), np.uint8)
    for _ in range(12):
        damaged = whole.copy()
        places = random.integers(0, min(len(whole), random.choice([64, 600, len(whole)])), 6)
        damaged[places] = random.integers(0, 256, 6)
        assert target.image(damaged.tobytes()).status_code in (200, 413, 415, 422)


def _zip() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("galaxy.jpg", bytes(MB))
    return written.getvalue()


NO_IMAGES: dict[str, Callable[[], bytes]] = {
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "HTML": lambda: b"<!DOCTYPE html><script>alert(1)</script>",
    "a program": lambda: b"\x7fELF" + bytes(100),
    "PDF": lambda: b"%PDF-1.7\n",
    "zip": _zip,
    "gzip of no FITS": lambda: gzip.compress(b"<svg/>" * 1000),
    "GIF": lambda: b"GIF89a" + bytes(100),
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "PostScript": lambda: b"%!PS\n(/etc/passwd) (r) file",
    "MVG": lambda: b"push graphic-context\nimage over 0,0 0,0 'https://example.org/x'\n",
    "nothing": lambda: b"",
    "one byte": lambda: b"\xff",
    "a path": lambda: b"/etc/passwd",
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image(target: Target, kind: str) -> None:
    """Whatever its name and type say."""
    for name, said in (("galaxy.jpg", "image/jpeg"), ("galaxy.fits.gz", "application/fits")):
        reply = target.image(NO_IMAGES[kind](), name, said)
        refused(reply, (413, 415, 422))


def test_an_image_that_is_something_else_too(target: Target) -> None:
    """A JPEG with a page and a program behind it is a JPEG; what is shown again is our own."""
    data = galaxy() + b"<script>alert(1)</script>" + _zip() + b"\xff\xd9"
    reply = target.image(data, keep=True)
    assert reply.status_code == 200
    shown = target.client.get(f"{API}/results/{reply.json()['id']}/image.jpg")
    assert shown.headers["content-type"] == "image/jpeg"
    assert b"<script>" not in shown.content
    assert cv2.imdecode(np.frombuffer(shown.content, np.uint8), 1) is not None


READ_TOGETHER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from morphoscope.errors import ImageError
from morphoscope.images import read_image


def read(name):
    try:
        read_image(f"{sys.argv[1]}/{name}")
    except ImageError as error:
        return f"{name} {error.reason}"
    return f"{name} read"


with ThreadPoolExecutor(4) as threads:
    print(*sorted(set(threads.map(read, ["whole", "cut"] * 400))), sep=", ")
"""


def test_a_file_that_ends_too_early_spoils_no_other(tmp_path: Path, drawn: np.ndarray) -> None:
    """Whole and cut ones at once: each is told as it is."""
    whole = _as("FITS", drawn)
    for name, data in (("whole", whole), ("cut", whole[:-5000])):
        (tmp_path / name).write_bytes(data)
    script = [sys.executable, "-W", "ignore", "-c", READ_TOGETHER, str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "cut truncated, whole read\n"
