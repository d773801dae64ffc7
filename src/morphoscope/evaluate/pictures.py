"""Prepared pixels as pictures inside the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from morphoscope.prepare.views import as_pictures

__all__ = ["embed", "overlay", "tiles", "to_picture"]

Picture = NDArray[np.uint8]
QUALITY = 88


def to_picture(prepared: NDArray[Any]) -> Picture:
    """Prepared image ``(channel, y, x)``, of any type, as ``(y, x, 3)`` RGB."""
    (shown,) = as_pictures(prepared[None])
    if len(shown) == 3:
        return np.ascontiguousarray(shown.transpose(1, 2, 0))
    return np.repeat(shown[0][..., None], 3, axis=2)


def embed(picture: Picture, *, side: int = 0, lossless: bool = False) -> str:
    """Picture as a ``data:`` address, resized so that its longer side is ``side`` at most.

    Parameters
    ----------
    picture
        RGB, shape ``(y, x, 3)``.
    side
        Longest side allowed (pixels); 0 keeps the size.
    lossless
        PNG instead of JPEG, for sharp edges.
    """
    longest = max(picture.shape[:2])
    if side and longest > side:
        ny, nx = (max(1, round(n * side / longest)) for n in picture.shape[:2])
        picture = np.asarray(cv2.resize(picture, (nx, ny), interpolation=cv2.INTER_AREA))
    suffix, options = (".png", []) if lossless else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    _, data = cv2.imencode(suffix, np.ascontiguousarray(picture[..., ::-1]), options)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def overlay(picture: Picture, heat: NDArray[np.float32]) -> Picture:
    """Lay heat (0–1, any size) over a picture, the stronger the less transparent."""
    ny, nx = picture.shape[:2]
    wide = cv2.resize(heat.astype(np.float32), (nx, ny), interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide, 0, 1)
    levels = np.asarray(np.rint(255 * wide), dtype=np.uint8)
    colour = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = 0.75 * wide[..., None]
    mixed = np.rint((1 - weight) * picture + weight * colour)
    return np.asarray(mixed, dtype=np.uint8)


def tiles(planes: Sequence[NDArray[np.floating]], *, columns: int, scale: int) -> Picture:
    """Planes ``(y, x)`` or ``(y, x, 3)`` with values 0–1 side by side, each pixel enlarged."""
    gap = 2
    ny, nx = (n * scale for n in planes[0].shape[:2])
    rows = -(-len(planes) // columns)
    sheet = np.full(
        (rows * (ny + gap) - gap, min(columns, len(planes)) * (nx + gap) - gap, 3), 32, np.uint8
    )
    for index, plane in enumerate(planes):
        y, x = (index // columns) * (ny + gap), (index % columns) * (nx + gap)
        large = np.kron(plane, np.ones((scale, scale, 1)[: plane.ndim]))
        levels = np.rint(255 * large).astype(np.uint8)
        sheet[y : y + ny, x : x + nx] = levels if plane.ndim == 3 else levels[..., None]
    return sheet
