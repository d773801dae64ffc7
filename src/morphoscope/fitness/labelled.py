"""Labels that people gave some of the new images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from morphoscope.acquire.listing import stem
from morphoscope.acquire.rows import as_ids
from morphoscope.bundle import Bundle
from morphoscope.catalog import read_table, require_columns
from morphoscope.errors import CatalogueError, LabelError
from morphoscope.evaluate.angles.outside import known_inclinations

__all__ = ["Labels", "match_labels", "read_labels"]

TRUTH = "truth"


@dataclass(frozen=True)
class Labels:
    """Labels of galaxies.

    Attributes
    ----------
    frame
        ``truth`` (class, or deg) and columns that may name the galaxies, as text.
    others
        Labels that are none of the model's classes, with their counts.
    """

    frame: pl.DataFrame
    others: dict[str, int]

    @property
    def names(self) -> set[str]:
        """Whatever may be the name of a galaxy or of its file."""
        found: set[str] = set()
        for column in self.frame.drop(TRUTH).iter_columns():
            values = column.drop_nulls().to_list()
            found |= {*values, *map(stem, values)}
        return found


def read_labels(
    path: Path, bundle: Bundle, *, column: str, id_column: str, means: Mapping[str, str]
) -> Labels:
    """Read a table of labels.

    Parameters
    ----------
    path
        Table.
    bundle
        The model whose classes they are.
    column
        Column of labels; of inclinations (deg) for a model of these.
    id_column
        Column of names or files; empty: the one that fits.
    means
        Class of the model by a label of the table that has another word for it.

    Raises
    ------
    CatalogueError
        The table or a column is absent, or it holds no inclinations.
    LabelError
        `means` names no class of the model, or no label is a class.
    """
    if bundle.task == "inclination":
        return Labels(known_inclinations(path, column, id_column), {})
    unknown = [name for name in means.values() if name not in bundle.classes]
    if unknown:
        raise LabelError(
            f"{unknown[0]!r} is no class of {bundle.name}",
            expected=f"one of {', '.join(bundle.classes)}",
            do="mend --as",
        )
    named = [id_column] if id_column else []
    frame = read_table(path, text=named)
    require_columns(frame, (column, *named), where=str(path))
    others = named or [name for name in frame.columns if name != column and _may_name(frame[name])]
    label = pl.col(column).cast(pl.String).str.strip_chars()
    frame = frame.select(
        *(as_ids(frame[name], path.name).alias(name) for name in others if name != TRUTH),
        label.replace(dict(means)).alias(TRUTH),
    )
    frame = frame.filter(pl.col(TRUTH).fill_null("") != "")
    known = frame[TRUTH].is_in(bundle.classes)
    if not known.any():
        raise LabelError(
            f"none of {frame.height:,} labels of {path} in {column!r} is a class of {bundle.name}",
            expected=f"{', '.join(bundle.classes)}",
            do="say which label means which class: --as LABEL=CLASS",
        )
    counts = dict(frame.filter(~known)[TRUTH].value_counts(sort=True).iter_rows())
    return Labels(frame.filter(known), counts)


def match_labels(answers: pl.DataFrame, labels: Labels, path: Path) -> pl.DataFrame:
    """Answers about the labelled galaxies, with ``truth``.

    A galaxy is known by its name or by that of its file; of several columns that may hold it, the
    one that finds most counts.

    Raises
    ------
    CatalogueError
        No labelled galaxy has an answer, or one has two labels.
    """
    stems = _stems(answers["file_loc"])
    tries = [
        pair
        for column in labels.frame.drop(TRUTH).iter_columns()
        for pair in ((column, answers["id_str"]), (_stems(column), stems))
    ]
    hits = [int(own.drop_nulls().is_in(keys.drop_nulls().to_list()).sum()) for own, keys in tries]
    if not hits or not max(hits):
        raise CatalogueError(
            f"no galaxy of {path} is among the images that have an answer",
            expected=f"names like {answers['id_str'][0]!r}" if answers.height else "",
            do="name the right column with --labels-id",
        )
    own, key = tries[hits.index(max(hits))]
    truths = labels.frame.select(TRUTH).with_columns(own.alias("key")).unique()
    joined = answers.with_columns(key.alias("key")).join(truths, on="key", how="inner")
    twice = joined.filter(pl.col("key").is_duplicated())
    if twice.height:
        raise CatalogueError(
            f"the galaxy {twice['key'][0]!r} has two labels, or two images",
            expected="one label of one image for a galaxy",
            do="mend the table, or name a column of unique names with --labels-id",
        )
    return joined.drop("key")


def _may_name(column: pl.Series) -> bool:
    """Whether a column can be one of names: text or whole numbers."""
    return column.dtype == pl.String or column.dtype.is_integer()


def _stems(files: pl.Series) -> pl.Series:
    text = files.cast(pl.String).to_list()
    return pl.Series([None if file is None else stem(file) for file in text], dtype=pl.String)
