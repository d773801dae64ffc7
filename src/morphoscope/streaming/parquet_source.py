"""Parquet files as partitions: of a folder, named as Hive does or not, or of a catalogue."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from morphoscope.errors import CatalogueError
from morphoscope.streaming.source import Row, Stamp, Surveyed, digest_of, stamp_of
from morphoscope.streaming.tables import parquet_files, parquet_rows, table_rows

__all__ = ["ParquetSource", "folder_sources"]


@dataclass(frozen=True)
class ParquetSource:
    """One file of a table; no row of it is copied for the plan.

    Attributes
    ----------
    path, name
        As for `Source`.
    root
        Folder that relative files start at.
    columns
        Names of the columns of ids and files; empty: the usual ones.
    carried
        Columns that the result has as well, where the file has them.
    """

    path: str
    name: str
    root: str
    columns: tuple[str, str] = ("", "")
    carried: tuple[str, ...] = ()

    def survey(self, index: Path) -> Surveyed:
        stamp = self.state()
        try:
            footer = _footer(self.path)
            rows = pq.read_metadata(self.path).num_rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CatalogueError(
                f"{self.path} cannot be read as a table ({error})", do="check it, or save it anew"
            ) from error
        return Surveyed(rows, digest_of(self.name, self.columns, stamp, footer), stamp)

    def state(self) -> Stamp:
        return stamp_of(self.path)

    def table(self, start: int, stop: int, index: Path) -> pa.Table:
        return parquet_rows(
            Path(self.path),
            Path(self.root),
            self.columns,
            start=start,
            stop=stop,
            carried=self.carried,
        )

    def rows(self) -> Iterator[Row]:
        return table_rows(Path(self.path), *self.columns, root=Path(self.root))


def _footer(path: str) -> str:
    """Digest of the end of a Parquet file, which describes all that stands before it."""
    with Path(path).open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, size - 8))
        length = int.from_bytes(handle.read(4), "little")
        handle.seek(max(0, size - 8 - length))
        return hashlib.sha256(handle.read()).hexdigest()


def folder_sources(folder: Path, columns: tuple[str, str]) -> list[ParquetSource]:
    """Files of a folder, each the partition of its path in it."""
    return [
        ParquetSource(str(path), _stem(path.relative_to(folder)), str(folder.parent), columns)
        for path in parquet_files(folder)
    ]


def _stem(path: Path) -> str:
    return str(path.with_suffix(""))
