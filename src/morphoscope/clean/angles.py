"""Inclinations as labels: in degrees, of the discs alone."""

from __future__ import annotations

import difflib
import math

import polars as pl

from morphoscope.catalog import free_names
from morphoscope.errors import LabelError

__all__ = ["EDGE_ON_DEG", "OUT_OF_RANGE", "with_inclinations"]

EDGE_ON_DEG = 90.0
OUT_OF_RANGE = "inclination_out_of_range"
# So few labels may by chance all be below π/2 degrees.
FEWEST = 5


def with_inclinations(frame: pl.DataFrame, column: str, disc: str | None) -> pl.DataFrame:
    """Bring the inclinations into a column ``inclination``, null for what is no disc.

    Parameters
    ----------
    frame
        Rows with ``class`` and ``reason``, which is null for those that are used.
    column
        Column of inclinations (deg).
    disc
        The class that has an inclination.

    Returns
    -------
    polars.DataFrame
        The same rows; discs whose inclination is below 0 or above 90 have the reason
        ``inclination_out_of_range``.

    Raises
    ------
    LabelError
        There is no such column, it holds no numbers, no disc has one, or all look like radians.
    """
    if column not in frame.columns:
        near = difflib.get_close_matches(column, frame.columns, n=1, cutoff=0.5)
        raise LabelError(
            f"clean.inclination names the column {column!r}, which the table does not have",
            expected=f"one of {', '.join(frame.columns[:20])}",
            do=f"did you mean {near[0]!r}?" if near else "mend clean.inclination",
            column=column,
        )
    used = (pl.col("class") == disc) & pl.col("reason").is_null()
    angles = frame.select(pl.when(used).then(_numbers(frame, column)).alias("inclination"))
    known = angles["inclination"].drop_nulls()
    _require_degrees(column, known)
    if column != "inclination":
        frame = free_names(frame, ["inclination"])
    frame = frame.with_columns(angles["inclination"])
    outside = ~pl.col("inclination").is_between(0, EDGE_ON_DEG)
    reason = (
        pl.when(outside.fill_null(False)).then(pl.lit(OUT_OF_RANGE)).otherwise(pl.col("reason"))
    )
    return frame.with_columns(reason.alias("reason"))


def _numbers(frame: pl.DataFrame, column: str) -> pl.Expr:
    try:
        frame.select(pl.col(column).cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise LabelError(
            f"the column {column!r} of inclinations does not hold numbers: {error}",
            expected="degrees, or nothing where none is known",
            do="mend the table",
            column=column,
        ) from error
    return pl.col(column).cast(pl.Float64).fill_nan(None)


def _require_degrees(column: str, known: pl.Series) -> None:
    if not len(known):
        raise LabelError(
            f"no disc has an inclination in the column {column!r}",
            expected="numbers for galaxies of the first class of clean.classes",
            do="mend the rules of the classes or clean.inclination",
            column=column,
        )
    largest = float(known.abs().max())  # type: ignore[arg-type]
    if len(known) >= FEWEST and largest <= math.pi / 2:
        raise LabelError(
            f"none of {len(known):,} inclinations in {column!r} is above {largest:.3g}: they look "
            "like radians",
            expected="degrees, 0 face-on … 90 edge-on",
            do="multiply them by 180/π",
            column=column,
        )
