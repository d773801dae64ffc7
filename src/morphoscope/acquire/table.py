"""Images beside a table of labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from morphoscope.acquire.listing import absolute, as_text, images_in, images_within, stem
from morphoscope.acquire.rows import (
    Acquired,
    as_ids,
    images_without_label,
    names_of,
    sort_out,
    with_positions,
)
from morphoscope.catalog import TABLE_SUFFIXES, free_names, nearest, read_table
from morphoscope.errors import CatalogueError, SourceError
from morphoscope.images import files_of
from morphoscope.provenance import file_digest
from morphoscope.recipe import AcquireSettings

__all__ = ["is_table", "pair_by_id", "read_beside_table", "read_labels"]


def is_table(path: Path) -> bool:
    """Whether a path is a table file by its name."""
    return path.suffix.lower() in TABLE_SUFFIXES and path.is_file()


def read_beside_table(settings: AcquireSettings, root: Path) -> Acquired:
    """Read a table of labels and pair its rows with images.

    Parameters
    ----------
    settings
        Names of the table, of its columns and of the folder of images.
    root
        Folder that these stand in, or the table itself.

    Raises
    ------
    SourceError
        The table, or the folder of images, is absent.
    CatalogueError
        The table is empty or damaged, or lacks a column.
    """
    path, root = (root, root.parent) if is_table(root) else (root / settings.table, root)
    frame = read_labels(path, settings.id_column)
    for setting in ("id_column", "file_column"):
        _require_named(frame, setting, getattr(settings, setting), path)
    ids = as_ids(frame[settings.id_column], path.name) if settings.id_column else None
    names = frame[settings.file_column] if settings.file_column else None
    frame, warnings = with_positions(frame, settings.ra_column, settings.dec_column, path.name)
    frame = _without_first_columns(frame, settings)
    folder = root / settings.images
    if names is not None:
        usable, rejects = _pair_by_file(frame, ids, names, folder, everywhere=bool(settings.images))
    elif ids is not None:
        images = [file for file in images_within(folder) if file != as_text(str(absolute(path)))]
        usable, rejects = pair_by_id(frame, ids, images)
    else:
        raise CatalogueError(
            f"nothing says which image a row of {path.name} belongs to",
            do="set acquire.file_column or acquire.id_column",
        )
    metadata = {"table": path.name, "table_sha256": file_digest(path) if path.is_file() else ""}
    return Acquired(usable, rejects, metadata, warnings)


def read_labels(path: Path, id_column: str) -> pl.DataFrame:
    """Read a table whose ids stay exact, leading zeros and all.

    Raises
    ------
    SourceError
        There is no such table; those beside it are named.
    CatalogueError
        It has no rows or is damaged.
    """
    if not path.exists():
        beside = sorted(p.name for p in path.parent.glob("*") if is_table(p))
        raise SourceError(
            f"there is no table {path}",
            expected=f"acquire.table to be one of {', '.join(beside)}" if beside else "",
            do="check the path",
            path=str(path),
        )
    frame = read_table(path, text=(id_column,) if id_column else ())
    if not frame.height:
        raise CatalogueError(f"{path} has a header and no rows", do="check how it was written")
    if id_column in frame.columns and frame[id_column].dtype == pl.String:
        numbers = frame[id_column].cast(pl.Int64, strict=False)
        if numbers.cast(pl.String).equals(frame[id_column]):
            frame = frame.with_columns(numbers)
    return frame


def _require_named(frame: pl.DataFrame, setting: str, name: str, path: Path) -> None:
    if not name or name in frame.columns:
        return
    raise CatalogueError(
        f"{path.name} has no column {name!r}",
        expected=f"it among {nearest(name, frame)}",
        do=f"set acquire.{setting} to the right one",
        missing=[name],
    )


def _without_first_columns(frame: pl.DataFrame, settings: AcquireSettings) -> pl.DataFrame:
    used = {"id_str": settings.id_column, "file_loc": settings.file_column}
    same = [name for name, column in used.items() if name == column]
    return free_names(frame.drop(same), (*used, "reason"))


def _pair_by_file(
    frame: pl.DataFrame,
    ids: pl.Series | None,
    names: pl.Series,
    folder: Path,
    *,
    everywhere: bool,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pair rows with the images they name.

    Images that no row names are looked for ``everywhere`` in ``folder``, or only beside the named.
    """
    base = as_text(str(absolute(folder)))
    files = [_absolute(base, name) for name in names.cast(pl.String)]
    named = {file for file in files if file is not None}
    if everywhere:
        listed = set(images_within(folder))
    else:
        places = {Path(file.rpartition("/")[0]) for file in named}
        listed = {image for place in places if place.is_dir() for image in images_in(place)}
    if ids is None:
        short = names_of(sorted(named), base)
        ids = pl.Series([short[file] if file else None for file in files], dtype=pl.String)
    there = {file: [file] if file in listed else files_of(file) for file in named}
    frame = frame.with_columns(ids.alias("id_str"), pl.Series("file_loc", files, dtype=pl.String))
    usable, rejects = sort_out(frame, pl.Series([bool(file and there[file]) for file in files]))
    known = {path for paths in there.values() for path in paths}
    return usable, images_without_label(rejects, sorted(listed - known))


def _absolute(base: str, name: str | None) -> str | None:
    if name is None or not name.strip():
        return None
    # Tables written on Windows part folders by backslashes.
    return os.path.normpath(Path(base, name.strip().replace("\\", "/")))


def pair_by_id(
    frame: pl.DataFrame, ids: pl.Series, images: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pair rows with the images that bear their id as name."""
    by_id: dict[str, str] = {}
    again = []
    for image in images:
        if by_id.setdefault(stem(image), image) != image:
            again.append(image)
    files = [by_id.get(name) if name else None for name in ids]
    frame = frame.with_columns(ids.alias("id_str"), pl.Series("file_loc", files, dtype=pl.String))
    usable, rejects = sort_out(frame, pl.Series([file is not None for file in files]))
    known = set(ids)
    loose = [image for name, image in by_id.items() if name not in known]
    rejects = images_without_label(rejects, loose)
    return usable, images_without_label(rejects, again, "duplicate_id")
