"""The table that every stage passes on, and the formats at its edges.

Inside, a catalogue is Parquet with one row a galaxy: ``id_str``, ``file_loc``, ``ra``, ``dec``
(deg, ICRS, may be null), then the source's own columns, then what the stages add (``class``,
``split``, ``fold``). The Parquet schema metadata holds source, licence and checksums. People bring
and take CSV, Parquet, FITS, VOTable and ECSV.
"""

from __future__ import annotations

import csv
import difflib
import errno
import json
import os
import shutil
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.errors import CatalogueError, DiskSpaceError, MorphoscopeError

__all__ = [
    "TABLE_SUFFIXES",
    "Catalogue",
    "atomic_path",
    "discard",
    "is_half_written",
    "free_names",
    "nearest",
    "read_catalogue",
    "read_table",
    "require_columns",
    "write_catalogue",
    "write_table",
]

METADATA_KEY = "morphoscope"
ASTROPY_FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".ecsv": "ascii.ecsv",
}
FULL_DISK = ("no space left", "enough space on", "os error 28")
TABLE_SUFFIXES = frozenset({".csv", ".parquet", *ASTROPY_FORMATS})
# What the stages add; a person who looks for a column seldom means one of these.
ADDED = frozenset({"id_str", "file_loc", "ny", "nx", "pixel_sha256"})
# Bytes of a CSV that polars parses at a time. Left to itself it holds most of a file in memory: of
# 334 MB with 38 columns it took 385 MB at its peak to read 8 of them. Like this it takes 200 MB and
# no longer; with 1 MB it takes 165 MB and a quarter longer.
os.environ.setdefault("POLARS_CSV_CHUNK_SIZE", "4000000")


@dataclass(frozen=True)
class Catalogue:
    """A table of galaxies and what is known about it.

    Attributes
    ----------
    frame
        One row a galaxy, at least ``id_str`` and ``file_loc``.
    metadata
        JSON values: source, licence, citation, class names and the like.
    """

    frame: pl.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.frame.height


class atomic_path:  # noqa: N801 - reads as a function: `with atomic_path(target) as path`
    """Context: a temporary path beside ``target`` that takes its place only on success."""

    def __init__(self, target: Path) -> None:
        self.target = target
        # Two machines may have processes of one number, and one file system.
        own = f"{os.uname().nodename}-{os.getpid()}"
        self.temporary = target.with_name(f".{target.name}.{own}.partial")

    def __enter__(self) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is not None:
            discard(self.temporary)
            if isinstance(error, Exception) and _tells_full_disk(error):
                free = shutil.disk_usage(self.target.parent).free
                raise DiskSpaceError(
                    f"the disk is full while writing {self.target} ({free:,} bytes free)",
                    do="free some space and run again; nothing half-written was kept",
                ) from error
            return
        if self.temporary.is_file():
            with self.temporary.open("rb") as handle:
                os.fsync(handle.fileno())
        os.replace(self.temporary, self.target)


def _tells_full_disk(error: Exception) -> bool:
    """Whether a writer found no room; polars, astropy and safetensors say so in words."""
    if isinstance(error, MorphoscopeError):
        return False
    words = str(error).lower()
    full = getattr(error, "errno", None) == errno.ENOSPC
    return full or any(told in words for told in FULL_DISK)


def is_half_written(name: str) -> bool:
    """Whether `atomic_path` gave this name to what a process writes, or was killed as it wrote."""
    return name.startswith(".") and name.endswith(".partial")


def discard(path: Path) -> None:
    """Remove a file or a folder; nothing is wrong where it is not there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_catalogue(path: Path, frame: pl.DataFrame, metadata: Mapping[str, Any]) -> None:
    """Write a catalogue as Parquet, whole or not at all."""
    require_columns(frame, ("id_str", "file_loc"), where=path.name)
    with atomic_path(path) as temporary:
        frame.write_parquet(temporary, metadata={METADATA_KEY: json.dumps(dict(metadata))})


def read_catalogue(path: Path) -> Catalogue:
    """Read a catalogue that a stage wrote.

    Raises
    ------
    CatalogueError
        The file is absent, damaged, or not a catalogue.
    """
    try:
        stored = pl.read_parquet_metadata(path)
        frame = pl.read_parquet(path)
    except FileNotFoundError as error:
        raise CatalogueError(f"there is no catalogue {path}", do="run the stage before") from error
    except Exception as error:
        raise CatalogueError(f"{path} is not readable as Parquet ({error})") from error
    require_columns(frame, ("id_str", "file_loc"), where=path.name)
    return Catalogue(frame, json.loads(stored.get(METADATA_KEY, "{}")))


def require_columns(frame: pl.DataFrame, columns: tuple[str, ...], *, where: str) -> None:
    """Raise ``CatalogueError`` when a column is absent."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise CatalogueError(
            f"{where} has no column {', '.join(map(repr, missing))}",
            expected=f"it among {nearest(missing[0], frame)}",
            do="name the right column in the recipe or mend the table",
            missing=missing,
        )


def nearest(name: str, frame: pl.DataFrame) -> str:
    """Names of the columns most like ``name``, or the first of the source's own, as a clause."""
    by_case = {column.casefold(): column for column in frame.columns}
    near = difflib.get_close_matches(name.casefold(), list(by_case), n=3, cutoff=0.5)
    own = [column for column in frame.columns if column not in ADDED]
    return ", ".join([by_case[key] for key in near] or (own or frame.columns)[:12])


def free_names(frame: pl.DataFrame, taken: Iterable[str]) -> pl.DataFrame:
    """Rename the source's columns that bear a name which is needed: ``x`` becomes ``x_source``."""
    for name in sorted(set(taken) & set(frame.columns)):
        other = f"{name}_source"
        while other in frame.columns:
            other += "_source"
        frame = frame.rename({name: other})
    return frame


def read_table(path: Path, *, text: Collection[str] = ()) -> pl.DataFrame:
    """Read a table that a person brings, by its suffix.

    CSV may carry a byte-order mark and Windows line ends; integers beyond 2**63 stay exact as text.

    Parameters
    ----------
    path
        ``.csv``, ``.parquet`` (file or folder), ``.fits``, ``.vot``, ``.xml`` or ``.ecsv``.
    text
        Columns of a CSV that are read as text, so that leading zeros stay.

    Raises
    ------
    CatalogueError
        The suffix is unknown, or the file is absent, empty or damaged.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES and not path.is_dir():
        raise CatalogueError(
            f"{path} has the suffix {suffix!r}", expected=", ".join(sorted(TABLE_SUFFIXES))
        )
    try:
        if suffix == ".csv":
            return _read_csv(path, text)
        if suffix == ".parquet" or path.is_dir():
            return pl.read_parquet(path / "**/*.parquet" if path.is_dir() else path)
        return _read_astropy(path, ASTROPY_FORMATS[suffix])
    except FileNotFoundError as error:
        raise CatalogueError(f"there is no table {path}", do="check the path") from error
    except CatalogueError:
        raise
    except Exception as error:
        told = str(error).partition("\n")[0]
        raise CatalogueError(f"{path} cannot be read as a table ({told})") from error


def _read_csv(path: Path, text: Collection[str]) -> pl.DataFrame:
    _refuse_other_csv(path)
    kept = dict.fromkeys(text, pl.String)
    try:
        frame = pl.read_csv(path, infer_schema_length=10_000, schema_overrides=kept)
    except pl.exceptions.ComputeError:
        # A column whose first rows look like another type: all rows decide, at some cost.
        try:
            frame = pl.read_csv(path, infer_schema_length=None, schema_overrides=kept)
        except pl.exceptions.ComputeError as error:
            raise _not_csv(path, _told_of_rows(path) or str(error).partition("\n")[0]) from error
    frame = frame.cast({pl.Int128: pl.String})
    frame = frame.rename({name: name.strip().lstrip("\ufeff") for name in frame.columns})
    if frame.width and not frame.height:
        raise CatalogueError(f"{path} has a header and no rows")
    return frame


def _refuse_other_csv(path: Path) -> None:
    """Refuse what a spreadsheet writes where the decimal mark is a comma, or on Windows."""
    with path.open("rb") as handle:
        header = handle.readline(1 << 20)
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _not_csv(path, "its text is UTF-16")
    for mark in (b";", b"\t", b"|"):
        if mark in header and b"," not in header:
            name = "tabs" if mark == b"\t" else repr(mark.decode())
            raise _not_csv(path, f"its columns are parted by {name}")


def _told_of_rows(path: Path) -> str:
    """Say which row is too long, or that the text is not UTF-8; empty if neither."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = csv.reader(handle)
            width = len(next(rows, []))
            for row in rows:
                if len(row) > width:
                    return f"line {rows.line_num} has {len(row)} columns, the header {width}"
    except UnicodeDecodeError:
        return "its text is not UTF-8"
    except csv.Error:
        pass
    return ""


def _not_csv(path: Path, found: str) -> CatalogueError:
    return CatalogueError(
        f"{path} cannot be read as a table: {found}",
        expected="comma-separated UTF-8 with as many columns in each row as in the header",
        do="write it again so",
    )


def _read_astropy(path: Path, format_name: str) -> pl.DataFrame:
    from astropy.table import Table

    # A VOTable's ids cannot hold a space, its names can; astropy warns where it makes up an id.
    named = {"use_names_over_ids": True} if format_name == "votable" else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*W03")
        table = Table.read(path, format=format_name, **named)
    columns: dict[str, Any] = {}
    for name in table.colnames:
        column = table[name]
        if getattr(column, "ndim", 1) != 1:
            continue
        values = column.tolist()
        columns[name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return pl.DataFrame(columns)


def write_table(path: Path, frame: pl.DataFrame, metadata: Mapping[str, Any]) -> None:
    """Write a table for a person, by its suffix, whole or not at all.

    Metadata goes into the Parquet schema, the FITS header, or the VOTable and ECSV description.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise CatalogueError(
            f"{path} has the suffix {suffix!r}", expected=", ".join(sorted(TABLE_SUFFIXES))
        )
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            frame.write_parquet(temporary, metadata={METADATA_KEY: json.dumps(dict(metadata))})
        elif suffix == ".csv":
            frame.write_csv(temporary)
        else:
            _write_astropy(temporary, frame, metadata, ASTROPY_FORMATS[suffix])


def _write_astropy(
    path: Path, frame: pl.DataFrame, metadata: Mapping[str, Any], format_name: str
) -> None:
    import numpy as np
    from astropy.table import MaskedColumn, Table

    columns: dict[str, Any] = {}
    for name in frame.columns:
        series = frame[name]
        if series.dtype == pl.String:
            values = series.fill_null("").to_list()
            # FITS knows ASCII only; a path in another script is no reason to lose the table.
            if format_name == "fits":
                values = [_ascii(value) for value in values]
            columns[name] = np.asarray(values, dtype=str)
        elif series.dtype == pl.Boolean:
            truths = series.fill_null(False).to_numpy()
            # astropy (8.0) writes a masked truth value into FITS as true.
            masked = series.is_null().to_numpy() & (format_name != "fits")
            columns[name] = MaskedColumn(truths, mask=masked)
        else:
            columns[name] = series.to_numpy()
    table = Table(columns)
    how = {}
    text = {str(k): v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    if format_name == "fits":
        lines = [_ascii(f"{key}: {value}") for key, value in text.items()]
        table.meta["comments"] = [
            line[i : i + 70] for line in lines for i in range(0, len(line), 70)
        ]
    elif format_name == "votable":
        # The only part of ``meta`` that astropy writes into a VOTable.
        table.meta["description"] = "\n".join(f"{key}: {value}" for key, value in text.items())
        # As text, astropy (8.0, its issue 20419) now and then writes beyond its memory.
        how = {"tabledata_format": "binary2"}
    else:
        table.meta.update(text)
    with warnings.catch_warnings():
        # A VOTable's ids cannot hold a space, its names can: astropy tells of every one.
        warnings.simplefilter("ignore")
        table.write(path, format=format_name, overwrite=True, **how)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
