"""Two columns of a table that a person brings, row by row, without the rest of it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from morphoscope.acquire.listing import as_text, stem
from morphoscope.catalog import ASTROPY_FORMATS, TABLE_SUFFIXES
from morphoscope.errors import CatalogueError, SourceError
from morphoscope.images import array_row, tar_member
from morphoscope.streaming.source import Row

__all__ = [
    "FILE_NAMES",
    "ID_NAMES",
    "is_table",
    "named",
    "parquet_files",
    "parquet_rows",
    "read_range",
    "table_rows",
]

BLOCK_ROWS = 16_384
BLOCK_BYTES = 1 << 20
ID_NAMES = ("id_str", "objid", "id", "galaxyid", "object_id", "objectid", "source_id", "name")
FILE_NAMES = ("file_loc", "file", "path", "filename", "file_name", "image", "image_path")
Columns = dict[str, list[Any]]


def is_table(path: Path) -> bool:
    """Whether a file is a table; a FITS file may be one or an image."""
    suffix = path.suffix.lower()
    if ASTROPY_FORMATS.get(suffix) == "fits":
        return _fits_table(path) is not None
    return suffix in TABLE_SUFFIXES


def named(file: str) -> Row:
    """Name and file of an image, in UTF-8 whatever the disk holds.

    Examples
    --------
    >>> named("/d/12.fits.gz"), named("/d/G.h5::images[1]")
    (('12', '/d/12.fits.gz'), ('G::images[1]', '/d/G.h5::images[1]'))
    """
    file = as_text(file)
    row, member = array_row(file), tar_member(file)
    if row:
        name = f"{Path(row.file).stem}::{row.array}[{row.row}]"
    else:
        name = stem(member[1] if member else file)
    return name or None, file


def table_rows(
    path: Path, id_column: str, file_column: str, *, root: Path | None = None
) -> Iterator[Row]:
    """Name and file of every row; relative files start where the table lies, or at ``root``.

    Raises
    ------
    CatalogueError
        A column is absent, or the table is damaged.
    """
    try:
        for block in _blocks(path, id_column, file_column):
            files = [_text(value) for value in block["file"]]
            names = [_text(value) for value in block.get("id", [None] * len(files))]
            for name, file in zip(names, files, strict=True):
                own, found = _located(root or path.parent, file)
                yield name or own, found
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return None if value is None else str(value).strip() or None


def _located(folder: Path, file: str | None) -> Row:
    if file is None:
        return None, None
    # Tables written on Windows part folders by backslashes.
    return named(os.path.normpath(folder / file.replace("\\", "/")))


def _blocks(path: Path, id_column: str, file_column: str) -> Iterator[Columns]:
    wanted = (id_column, file_column)
    suffix = path.suffix.lower()
    if path.is_dir():
        for file in parquet_files(path):
            yield from _parquet_blocks(file, wanted)
    elif suffix == ".parquet":
        yield from _parquet_blocks(path, wanted)
    elif suffix == ".csv":
        yield from _csv_blocks(path, wanted)
    elif ASTROPY_FORMATS[suffix] == "fits":
        yield from _fits_blocks(path, wanted)
    else:
        yield from _astropy_blocks(path, wanted)


def parquet_files(folder: Path) -> list[Path]:
    """Parquet files below a folder, in the order of their names; hidden ones are left out."""
    # Also what lies in hidden folders: others write their half-done parts there.
    found = (path for path in folder.rglob("*.parquet") if path.is_file())
    return sorted(p for p in found if not _set_aside(p.relative_to(folder)))


def _set_aside(path: Path) -> bool:
    return any(part[0] in "._" for part in path.parts)


def read_range(path: Path, start: int, stop: int, columns: list[str] | None = None) -> pa.Table:
    """Rows ``start`` … ``stop`` of a Parquet file, without the other row groups."""
    with pq.ParquetFile(path) as file:
        groups: list[int] = []
        first = before = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if before < stop and before + rows > start:
                first = first if groups else before
                groups.append(group)
            before += rows
        kept = []
        for batch in file.iter_batches(BLOCK_ROWS, row_groups=groups, columns=columns):
            low, high = max(start - first, 0), min(stop - first, len(batch))
            if high > low:
                kept.append(batch.slice(low, high - low))
            first += len(batch)
            if first >= stop:
                break
        schema = file.schema_arrow
        names = schema.names if columns is None else columns
        return pa.Table.from_batches(kept, pa.schema([schema.field(name) for name in names]))


def parquet_rows(
    path: Path,
    root: Path,
    wanted: tuple[str, str],
    *,
    start: int,
    stop: int,
    carried: Sequence[str] = (),
) -> pa.Table:
    """Name and file of rows of one Parquet file, and the columns that are passed on as they are.

    Raises
    ------
    CatalogueError
        A column is absent, or the file is damaged.
    """
    try:
        names = pq.read_schema(path).names
        chosen = _choose(names, wanted, path)
        passed = [name for name in carried if name in names]
        table = read_range(path, start, stop, list(dict.fromkeys([*chosen.values(), *passed])))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    files = [_located(root, _text(value)) for value in table[chosen["file"]].to_pylist()]
    stated = table[chosen["id"]].to_pylist() if "id" in chosen else [None] * len(files)
    ids = [_text(name) or file[0] for name, file in zip(stated, files, strict=True)]
    columns = {name: table[name] for name in passed}
    columns |= {"id_str": pa.array(ids, pa.string())}
    columns |= {"file_loc": pa.array([file for _, file in files], pa.string())}
    return pa.table(columns)


def _unreadable(path: Path, error: Exception) -> CatalogueError | SourceError:
    if isinstance(error, CatalogueError | SourceError):
        return error
    return CatalogueError(
        f"{path} cannot be read as a table ({error})", do="check it, or save it anew"
    )


def _parquet_blocks(path: Path, wanted: tuple[str, str]) -> Iterator[Columns]:
    with pq.ParquetFile(path) as file:
        chosen = _choose(file.schema_arrow.names, wanted, path)
        for batch in file.iter_batches(BLOCK_ROWS, columns=list(chosen.values())):
            yield {role: batch.column(name).to_pylist() for role, name in chosen.items()}


def _csv_blocks(path: Path, wanted: tuple[str, str]) -> Iterator[Columns]:
    # A first reader for the header alone; every value stays text, so that no id is rounded.
    read = pa.csv.ReadOptions(block_size=BLOCK_BYTES)
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    with pa.csv.open_csv(path, read_options=read, parse_options=parse) as reader:
        names = reader.schema.names
    chosen = _choose(names, wanted, path)
    convert = pa.csv.ConvertOptions(
        include_columns=list(chosen.values()),
        column_types=dict.fromkeys(chosen.values(), pa.string()),
        check_utf8=False,
    )
    with pa.csv.open_csv(
        path, read_options=read, parse_options=parse, convert_options=convert
    ) as reader:
        for batch in reader:
            yield {
                role: batch.column(name).cast(pa.binary()).to_pylist()
                for role, name in chosen.items()
            }


def _fits_table(path: Path) -> int | None:
    """Index of the first table of a FITS file that holds no image."""
    from astropy.io import fits

    found = None
    try:
        with fits.open(path) as hdus:
            for index, hdu in enumerate(hdus):
                if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2:
                    return None
                if found is None and isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                    found = index
    except (OSError, ValueError, TypeError):
        return None
    return found


def _fits_blocks(path: Path, wanted: tuple[str, str]) -> Iterator[Columns]:
    from astropy.io import fits

    with fits.open(path, memmap=True) as hdus:
        data = hdus[_fits_table(path)].data
        chosen = _choose(data.names, wanted, path)
        for start in range(0, len(data), BLOCK_ROWS):
            rows = data[start : start + BLOCK_ROWS]
            yield {role: rows[name].tolist() for role, name in chosen.items()}


def _astropy_blocks(path: Path, wanted: tuple[str, str]) -> Iterator[Columns]:
    """VOTable and ECSV are text and read whole; only two columns are kept."""
    from astropy.table import Table

    format_name = ASTROPY_FORMATS[path.suffix.lower()]
    # A VOTable's ids are its names with all but letters replaced.
    names = {"use_names_over_ids": True} if format_name == "votable" else {}
    table = Table.read(path, format=format_name, **names)
    chosen = _choose(table.colnames, wanted, path)
    yield {role: table[name].tolist() for role, name in chosen.items()}


def _choose(names: Sequence[str], wanted: tuple[str, str], path: Path) -> dict[str, str]:
    """Names of the columns for the roles ``id`` (may be absent) and ``file``."""
    clean = {name: name.strip().lstrip("\ufeff").strip() for name in names}
    chosen = {}
    for role, name, usual in zip(("id", "file"), wanted, (ID_NAMES, FILE_NAMES), strict=True):
        found = _exact(clean, name) if name else _usual(clean, usual)
        if found is not None:
            chosen[role] = found
        elif name or role == "file":
            raise _no_column(path, list(clean.values()), role, name)
    return chosen


def _exact(clean: dict[str, str], name: str) -> str | None:
    return next((raw for raw, text in clean.items() if text == name), None)


def _usual(clean: dict[str, str], usual: Iterable[str]) -> str | None:
    by_lower = {text.lower(): raw for raw, text in reversed(clean.items())}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def _no_column(path: Path, names: list[str], role: str, name: str) -> CatalogueError:
    near = difflib.get_close_matches(name, names, n=1)
    return CatalogueError(
        f"{path.name} has no column {name!r}" if name else f"{path.name} names no image files",
        expected=f"a column among {', '.join(names[:20])}"
        + (f", perhaps '{near[0]}'" if near else "")
        + ("" if name else f"; usual names are {', '.join(FILE_NAMES)}"),
        do=f"name it with --{role}-column",
        columns=names,
    )
