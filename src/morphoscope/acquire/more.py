"""Labelled images from further folders, added to the catalogue of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.acquire.sources import acquire, inputs
from morphoscope.catalog import read_catalogue, write_catalogue
from morphoscope.engine import Engine
from morphoscope.errors import CatalogueError, LabelError, SourceError
from morphoscope.recipe import AcquireSettings, MoreImages

__all__ = ["add_more", "inputs_of_more"]

OWN = "source"


def add_more(
    settings: AcquireSettings,
    summary: dict[str, Any],
    *,
    data: Path | None,
    out: Path,
    engine: Engine,
) -> dict[str, Any]:
    """Add the images that ``acquire.more`` names to the catalogue in `out`.

    Each is acquired into ``out/more/<name>``; the column ``origin`` says where a row is from, and
    is ``source`` for those that were there.

    Parameters
    ----------
    settings
        The section ``acquire``.
    summary
        What acquiring the source itself gave.
    data
        Folder that those of the further images lie in.
    out
        Folder with ``catalogue.parquet`` and ``rejects.parquet``, which are written anew.
    engine
        Where to work.

    Returns
    -------
    dict
        The summary with ``n``, ``rejects`` and ``columns`` of all, ``more`` (name → n), and a
        warning for each that is absent. Licence and citation of the settings are those of all.

    Raises
    ------
    SourceError, CatalogueError
        A folder is there and cannot be used, or an id occurs in two of them.
    LabelError
        A condition cannot be applied.
    """
    if not settings.more:
        return summary
    frames = [_of_origin(read_catalogue(out / "catalogue.parquet").frame, OWN)]
    rejects = [read_catalogue(out / "rejects.parquet").frame]
    counts, warnings = {}, list(summary.get("warnings", []))
    own = {"licence": settings.licence, "citation": settings.citation}
    metadata = read_catalogue(out / "catalogue.parquet").metadata
    metadata |= {key: text for key, text in own.items() if text}
    for one in settings.more:
        folder = _folder(one, data)
        if folder is None:
            warnings.append(f"without {one.name}: {_absent(one, data)}")
            continue
        place = out / "more" / one.name
        acquire(_as_source(one), data=folder, out=place, engine=engine)
        frame = _chosen(one, read_catalogue(place / "catalogue.parquet").frame)
        frames.append(_of_origin(frame, one.name))
        rejects.append(read_catalogue(place / "rejects.parquet").frame)
        counts[one.name] = frame.height
    frame = pl.concat(frames, how="diagonal_relaxed")
    _require_unique(frame)
    whole = pl.concat(rejects, how="diagonal_relaxed")
    write_catalogue(out / "catalogue.parquet", frame, metadata)
    write_catalogue(out / "rejects.parquet", whole, metadata)
    reasons = dict(whole["reason"].value_counts(sort=True).iter_rows())
    return {
        **summary,
        "n": frame.height,
        "rejects": reasons,
        "columns": frame.columns,
        "more": counts,
        "warnings": warnings,
    }


def inputs_of_more(settings: AcquireSettings, data: Path | None) -> list[Path]:
    """List the files and folders of the further images that are there."""
    found = []
    for one in settings.more:
        folder = _folder(one, data)
        found += inputs(_as_source(one), folder) if folder else []
    return found


def _folder(one: MoreImages, data: Path | None) -> Path | None:
    if data is None:
        return None
    folder = data / (one.folder or one.name)
    return folder if folder.is_dir() else None


def _absent(one: MoreImages, data: Path | None) -> str:
    if data is None:
        return "no --data names the folder that it lies in"
    return f"there is no folder {data / (one.folder or one.name)}"


def _as_source(one: MoreImages) -> AcquireSettings:
    return AcquireSettings(
        source=one.source, table=one.table, id_column=one.id_column, file_column=one.file_column
    )


def _chosen(one: MoreImages, frame: pl.DataFrame) -> pl.DataFrame:
    if not one.where:
        return frame
    try:
        chosen = frame.filter(pl.sql_expr(one.where))
    except pl.exceptions.PolarsError as error:
        raise LabelError(
            f"the condition of acquire.more {one.name!r} cannot be applied: {error}",
            expected=f"SQL over the columns {', '.join(frame.columns)}",
            do="mend acquire.more.where",
        ) from error
    if not chosen.height:
        raise SourceError(
            f"no row of {one.name} meets its condition {one.where}", do="mend acquire.more.where"
        )
    return chosen


def _of_origin(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.with_columns(pl.lit(name).alias("origin"))


def _require_unique(frame: pl.DataFrame) -> None:
    twice = frame.filter(pl.col("id_str").is_duplicated())
    if twice.height:
        places = twice.filter(pl.col("id_str") == twice["id_str"][0])["origin"].to_list()
        raise CatalogueError(
            f"the id {twice['id_str'][0]!r} occurs in {' and in '.join(places)}",
            expected="ids of their own, or one of the folders only",
            do="leave galaxies that occur twice out with acquire.more.where",
        )
