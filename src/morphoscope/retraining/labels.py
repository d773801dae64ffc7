"""A table of new labels, brought to classes of the model and the files of its galaxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from morphoscope.acquire.table import read_beside_table, read_labels
from morphoscope.catalog import require_columns
from morphoscope.errors import LabelError, SourceError
from morphoscope.provenance import file_digest
from morphoscope.recipe import AcquireSettings
from morphoscope.streaming.tables import FILE_NAMES, ID_NAMES

__all__ = ["NewLabels", "Source", "read_new_labels"]

EDGE_ON_DEG = 90.0


@dataclass(frozen=True)
class Source:
    """Where new labels stand.

    Attributes
    ----------
    table
        CSV, Parquet, FITS, VOTable or ECSV.
    column
        Column of classes; of inclinations (deg) for a model of these.
    reject
        Column of classes beside inclinations, for galaxies that have none; empty: there is none.
    id_column, file_column
        Columns of names and of files (relative to the table); empty: found by their usual names.
    images
        Folder of images that bear the names, where the table has no column of files.
    means
        Class of the model by a label that has another word for it.
    """

    table: Path
    column: str
    reject: str = ""
    id_column: str = ""
    file_column: str = ""
    images: Path | None = None
    means: Mapping[str, str] | None = None


@dataclass(frozen=True)
class NewLabels:
    """New labels that can be learnt from.

    Attributes
    ----------
    frame
        ``id_str``, ``file_loc``, ``ra``, ``dec``, ``label`` (class) and ``inclination`` (deg).
    digest
        SHA-256 of the table.
    left_out
        Why rows of the table are not in it, with counts.
    """

    frame: pl.DataFrame
    digest: str
    left_out: dict[str, int]


def read_new_labels(source: Source, classes: Sequence[str], task: str) -> NewLabels:
    """Read new labels.

    Parameters
    ----------
    source
        Where they stand.
    classes
        Of the model; of one of inclinations the first is that of the discs.
    task
        ``classes`` or ``inclination``.

    Raises
    ------
    SourceError
        There is no table, or no image of a labelled galaxy.
    CatalogueError
        It lacks a column or is damaged.
    LabelError
        No label is a class of the model, or an inclination is no angle from 0 to 90°.
    """
    settings = _settings(source)
    acquired = read_beside_table(settings, source.table.expanduser().absolute())
    wanted = (source.column, *([source.reject] if source.reject else []))
    frame = _under_own_names(acquired.frame, wanted)
    require_columns(frame, wanted, where=source.table.name)
    labels = _inclined(frame, source, classes) if task == "inclination" else _named(frame, source)
    frame = frame.select("id_str", "file_loc", "ra", "dec").hstack(labels)
    known = frame["label"].is_in(list(classes)).fill_null(False)
    _require_any(frame, known, source, classes, len(acquired.rejects))
    counts = _counts(acquired.rejects) | _no_class(frame.filter(~known)["label"])
    return NewLabels(frame.filter(known), file_digest(source.table.expanduser()), counts)


def _under_own_names(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Undo the renaming of columns whose names reading a source needs for itself."""
    taken = {
        f"{name}_source": name
        for name in names
        if name not in frame.columns and f"{name}_source" in frame.columns
    }
    return frame.rename(taken)


def _settings(source: Source) -> AcquireSettings:
    table = source.table.expanduser()
    frame = read_labels(table, source.id_column)
    names = {name.casefold(): name for name in reversed(frame.columns)}
    taken = {source.column, source.reject}

    def usual(asked: str, known: Sequence[str]) -> str:
        found = (names[one] for one in known if one in names and names[one] not in taken)
        return asked or next(found, "")

    file_column = usual(source.file_column, FILE_NAMES)
    by_name = source.images is not None and not source.file_column
    return AcquireSettings(
        source="table",
        id_column=usual(source.id_column, ID_NAMES),
        file_column="" if by_name else file_column,
        images=str(source.images.expanduser().absolute()) if source.images else "",
    )


def _named(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    label = pl.col(source.column).cast(pl.String).str.strip_chars()
    return frame.select(
        label.replace(dict(source.means or {})).alias("label"),
        pl.lit(None, pl.Float64).alias("inclination"),
    )


def _inclined(frame: pl.DataFrame, source: Source, classes: Sequence[str]) -> pl.DataFrame:
    """A galaxy with an inclination is a disc; others have the class of their reason."""
    try:
        angle = frame.select(pl.col(source.column).cast(pl.Float64).fill_nan(None)).to_series()
    except pl.exceptions.InvalidOperationError as error:
        raise LabelError(
            f"{source.column!r} of {source.table} holds no numbers ({error})".partition("\n")[0],
            expected="inclinations in degrees, or nothing",
        ) from error
    wrong = angle.filter(~angle.is_between(0, EDGE_ON_DEG).fill_null(True))
    if len(wrong):
        raise LabelError(
            f"{source.table} has the inclination {wrong[0]:g}",
            expected="degrees from 0, face-on, to 90, edge-on",
            do=f"mend the column {source.column!r}",
        )
    other = pl.lit(None, pl.String)
    if source.reject:
        other = pl.col(source.reject).cast(pl.String).replace(dict(source.means or {}))
    known = pl.lit(angle).is_not_null()
    label = pl.when(known).then(pl.lit(classes[0])).otherwise(other).alias("label")
    return frame.select(label).with_columns(angle.alias("inclination"))


def _require_any(
    frame: pl.DataFrame,
    known: pl.Series,
    source: Source,
    classes: Sequence[str],
    rejected: int,
) -> None:
    if not frame.height:
        raise SourceError(
            f"none of {rejected:,} labelled galaxies of {source.table} has an image",
            do="name the folder of images with --images, or the column of files",
        )
    if not known.any():
        raise LabelError(
            f"none of {frame.height:,} labels of {source.table} is a class of the model",
            expected=", ".join(classes),
            do="say which label means which class: --as LABEL=CLASS",
        )


def _counts(rejects: pl.DataFrame) -> dict[str, int]:
    own = rejects.filter(pl.col("reason") != "image_without_label")
    return dict(own["reason"].value_counts(sort=True).iter_rows())


def _no_class(labels: pl.Series) -> dict[str, int]:
    named = labels.fill_null("nothing").value_counts(sort=True).iter_rows()
    return {f"{name}, which is no class of the model": n for name, n in named}
