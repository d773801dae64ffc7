"""Images that come in: limited before decoding, placed as asked, prepared as in training."""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.clean.checks import blank
from morphoscope.errors import ImageError, ServiceError
from morphoscope.images import image_size, read_image
from morphoscope.measure.shape import Shape, measure_shape
from morphoscope.predict.answers import BLANK, LIMITS
from morphoscope.prepare import prepare_file, prepare_pixels
from morphoscope.recipe import PrepareSettings
from morphoscope.serve.archives.unpacking import unpacked
from morphoscope.streaming import flag_of

__all__ = ["HERE", "Incoming", "Placement", "encoded", "measured", "picture", "placed", "prepared"]
__all__ += ["receive"]

Pixels = NDArray[Any]
FORMATS = (
    (b"\xff\xd8", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"II", "TIFF"),
    (b"MM", "TIFF"),
    (b"RIFF", "WebP"),
    (b"BM", "BMP"),
)
GZIP = b"\x1f\x8b"
# Most bytes of a packed FITS over those that came: what real ones need, masks too.
UNPACKED = 100
PIXEL_BYTES = 16
# Of the picture that a page shows (pixels).
SHOWN = 768
QUALITY = 90
# Noise of a float image's sky, in units of which its picture is stretched.
SOFTENING = 3.0


@dataclass(frozen=True)
class Placement:
    """How a person placed an image before asking.

    Attributes
    ----------
    turn
        Degrees anticlockwise, as seen.
    zoom
        Enlargement about the centre.
    x, y
        The centre, right of and below the middle, in shares of the longer side.
    """

    turn: float = 0.0
    zoom: float = 1.0
    x: float = 0.0
    y: float = 0.0


HERE = Placement()


@dataclass(frozen=True)
class Incoming:
    """An image on disk, its header read and found fit.

    Attributes
    ----------
    path
        File of a random name.
    sha256
        Of its bytes.
    ny, nx
        Its size (pixels).
    kind
        Its format.
    """

    path: Path
    sha256: str
    ny: int
    nx: int
    kind: str


def receive(data: bytes, folder: Path, largest_pixels: int) -> Incoming:
    """Write an upload to disk, under a name of our own, and read its header.

    Parameters
    ----------
    data
        The file.
    folder
        Where it goes.
    largest_pixels
        Most pixels (ny × nx) that it may have.

    Raises
    ------
    ImageError
        It is no image, or too large; nothing of it stays on the disk.
    """
    path = folder / secrets.token_hex(16)
    path.write_bytes(_whole(data, largest_pixels) if data.startswith(GZIP) else data)
    try:
        ny, nx = _size(path, largest_pixels)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    digest = hashlib.sha256(data).hexdigest()
    kind = next((name for mark, name in FORMATS if data.startswith(mark)), "FITS")
    return Incoming(path, digest, ny, nx, kind)


def _whole(data: bytes, largest_pixels: int) -> bytes:
    """Unpack a FITS file within bounds, which its readers would do without any."""
    try:
        return unpacked(data, min(UNPACKED * len(data), PIXEL_BYTES * largest_pixels), "the image")
    except ServiceError as error:
        bomb = error.data["code"] == "too_large"
        found = "holds too much" if bomb else "is damaged or ends too early"
        raise ImageError(
            f"the gzip file {found}",
            expected="a packed FITS image" if bomb else "",
            do="send it without packing" if bomb else "send it again",
            reason="too_large" if bomb else "truncated",
        ) from error


def _size(path: Path, largest_pixels: int) -> tuple[int, int]:
    try:
        ny, nx = image_size(str(path))
    except ImageError as error:
        # People know nothing of the name that the file has here.
        found = error.found.removeprefix(f"{path}: ").replace(str(path), "the image")
        raise ImageError(
            found, reason=error.reason, expected=error.expected, do=error.do
        ) from error.__cause__
    if ny * nx > largest_pixels:
        raise ImageError(
            f"the image has {ny} × {nx} pixels",
            reason="too_large",
            expected=f"at most {largest_pixels:,}",
            do="cut the galaxy out of it",
        )
    return ny, nx


def prepared(path: Path, settings: PrepareSettings, placement: Placement) -> Pixels | str:
    """Image as a model takes it, by the code of training and `predict`; or why there is none.

    Parameters
    ----------
    path
        The file.
    settings
        The model's preparation.
    placement
        What a person did with the image; where nothing, the file is read as `predict` does.
    """
    try:
        if placement == HERE:
            image = prepare_file(str(path), settings)
        elif settings.channels == "bands":
            raise ImageError(
                "bands cannot be turned or zoomed",
                reason="not_placeable",
                do="leave turn, zoom, x and y away",
            )
        else:
            image = prepare_pixels(placed(read_image(str(path)), placement), settings)
    except Exception as error:
        return flag_of(error)
    return BLANK if blank(image.transpose(1, 2, 0), LIMITS) else image


def placed(pixels: Pixels, placement: Placement) -> Pixels:
    """Turn, enlarge and centre an image; beyond its rim it is black.

    Parameters
    ----------
    pixels
        (ny, nx, channel), row 0 on top.
    placement
        How.

    Returns
    -------
    numpy.ndarray
        (side, side, channel) with the longer side of the image.
    """
    ny, nx = pixels.shape[:2]
    side = max(ny, nx)
    angle = math.radians(placement.turn)
    scale = placement.zoom
    turn = scale * np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    at = np.array([(nx - 1) / 2 + placement.x * side, (ny - 1) / 2 + placement.y * side])
    matrix = np.column_stack([turn, np.full(2, (side - 1) / 2) - turn @ at])
    finite = pixels if pixels.dtype == np.uint8 else np.nan_to_num(pixels).astype(np.float32)
    if scale < 1:
        width = 0.5 * math.sqrt(1 / scale**2 - 1)
        finite = cv2.GaussianBlur(np.ascontiguousarray(finite), (0, 0), max(width, 0.1))
        finite = finite.reshape(ny, nx, -1)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    planes = [
        cv2.warpAffine(np.ascontiguousarray(finite[..., i]), matrix, (side, side), flags=method)
        for i in range(finite.shape[2])
    ]
    return np.stack(planes, axis=2)


def measured(path: Path, placement: Placement) -> Shape:
    """Shape of the galaxy in the middle; its flag says why there is none."""
    try:
        pixels = read_image(str(path))
        return measure_shape(pixels if placement == HERE else placed(pixels, placement))
    except Exception as error:
        return Shape(flag=flag_of(error))


def picture(path: Path, placement: Placement) -> bytes:
    """JPEG of an image as it was asked about, at most `SHOWN` pixels a side."""
    pixels = read_image(str(path))
    return encoded(pixels if placement == HERE else placed(pixels, placement))


def encoded(pixels: Pixels) -> bytes:
    """JPEG of pixels (ny, nx, channel), at most `SHOWN` a side; calibrated bands are stretched."""
    import simplejpeg

    shown = pixels if pixels.dtype == np.uint8 else _stretched(pixels)
    shrink = SHOWN / max(shown.shape[:2])
    if shrink < 1:
        size = (max(1, round(shown.shape[1] * shrink)), max(1, round(shown.shape[0] * shrink)))
        shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
        shown = shown.reshape(size[1], size[0], -1)
    if shown.shape[2] == 1:
        shown = np.repeat(shown, 3, axis=2)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(shown), quality=QUALITY))


def _stretched(pixels: Pixels) -> Pixels:
    """Calibrated bands for the eye: sky taken away, asinh in units of its noise."""
    bands = np.nan_to_num(pixels, posinf=0.0, neginf=0.0).astype(np.float32)
    bands = bands[..., 2::-1] if bands.shape[2] >= 3 else bands.mean(2, keepdims=True)
    sky = np.median(bands, axis=(0, 1))
    noise = max(float(np.median(np.abs(bands - sky))), float(np.ptp(bands)) * 1e-6, 1e-30)
    light = np.arcsinh(np.clip(bands - sky, 0, None) / (SOFTENING * noise))
    return np.asarray(np.clip(255 * light / max(float(light.max()), 1e-30), 0, 255), np.uint8)
