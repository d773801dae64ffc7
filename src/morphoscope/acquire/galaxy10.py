"""Galaxy10: one HDF5 file of labelled images, from SDSS or from DECaLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.acquire.listing import absolute, as_text
from morphoscope.acquire.rows import Acquired
from morphoscope.errors import MissingDependencyError, SourceError
from morphoscope.provenance import file_digest

__all__ = ["DECALS", "SDSS", "find_galaxy10", "read_galaxy10"]

HDF5_SUFFIXES = frozenset({".h5", ".hdf5", ".hdf"})
CITATION = "Leung & Bovy 2019, MNRAS 483, 3255; Lintott et al. 2011, MNRAS 410, 166 (Galaxy Zoo)"


class Survey(NamedTuple):
    """One of the two publications: its classes in the order of ``ans`` and their counts."""

    name: str
    classes: dict[str, int]
    citation: str


SDSS = Survey(
    "sdss",
    {
        "Disk, Face-on, No Spiral": 3461,
        "Smooth, Completely round": 6997,
        "Smooth, in-between round": 6292,
        # Counted in the file; its documentation says 394, and then its classes do not sum to 21785.
        "Smooth, Cigar shaped": 349,
        "Disk, Edge-on, Rounded Bulge": 1534,
        "Disk, Edge-on, Boxy Bulge": 17,
        "Disk, Edge-on, No Bulge": 589,
        "Disk, Face-on, Tight Spiral": 1121,
        "Disk, Face-on, Medium Spiral": 906,
        "Disk, Face-on, Loose Spiral": 519,
    },
    CITATION,
)
DECALS = Survey(
    "decals",
    {
        "Disturbed": 1081,
        "Merging": 1853,
        "Round Smooth": 2645,
        "In-between Round Smooth": 2027,
        "Cigar Shaped Smooth": 334,
        "Barred Spiral": 2043,
        "Unbarred Tight Spiral": 1829,
        "Unbarred Loose Spiral": 2628,
        "Edge-on without Bulge": 1423,
        "Edge-on with Bulge": 1873,
    },
    f"{CITATION}; Dey et al. 2019, AJ 157, 168; Walmsley et al. 2022, MNRAS 509, 3966",
)


def find_galaxy10(root: Path) -> Path:
    """Find the HDF5 file: ``root`` itself, or the only one in it.

    Raises
    ------
    SourceError
        There is none, or more than one.
    """
    if root.is_file():
        return root
    files = sorted(p for p in root.glob("*") if p.suffix.lower() in HDF5_SUFFIXES)
    if len(files) != 1:
        names = ", ".join(p.name for p in files) or "no HDF5 file"
        raise SourceError(
            f"{root} holds {names}" if root.is_dir() else f"there is no {root}",
            expected="one file, as Galaxy10.h5 or Galaxy10_DECals.h5",
            do="name the file itself as acquire.data or with --data",
            path=str(root),
        )
    return files[0]


def read_galaxy10(root: Path) -> Acquired:
    """Read the labels; the images stay where they are and are named by their row.

    Raises
    ------
    SourceError
        The file is absent, damaged, or lacks ``images`` or ``ans``.
    """
    path = find_galaxy10(root)
    shape, values = _read_columns(path)
    # Only the DECaLS edition has positions; 69 and 256 are the sides of the two.
    decals = shape[1] == 256 or not {"ra", "redshift", "pxscale"}.isdisjoint(values)
    survey = DECALS if decals else SDSS
    n, answers = shape[0], values["ans"].astype(np.int64)
    classes = [_class_name(survey, answer) for answer in answers]
    file = as_text(str(absolute(path)))
    columns: dict[str, Any] = {
        "id_str": [f"galaxy10-{survey.name}-{row:05d}" for row in range(n)],
        "file_loc": [f"{file}::images[{row}]" for row in range(n)],
        **{name: _column(values, name, n) for name in ("ra", "dec")},
        "ans": answers,
        "class": pl.Series(classes, dtype=pl.String),
        **{name: values[name] for name in ("redshift", "pxscale") if name in values},
    }
    frame = pl.DataFrame(columns)
    usable = frame.filter(pl.col("class").is_not_null())
    unknown = frame.filter(pl.col("class").is_null())
    metadata = {
        "table": path.name,
        "table_sha256": file_digest(path),
        "survey": survey.name,
        "classes": list(survey.classes),
        "citation": survey.citation,
    }
    rejects = unknown.with_columns(pl.lit("unknown_class").alias("reason"))
    return Acquired(usable, rejects, metadata, _compared(survey, usable["class"]))


def _class_name(survey: Survey, answer: int) -> str | None:
    names = list(survey.classes)
    return names[answer] if 0 <= answer < len(names) else None


def _column(values: Mapping[str, NDArray[Any]], name: str, n: int) -> pl.Series:
    if name not in values:
        return pl.repeat(None, n, dtype=pl.Float64, eager=True)
    return pl.Series(values[name].astype(np.float64)).fill_nan(None)


def _compared(survey: Survey, classes: pl.Series) -> list[str]:
    found = dict(classes.value_counts().iter_rows())
    return [
        f"class {name!r} has {found.get(name, 0):,} images; the published file has {published:,}"
        for name, published in survey.classes.items()
        if found.get(name, 0) != published
    ]


def _read_columns(path: Path) -> tuple[tuple[int, ...], dict[str, NDArray[Any]]]:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            "reading Galaxy10 needs h5py", do="pip install 'morphoscope[train]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            present = [name for name in ("ans", "ra", "dec", "redshift", "pxscale") if name in file]
            _require_keys(path, file.keys())
            shape = tuple(file["images"].shape)
            values = {name: np.asarray(file[name]).reshape(-1) for name in present}
    except SourceError:
        raise
    # h5py tells damage by OSError, RuntimeError, KeyError or ValueError, by where it strikes.
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError) as error:
        raise SourceError(
            f"{path} cannot be read as HDF5 ({error})",
            do="compare its size and SHA-256 with the published ones, and fetch it again",
            path=str(path),
        ) from error
    _require_alike(path, shape, values)
    return shape, values


def _require_keys(path: Path, keys: Sequence[str]) -> None:
    missing = [name for name in ("images", "ans") if name not in keys]
    if missing:
        raise SourceError(
            f"{path} has no {' and no '.join(missing)}",
            expected=f"them among its keys: {', '.join(keys) or 'none'}",
            do="take the published Galaxy10 file",
            path=str(path),
        )


def _require_alike(path: Path, shape: tuple[int, ...], values: Mapping[str, NDArray[Any]]) -> None:
    wrong = {name: len(column) for name, column in values.items() if len(column) != shape[0]}
    if len(shape) != 4 or wrong or not np.issubdtype(values["ans"].dtype, np.number):
        raise SourceError(
            f"{path} has images of shape {shape} and columns of other lengths {wrong}",
            expected="images (n, y, x, 3) and columns (n,)",
            do="take the published Galaxy10 file",
            path=str(path),
        )
