"""The image store: one memory-mapped array, its catalogue in the same row order, its preparation.

===================  =====================================================================
``images.npy``       (n, channel, y, x) uint8, or float16 on the same scale (white = 255)
``catalogue.parquet``  row i is image i
``store.json``       format, state, shape, dtype, preparation, SHA-256 of ``images.npy``
===================  =====================================================================
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import DTypeLike, NDArray
from pydantic import ValidationError

from morphoscope.catalog import Catalogue, atomic_path, read_catalogue
from morphoscope.errors import CatalogueError, StoreError
from morphoscope.prepare.views import as_pictures
from morphoscope.recipe import PrepareSettings

__all__ = [
    "Store",
    "npy_header",
    "open_store",
    "read_description",
    "row_bytes",
    "write_description",
]

IMAGES, CATALOGUE, DESCRIPTION = "images.npy", "catalogue.parquet", "store.json"
FORMAT = 1
AGAIN = "run `morphoscope prepare` again"


@dataclass(frozen=True)
class Store:
    """Prepared images of a catalogue.

    Attributes
    ----------
    images
        (n, channel, y, x) uint8 or float16, memory-mapped, read-only.
    catalogue
        Row i belongs to image i.
    classes
        Names of the classes; a label is a position in this list.
    labels
        (n,) int64; -1 where the catalogue gives no class.
    settings
        The preparation.
    folder
        Where the store lies.
    measures
        Whether the galaxies have inclinations to be learnt.
    """

    images: NDArray[Any]
    catalogue: pl.DataFrame
    classes: list[str]
    labels: NDArray[np.int64]
    settings: PrepareSettings
    folder: Path
    measures: bool = False

    @cached_property
    def inclinations(self) -> NDArray[np.float64]:
        """Inclinations (deg) ``(n,)``; not-a-number where there is none."""
        if not self.measures:
            return np.full(len(self), np.nan)
        column = self.catalogue["inclination"].cast(pl.Float64)
        return column.fill_null(np.nan).to_numpy().copy()

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of one split, ascending.

        Raises
        ------
        StoreError
            The catalogue is not split, or has no such split.
        """
        if "split" not in self.catalogue.columns:
            raise StoreError(
                f"the store {self.folder} is not split", do="run `morphoscope split` first"
            )
        rows = np.flatnonzero((self.catalogue["split"] == split).fill_null(False).to_numpy())
        if not rows.size:
            known = self.catalogue["split"].drop_nulls().unique().sort().to_list()
            raise StoreError(
                f"the store {self.folder} has no image in the split {split!r}",
                expected=f"one of {', '.join(known)}",
            )
        return rows.astype(np.int64)

    def gather(
        self, rows: NDArray[np.int64] | Sequence[int], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Copy the images of some rows, in that order.

        Parameters
        ----------
        rows
            (batch,) row numbers.
        out
            (batch, channel, y, x) of the images' type, contiguous: filled and returned instead of
            a new array.

        Raises
        ------
        IndexError
            A row number is negative or beyond the store.
        """
        index = np.asarray(rows, np.int64)
        if index.size and not 0 <= index.min() <= index.max() < len(self.images):
            raise IndexError(f"row numbers must lie in 0 … {len(self.images) - 1}")
        if out is None:
            out = np.empty((index.size, *self.images.shape[1:]), self.images.dtype)
        # "clip" copies straight into `out`; "raise" would go through a buffer of the same size.
        return np.take(self.images, index, axis=0, out=out, mode="clip")

    def pictures(self, rows: NDArray[np.int64] | Sequence[int]) -> NDArray[np.uint8]:
        """Some images as they are shown, ``(batch, 1 or 3, y, x)`` uint8, grey or RGB."""
        return as_pictures(self.gather(rows))


def open_store(folder: Path, settings: PrepareSettings | None = None) -> Store:
    """Open a store that `prepare` finished.

    Parameters
    ----------
    folder
        The stage's output folder.
    settings
        When given, the store must have been made with these.

    Raises
    ------
    StoreError
        The store is absent, unfinished, damaged, or of other settings; the message says which.
    EngineError
        Its images are in memory, which cannot be used here.
    """
    described = read_description(folder)
    if described is None:
        raise StoreError(f"there is no image store in {folder}", do="run `morphoscope prepare`")
    if described.get("state") != "complete":
        raise StoreError(f"the store {folder} is unfinished", do=AGAIN)
    made_with = _settings(folder, described)
    if settings is not None and settings != made_with:
        raise _other_settings(folder, made_with, settings)
    if (folder / IMAGES).is_symlink():
        from morphoscope.prepare import in_memory

        if in_memory.is_in_memory(folder / IMAGES):
            in_memory.bring(folder, described)
    images = _map_images(folder, described)
    catalogue = _catalogue(folder, len(images))
    classes, labels = _labels(folder, catalogue)
    measures = catalogue.metadata.get("task") == "inclination"
    return Store(images, catalogue.frame, classes, labels, made_with, folder, measures)


def read_description(folder: Path) -> dict[str, Any] | None:
    """Content of ``store.json``; None when there is none."""
    try:
        described = json.loads((folder / DESCRIPTION).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / DESCRIPTION} is damaged ({error})", do=AGAIN) from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise StoreError(
            f"{folder / DESCRIPTION} describes no store of format {FORMAT}",
            do="prepare it again with this version",
        )
    return described


def write_description(folder: Path, state: str, **values: Any) -> None:
    """Write ``store.json``, whole or not at all."""
    with atomic_path(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps({"format": FORMAT, "state": state, **values}, indent=1))


def row_bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """Bytes of one image of a store."""
    return math.prod(shape[1:]) * np.dtype(dtype).itemsize


def npy_header(shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> bytes:
    """Header of an ``.npy`` file; numpy leaves room in it for a larger or smaller n."""
    buffer = io.BytesIO()
    values = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, values)
    return buffer.getvalue()


def _settings(folder: Path, described: dict[str, Any]) -> PrepareSettings:
    try:
        return PrepareSettings.model_validate(described.get("preparation"))
    except ValidationError as error:
        raise StoreError(
            f"the store {folder} was prepared with settings that this version does not know",
            do=AGAIN,
        ) from error


def _other_settings(
    folder: Path, made_with: PrepareSettings, wanted: PrepareSettings
) -> StoreError:
    there, here = made_with.model_dump(), wanted.model_dump()
    differing = [name for name in here if here[name] != there[name]]
    return StoreError(
        f"the store {folder} is of another recipe: it was prepared with "
        + ", ".join(f"{name} = {there[name]}" for name in differing),
        expected=", ".join(f"{name} = {here[name]}" for name in differing),
        do=f"{AGAIN} or take the recipe it was made with",
        differing=differing,
    )


def _map_images(folder: Path, described: dict[str, Any]) -> NDArray[Any]:
    path = folder / IMAGES
    try:
        shape = tuple(int(length) for length in described["shape"])
        # Before there were floats, none said its type.
        dtype = np.dtype(str(described.get("dtype", "uint8")))
        expected = len(npy_header(shape, dtype)) + shape[0] * row_bytes(shape, dtype)
        found = path.stat().st_size
        if found != expected:
            raise StoreError(
                f"{path} has {found:,} bytes", expected=f"{expected:,} for {shape}", do=AGAIN
            )
        images: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except StoreError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is absent or damaged ({error})", do=AGAIN) from error
    if images.shape != shape or images.dtype != dtype:
        raise StoreError(
            f"{path} holds {images.shape} of {images.dtype}",
            expected=f"{shape} of {dtype}",
            do=AGAIN,
        )
    return images


def _catalogue(folder: Path, n: int) -> Catalogue:
    try:
        catalogue = read_catalogue(folder / CATALOGUE)
    except CatalogueError as error:
        raise StoreError(f"the store has no catalogue: {error.found}", do=AGAIN) from error
    if len(catalogue) != n:
        raise StoreError(
            f"{folder / CATALOGUE} has {len(catalogue):,} rows",
            expected=f"{n:,}, one an image",
            do=AGAIN,
        )
    return catalogue


def _labels(folder: Path, catalogue: Catalogue) -> tuple[list[str], NDArray[np.int64]]:
    if "class" not in catalogue.frame.columns:
        return [], np.full(len(catalogue), -1)
    named = catalogue.frame["class"].cast(pl.String)
    classes = catalogue.metadata.get("classes") or named.drop_nulls().unique().sort().to_list()
    unknown = sorted(set(named.drop_nulls().unique()) - set(classes))
    if not classes:
        return [], np.full(len(catalogue), -1)
    if unknown:
        raise StoreError(
            f"the catalogue of {folder} has the class {unknown[0]!r}",
            expected=f"one of {', '.join(classes)}",
            do="run `morphoscope clean` again",
        )
    positions = {name: position for position, name in enumerate(classes)}
    labels = named.replace_strict(positions, default=-1, return_dtype=pl.Int64)
    return list(classes), labels.fill_null(-1).to_numpy().copy()
