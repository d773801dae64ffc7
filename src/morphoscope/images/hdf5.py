"""Rows of HDF5 datasets, as Galaxy10 comes."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from morphoscope.errors import ImageError, MissingDependencyError
from morphoscope.images.formats import Pixels, refuse_large
from morphoscope.images.rasters import to_eight_bits

__all__ = ["hdf5_size", "read_hdf5"]


def hdf5_size(path: str, name: str) -> tuple[int, int]:
    """Size ``(ny, nx)`` of the rows of a dataset."""
    return _as_image(_dataset(path, name).shape[1:])[:2]


def read_hdf5(path: str, name: str, index: int, largest_pixels: int) -> Pixels:
    """(ny, nx, channel) of one row of a dataset."""
    dataset = _dataset(path, name)
    shape = _as_image(dataset.shape[1:])
    refuse_large(shape[0] * shape[1], largest_pixels, "pixels")
    if index >= dataset.shape[0]:
        raise ImageError(
            f"{path} has no row {index} in {name!r}",
            reason="missing",
            expected=f"0 … {dataset.shape[0] - 1}",
        )
    return to_eight_bits(np.asarray(dataset[index]).reshape(shape))


def _dataset(path: str, name: str) -> Any:
    file = _open(path, Path(path).stat().st_mtime_ns, os.getpid())
    if name not in file or not hasattr(file[name], "shape"):
        raise ImageError(f"{path} has no dataset {name!r}", reason="missing")
    return file[name]


@functools.lru_cache(maxsize=8)
def _open(path: str, changed_ns: int, process: int) -> Any:
    """Open file, kept: a handle does not survive a fork, nor its file being written anew."""
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is HDF5 and h5py is not installed", do="pip install 'morphoscope[train]'"
        ) from error
    return h5py.File(path, "r")


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
