"""Measure: from images to a catalogue of shapes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from morphoscope.engine import Engine
from morphoscope.errors import RecipeError
from morphoscope.images import read_image
from morphoscope.inclination import inclination
from morphoscope.measure.shape import Shape, measure_shape
from morphoscope.streaming import MISSING, Rows, Task, flag_of, stream

__all__ = ["FORMULAS", "VALUES", "measure", "measure_files"]

Q0 = 0.2
BATCH = 32
VALUES = tuple(field.name for field in fields(Shape) if field.name != "flag")
# Columns of the ellipse formula, and the axial ratio that each is of.
FORMULAS = {
    "inclination_formula": "axial_ratio",
    "inclination_formula_isophote": "axial_ratio_isophote",
}
FORMULA = "cos^2 i = (q^2 - q0^2) / (1 - q0^2); Hubble (1926), ApJ 64, 321"


def measure(
    images: str | Path,
    *,
    out: Path,
    engine: Engine,
    q0: float = Q0,
    psf_fwhm: float = 0.0,
    id_column: str = "",
    file_column: str = "",
    shard_rows: int = 4096,
    force: bool = False,
) -> dict[str, Any]:
    """Measure the galaxy in the middle of each image: one row for every input, in its order.

    The columns are ``id_str``, ``file_loc``, the values of `Shape`, the inclinations (deg) by the
    formula of Hubble (1926), ApJ 64, 321 from both axial ratios, and ``flag``; null where a value
    could not be measured. A run that was cut off goes on when it is called again.

    Parameters
    ----------
    images, out, engine, id_column, file_column, shard_rows, force
        As for `morphoscope.streaming.stream`.
    q0
        Axial ratio of a disc seen edge-on, 0 ≤ q0 < 1.
    psf_fwhm
        Full width at half maximum of the point-spread function (pixels); 0: no correction.

    Returns
    -------
    dict
        ``n``, ``flagged`` (counts), ``kept`` (rows of an earlier, cut-off run), ``images_per_s``
        of this run, ``out``, ``warnings`` (sentences).

    Raises
    ------
    RecipeError
        `q0` or `psf_fwhm` is out of range.
    SourceError, CatalogueError, StageError
        As for `morphoscope.streaming.stream`.
    """
    _check(q0, psf_fwhm)
    done = stream(
        _task(q0, psf_fwhm),
        images,
        out=out,
        engine=engine,
        id_column=id_column,
        file_column=file_column,
        shard_rows=shard_rows,
        batch=BATCH,
        force=force,
    )
    return {
        "n": done.n,
        **done.counts,
        "kept": done.kept,
        "images_per_s": done.images_per_s,
        "out": str(done.out),
        "warnings": list(done.warnings),
    }


def measure_files(
    files: Sequence[str], engine: Engine | None = None, *, q0: float = Q0, psf_fwhm: float = 0.0
) -> pl.DataFrame:
    """Measure image files, into memory.

    Parameters
    ----------
    files
        Paths, or ``file.h5::dataset[index]``.
    engine
        Where they are read and measured; None: in this process.
    q0, psf_fwhm
        As for `measure`.

    Returns
    -------
    polars.DataFrame
        One row a file, in their order: ``file_loc`` and the columns of `measure`, ``flag`` last.

    Raises
    ------
    RecipeError
        `q0` or `psf_fwhm` is out of range.
    """
    _check(q0, psf_fwhm)
    work = functools.partial(_rows, q0=q0, psf_fwhm=psf_fwhm)
    chunks = [tuple(files[start : start + BATCH]) for start in range(0, len(files), BATCH)]
    # Without a file there are columns all the same.
    chunks = chunks or [()]
    done = dict(enumerate(map(work, chunks)) if engine is None else engine.map(work, chunks))
    tables = [
        pa.table({**done[index].columns, "flag": pa.array(done[index].flags, pa.string())})
        for index in range(len(chunks))
    ]
    frame = pl.from_arrow(pa.concat_tables(tables))
    assert isinstance(frame, pl.DataFrame)
    return frame.insert_column(0, pl.Series("file_loc", list(files), pl.String))


def _check(q0: float, psf_fwhm: float) -> None:
    if not 0 <= q0 < 1:
        raise RecipeError(f"q0 is {q0}", expected="0 or more and less than 1", do="give --q0 0.2")
    if not 0 <= psf_fwhm < np.inf:
        raise RecipeError(f"psf_fwhm is {psf_fwhm}", expected="0 or more pixels")


def _task(q0: float, psf_fwhm: float) -> Task:
    return Task(
        verb="measure",
        rows=functools.partial(_rows, q0=q0, psf_fwhm=psf_fwhm),
        decided_by={"task": "measure", "q0": repr(q0), "psf_fwhm": repr(psf_fwhm)},
        metadata={"q0": q0, "psf_fwhm": psf_fwhm, "inclination_formula": FORMULA},
    )


def _rows(files: tuple[str | None, ...], *, q0: float, psf_fwhm: float) -> Rows:
    shapes = [_measure(file, psf_fwhm) for file in files]
    values = {name: np.array([getattr(one, name) for one in shapes], float) for name in VALUES}
    values |= {name: inclination(values[ratio], q0) for name, ratio in FORMULAS.items()}
    columns = {
        name: pa.array(one.astype(np.float32), pa.float32(), mask=~np.isfinite(one))
        for name, one in values.items()
    }
    return Rows(columns, [one.flag for one in shapes])


def _measure(file: str | None, psf_fwhm: float) -> Shape:
    if file is None:
        return Shape(flag=MISSING)
    try:
        return measure_shape(read_image(file), psf_fwhm=psf_fwhm)
    except Exception as error:
        return Shape(flag=flag_of(error))
