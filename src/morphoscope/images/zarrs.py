"""Rows of Zarr arrays that hold an image a row.

Axes are (n, y, x), (n, y, x, channel) or (n, channel, y, x), row 0 on top. Names of the dimensions
(``dimension_names``, or ``_ARRAY_DIMENSIONS`` of xarray) say which; without them the sizes do.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from morphoscope.errors import ImageError, MissingDependencyError
from morphoscope.images.formats import VALUES_PER_PIXEL, Pixels, refuse_large
from morphoscope.images.rasters import to_eight_bits

__all__ = ["METADATA", "Images", "open_images", "open_zarr", "read_zarr", "zarr_size"]

METADATA = ("zarr.json", ".zarray", ".zgroup")
CHANNEL = frozenset({"channel", "channels", "band", "bands", "c", "filter", "rgb"})
COLOURS = (1, 3, 4)
# Neighbouring images are stored, and so unpacked, together; more than this is not held.
BLOCK_BYTES = 64 << 20


class Images(NamedTuple):
    """An array of images: the array, its axis of channels (0: none), rows read at once, size."""

    array: Any
    channel_axis: int
    block_rows: int
    ny: int
    nx: int
    channels: int


def open_zarr(path: str) -> Any:
    """Group or array of a store; kept open.

    Raises
    ------
    MissingDependencyError
        zarr is not installed.
    FileNotFoundError, ValueError
        There is no store, or none that can be read.
    """
    return _opened(path, _changed_ns(path), os.getpid())


def _changed_ns(path: str) -> int:
    """When the description of a store was written."""
    marks = [Path(path) / name for name in METADATA]
    changed = [mark.stat().st_mtime_ns for mark in marks if mark.is_file()]
    if not changed:
        raise FileNotFoundError(2, "there is no Zarr store", path)
    return max(changed)


@lru_cache(maxsize=8)
def _opened(path: str, changed_ns: int, process: int) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is Zarr and zarr is not installed", do="pip install 'morphoscope[survey]'"
        ) from error
    return zarr.open(path, mode="r")


def open_images(path: str, name: str) -> Images:
    """Array of images of a store, by its name in it; ``/`` is the store itself.

    Raises
    ------
    ImageError
        ``reason`` is ``missing`` (no such array) or ``not_an_image``.
    """
    return _images(path, name, _changed_ns(path), os.getpid())


@lru_cache(maxsize=8)
def _images(path: str, name: str, changed_ns: int, process: int) -> Images:
    """Array, kept: its chunk that was read last goes with it."""
    node = open_zarr(path)
    if name.strip("/"):
        node = node.get(name.strip("/")) if hasattr(node, "get") else None
    if not hasattr(node, "shape"):
        raise ImageError(f"{path} has no array {name!r}", reason="missing")
    axis = _channel_axis(node)
    sizes = [size for place, size in enumerate(node.shape) if place not in (0, axis)]
    channels = node.shape[axis] if axis else 1
    bytes_each = math.prod(node.shape[1:]) * node.dtype.itemsize
    rows = max(1, min(node.chunks[0], BLOCK_BYTES // max(1, bytes_each)))
    return Images(node, axis, rows, sizes[0], sizes[1], channels)


def _channel_axis(array: Any) -> int:
    """Axis of the channels, 0 for none."""
    shape = tuple(array.shape)
    if len(shape) == 3 and min(shape[1:]) > 0 and array.dtype.kind in "uif":
        return 0
    if len(shape) == 4 and min(shape[1:]) > 0 and array.dtype.kind in "uif":
        names = getattr(array.metadata, "dimension_names", None) or ()
        names = names or array.attrs.get("_ARRAY_DIMENSIONS", ())
        for axis, one in enumerate(names):
            if str(one).lower() in CHANNEL and axis in (1, 3):
                return axis
        if shape[3] in COLOURS:
            return 3
        if shape[1] <= VALUES_PER_PIXEL:
            return 1
    raise ImageError(
        f"the Zarr array has the shape {shape} and the type {array.dtype}",
        reason="not_an_image",
        expected="numbers (n, y, x), (n, y, x, channel) or (n, channel, y, x)",
    )


def zarr_size(path: str, name: str) -> tuple[int, int]:
    """Size ``(ny, nx)`` of the images of an array."""
    images = open_images(path, name)
    return images.ny, images.nx


def read_zarr(path: str, name: str, index: int, largest_pixels: int) -> Pixels:
    """(ny, nx, channel) of one row of an array."""
    images = open_images(path, name)
    refuse_large(images.ny * images.nx, largest_pixels, "pixels")
    n = images.array.shape[0]
    if index >= n:
        raise ImageError(
            f"{path} has no row {index} in {name!r}", reason="missing", expected=f"0 … {n - 1}"
        )
    start = index - index % images.block_rows
    # The open array stands for its file as it is now.
    block = _block(images.array, start, min(n, start + images.block_rows))
    image = block[index - start]
    if images.channel_axis == 1:
        image = image.transpose(1, 2, 0)
    pixels = to_eight_bits(np.ascontiguousarray(image.reshape(images.ny, images.nx, -1)))
    if pixels.dtype == np.uint8 and pixels.shape[2] not in COLOURS:
        raise ImageError(f"the images have {pixels.shape[2]} channels", reason="not_an_image")
    return np.ascontiguousarray(pixels[..., :3]) if pixels.dtype == np.uint8 else pixels


_LAST: list[tuple[Any, int, Pixels]] = []


def _block(array: Any, start: int, stop: int) -> Pixels:
    """Neighbouring rows; the last ones that were read are kept."""
    kept = _LAST[-1:]
    if kept and kept[0][0] is array and kept[0][1] == start:
        return kept[0][2]
    values = np.asarray(array[start:stop])
    _LAST[:] = [(array, start, values)]
    return values
