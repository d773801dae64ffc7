"""The same pixels under two names."""

from __future__ import annotations

import polars as pl

__all__ = ["find_duplicates"]


def find_duplicates(images: pl.DataFrame) -> pl.Series:
    """Find images whose pixels another image has too.

    Parameters
    ----------
    images
        (n rows) ``id_str``, ``class`` and ``pixel_sha256``.

    Returns
    -------
    polars.Series
        (n,) Reason to reject, or null. Of images of one class the first stays, the others are
        ``duplicate_of:<id>``. If the same pixels bear different classes, no one knows which is
        right, and all of them are ``duplicate_with_other_class:<id>``.
    """
    same = "pixel_sha256"
    first = images.select(
        "id_str",
        "class",
        pl.col("id_str").first().over(same).alias("first_id"),
        pl.col("class").first().over(same).alias("first_class"),
        pl.col(same),
    )
    unlike = pl.col("class") != pl.col("first_class")
    # The first of the images whose class is not that of the very first; null: all agree.
    other = pl.col("id_str").filter(unlike).first().over(same)
    partner = pl.when(unlike).then(pl.col("first_id")).otherwise(other)
    reason = (
        pl.when(other.is_not_null())
        .then(pl.concat_str(pl.lit("duplicate_with_other_class:"), partner))
        .when(pl.col("id_str") != pl.col("first_id"))
        .then(pl.concat_str(pl.lit("duplicate_of:"), pl.col("first_id")))
    )
    return first.select(reason.alias("reason")).to_series()
