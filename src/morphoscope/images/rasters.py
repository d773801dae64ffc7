"""JPEG, PNG, TIFF, WebP and BMP to arrays of grey or RGB."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from morphoscope.errors import ImageError
from morphoscope.images.formats import Kind, Pixels, damaged

__all__ = ["decode", "to_eight_bits"]

# A damaged file is told by its ImageError; OpenCV would print each one to the terminal as well.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


EIGHT_BITS = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)


def decode(kind: Kind, data: bytes, at_least: int) -> Pixels:
    """Pixels (ny, nx, channel) of a raster file's bytes, a JPEG reduced as `at_least` allows."""
    if kind.name == "JPEG":
        return _decode_jpeg(kind, data, at_least)
    if not kind.complete(data):
        raise damaged(kind, data, f"{len(data):,} bytes are not all of it")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise damaged(kind, data, "the decoder refuses it")
    pixels = to_eight_bits(decoded if decoded.ndim == 3 else decoded[..., None])
    channels = pixels.shape[2]
    if channels == 1:
        return pixels
    if channels not in (3, 4):
        raise ImageError(f"the {kind.name} has {channels} channels", reason="not_an_image")
    if channels == 4 and pixels.dtype == np.uint8:
        pixels = _times(pixels[..., :3], pixels[..., 3:])
    return np.ascontiguousarray(pixels[..., 2::-1])


def to_eight_bits(pixels: Pixels) -> Pixels:
    """16 bits scaled to 8; any other type than uint8 becomes float32."""
    if pixels.dtype == np.uint16:
        # By a table: what widens all pixels at once takes four times their memory.
        return np.asarray(EIGHT_BITS[pixels])
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)


def _times(pixels: Pixels, share: Pixels) -> Pixels:
    out = np.empty_like(pixels)
    for row, (line, part) in enumerate(zip(pixels, share, strict=True)):
        out[row] = (line.astype(np.uint16) * part + 127) // 255
    return out


def _decode_jpeg(kind: Kind, data: bytes, at_least: int) -> Pixels:
    try:
        ny, nx, space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        wanted = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(space, "RGB")
        # simplejpeg would also take 3/8, 5/8 …, which have no vector code and decode more slowly.
        scale = next((s for s in (8, 4, 2) if min(-(-ny // s), -(-nx // s)) >= at_least > 0), 1)
        pixels: Pixels = simplejpeg.decode_jpeg(
            data,
            wanted,
            fastupsample=at_least > 0,
            min_height=-(-ny // scale),
            min_width=-(-nx // scale),
        )
    except (ValueError, KeyError) as error:
        if "Premature end" in str(error):
            raise ImageError("the JPEG ends too early", reason="truncated") from error
        raise damaged(kind, data, str(error)) from error
    # Adobe's way, which every known writer follows: inks are stored inverted.
    return _times(pixels[..., :3], pixels[..., 3:]) if wanted == "CMYK" else pixels
