"""From labels and image files to the rows of a catalogue, and of the rejects."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from morphoscope.acquire.listing import stem
from morphoscope.catalog import free_names, nearest
from morphoscope.errors import CatalogueError

__all__ = [
    "FIRST_COLUMNS",
    "Acquired",
    "as_ids",
    "images_without_label",
    "names_of",
    "sort_out",
    "with_positions",
]

FIRST_COLUMNS = ("id_str", "file_loc", "ra", "dec")
# Names in use at VizieR, SDSS, Gaia and in people's tables, without case and punctuation.
RA_NAMES = ("ra", "radeg", "raj2000", "raicrs", "rightascension", "alphaj2000")
DEC_NAMES = ("dec", "decdeg", "dedeg", "dej2000", "decj2000", "deicrs", "decicrs", "declination")
ROUNDED = r"^\d\.\d+[eE]\+?\d+$"
# Beyond it a floating-point number no longer tells neighbouring integers apart.
LARGEST_EXACT = 2**53


@dataclass(frozen=True)
class Acquired:
    """What a source gave.

    Attributes
    ----------
    frame
        Usable rows: ``id_str``, ``file_loc``, ``ra``, ``dec``, then the source's own columns.
    rejects
        The other rows, with their ``reason``.
    metadata
        What the source says of itself, for the catalogue.
    warnings
        What a person should know, one sentence each.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def as_ids(values: pl.Series, where: str) -> pl.Series:
    """Names of galaxies as text, exactly; empty ones become null.

    Raises
    ------
    CatalogueError
        They went through floating point and are no longer exact.
    """
    if values.dtype.is_float():
        values = values.fill_nan(None)
        exact = values.is_null() | ((values.abs() < LARGEST_EXACT) & (values == values.round()))
        text = values.cast(pl.Int64, strict=False).cast(pl.String)
        rounded = values.filter(~exact).cast(pl.String)
    else:
        text = values.cast(pl.String).str.strip_chars()
        # pandas writes a column of integers with gaps as 1.0, 2.0, …
        if text.drop_nulls().str.contains(r"^\d+\.0$").all():
            text = text.str.strip_suffix(".0")
        rounded = text.filter(text.str.contains(ROUNDED).fill_null(False))
    if len(rounded):
        raise CatalogueError(
            f"{where}: the id {rounded[0]} in column {values.name!r} has been rounded, as "
            "spreadsheets do to long numbers",
            expected="every digit",
            do="export the table again with that column as text",
        )
    return text.replace("", None)


def names_of(files: Sequence[str], root: str) -> dict[str, str]:
    """Name galaxies by their files: the stem, or the path below ``root`` where stems repeat.

    Examples
    --------
    >>> names_of(["/d/a/1.jpg", "/d/b/1.jpg", "/d/b/2.jpg"], "/d")
    {'/d/a/1.jpg': 'a/1.jpg', '/d/b/1.jpg': 'b/1.jpg', '/d/b/2.jpg': '2'}
    """
    stems = {file: stem(file) for file in files}
    times = Counter(stems.values())
    return {
        file: name if times[name] == 1 else os.path.relpath(file, root)
        for file, name in stems.items()
    }


def with_positions(
    frame: pl.DataFrame, ra_column: str, dec_column: str, where: str
) -> tuple[pl.DataFrame, list[str]]:
    """Give the frame ``ra`` and ``dec`` (deg, Float64), null where not known; and warnings.

    The columns are those named, else those with a customary name, else there are none.

    Raises
    ------
    CatalogueError
        A column is named, its name is no customary one, and it is absent.
    """
    names = _find(frame, ra_column, RA_NAMES, where), _find(frame, dec_column, DEC_NAMES, where)
    if not all(names):
        unknown = pl.lit(None, pl.Float64)
        frame = free_names(frame, ("ra", "dec"))
        return frame.with_columns(unknown.alias("ra"), unknown.alias("dec")), []
    ra, dec = (pl.col(name).cast(pl.Float64, strict=False) for name in names)
    ra = pl.when(ra.is_between(-180, 0, closed="left")).then(ra + 360).otherwise(ra)
    on_sky = ra.is_between(0, 360) & dec.is_between(-90, 90)
    given = [pl.col(n).cast(pl.String).fill_null("").is_in(["", "NaN"]).not_() for n in names]
    positions = frame.select(
        pl.when(on_sky).then(ra).alias("ra"), pl.when(on_sky).then(dec).alias("dec")
    )
    lost = frame.select(pl.any_horizontal(given) & positions["ra"].is_null()).to_series().sum()
    own = frame.drop([name for name, taken in zip(names, ("ra", "dec")) if name == taken])
    frame = free_names(own, ("ra", "dec")).hstack(positions)
    text = f"{lost:,} positions in {names[0]!r}, {names[1]!r} are no degrees on the sky: left out"
    return frame, [text] if lost else []


def _find(frame: pl.DataFrame, name: str, customary: tuple[str, ...], where: str) -> str:
    if not name or name in frame.columns:
        return name
    if _bare(name) not in customary:
        raise CatalogueError(
            f"{where} has no column {name!r}",
            expected=f"it among {nearest(name, frame)}",
            do="mend acquire.ra_column or acquire.dec_column",
        )
    return next((column for column in frame.columns if _bare(column) in customary), "")


def _bare(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.casefold())


def sort_out(frame: pl.DataFrame, has_image: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part the rows into usable ones and rejects.

    Parameters
    ----------
    frame
        Rows with ``id_str``, ``file_loc``, ``ra``, ``dec`` and the source's own columns.
    has_image
        (n,) Whether the image of a row is there.

    Returns
    -------
    frame, rejects
        Of rows that share an id the first one with an image stays.
    """
    frame = frame.select(*FIRST_COLUMNS, pl.exclude(FIRST_COLUMNS))
    reason = (
        pl.when(~has_image)
        .then(pl.lit("label_without_image"))
        .when(pl.col("id_str").is_null())
        .then(pl.lit("missing_id"))
    )
    frame = frame.with_columns(reason.alias("reason"))
    usable = frame.filter(pl.col("reason").is_null())
    first = usable["id_str"].is_first_distinct()
    twice = usable.filter(~first).with_columns(pl.lit("duplicate_id").alias("reason"))
    rejects = pl.concat([frame.filter(pl.col("reason").is_not_null()), twice])
    return usable.filter(first).drop("reason"), rejects


def images_without_label(
    rejects: pl.DataFrame, files: Sequence[str], reason: str = "image_without_label"
) -> pl.DataFrame:
    """Add images that no row uses to the rejects."""
    more = pl.DataFrame(
        {"id_str": [stem(file) for file in files], "file_loc": files, "reason": reason},
        schema={"id_str": pl.String, "file_loc": pl.String, "reason": pl.String},
    )
    return pl.concat([rejects, more], how="diagonal")
