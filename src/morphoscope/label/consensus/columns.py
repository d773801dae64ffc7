"""Tables of votes on their way in: checked, as text, and as numbers of raters and subjects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from morphoscope.catalog import require_columns
from morphoscope.errors import VoteError

__all__ = ["numbered", "only_angles", "read_votes"]

Integers = NDArray[np.int64]


def read_votes(
    votes: pl.DataFrame, keys: Sequence[str], content: str, *, where: str = "the table of votes"
) -> pl.DataFrame:
    """Take the columns that are needed; leave out what says nothing.

    Parameters
    ----------
    votes
        Any table with the columns `keys` and `content`.
    keys
        Columns that name one vote; they become text.
    content
        What was voted; rows where it is null or not-a-number are left out.
    where
        What the table is called in errors.

    Raises
    ------
    CatalogueError
        A column is absent.
    VoteError
        A key is null, or two rows have the same keys.
    """
    require_columns(votes, (*keys, content), where=where)
    table = votes.select(*(pl.col(key).cast(pl.String) for key in keys), content)
    table = table.filter(pl.col(content).is_not_null())
    if table[content].dtype.is_float():
        table = table.filter(pl.col(content).is_not_nan())
    for key in keys:
        if table[key].null_count():
            raise VoteError(
                f"{where} has {table[key].null_count():,} rows without a {key}",
                expected=f"a {key} in every row",
            )
    again = table.filter(pl.struct(keys).is_duplicated())
    if again.height:
        names = ", ".join(f"{key} {again[key][0]!r}" for key in keys)
        raise VoteError(
            f"{where} has two rows of {names}",
            expected="one of each",
            do="keep the last vote of each person about each galaxy",
        )
    return table


def only_angles(table: pl.DataFrame, ends: tuple[float, float], *, where: str) -> pl.DataFrame:
    """Make sure that all inclinations can be given.

    Raises
    ------
    VoteError
        An inclination is outside of `ends`, or no number.
    """
    if not table["inclination"].dtype.is_numeric() and table.height:
        raise VoteError(f"{where} has inclinations that are no numbers", expected="degrees")
    table = table.with_columns(pl.col("inclination").cast(pl.Float64))
    outside = table.filter(~pl.col("inclination").is_between(*ends))
    if outside.height:
        raise VoteError(
            f"{where} has {outside.height:,} inclinations outside of {ends[0]:g} … {ends[1]:g}, "
            f"as {outside['inclination'][0]:g}",
            expected="degrees, 0 face-on … 90 edge-on",
        )
    return table


def numbered(names: pl.Series) -> tuple[pl.Series, Integers]:
    """Different names in order, and the place of each row's name among them."""
    unique = names.unique().sort()
    places = names.replace_strict(unique, pl.arange(len(unique), eager=True, dtype=pl.Int64))
    return unique, np.asarray(places.cast(pl.Int64).to_numpy())
