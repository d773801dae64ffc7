"""One partition of the input: a file or store that is planned, read and resumed by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from morphoscope.errors import SourceError

__all__ = [
    "SCHEMA",
    "Row",
    "Source",
    "Stamp",
    "Surveyed",
    "digest_of",
    "stamp_of",
    "table_of",
]

SCHEMA = pa.schema([("id_str", pa.string()), ("file_loc", pa.string())])
Row = tuple[str | None, str | None]
Stamp = tuple[int, int]


@dataclass(frozen=True)
class Surveyed:
    """What a plan knows of a partition.

    Attributes
    ----------
    rows
        How many it has.
    digest
        SHA-256 of what decides them.
    stamp
        Size and time of change of its file: rows are of one state of it.
    grain
        Rows that are stored together: a part of fewer would unpack the others in vain. 0: a part
        is the whole partition, which can only be read from its beginning.
    note
        What a person should know, a sentence; else empty.
    """

    rows: int
    digest: str
    stamp: Stamp
    grain: int = 1
    note: str = ""


class Source(Protocol):
    """One partition; small, for it goes to other processes."""

    @property
    def path(self) -> str:
        """File or folder that is read."""

    @property
    def name(self) -> str:
        """Where its result lies in the folder of the parts, without suffix; empty: at its top."""

    def survey(self, index: Path) -> Surveyed:
        """Count the rows, without their images; ``index`` may be written for `table` to use."""

    def state(self) -> Stamp:
        """Size and time of change of its file, as they are now."""

    def table(self, start: int, stop: int, index: Path) -> pa.Table:
        """Columns ``id_str`` and ``file_loc`` of rows, and those to be passed on."""

    def rows(self) -> Iterator[Row]:
        """Name and file of every row, in order."""


def stamp_of(path: str | Path) -> Stamp:
    """Size and time of change of a file.

    Raises
    ------
    SourceError
        It is not there.
    """
    try:
        found = Path(path).stat()
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror})",
            do="bring it back and run again; what is done is kept",
            path=str(path),
        ) from error
    return found.st_size, found.st_mtime_ns


def digest_of(*values: object) -> str:
    """SHA-256 of values that have a plain text."""
    return hashlib.sha256(repr(values).encode()).hexdigest()


def table_of(rows: Iterable[Row]) -> pa.Table:
    """Rows as a table."""
    pairs = list(rows)
    columns = [pa.array([pair[place] for pair in pairs], pa.string()) for place in (0, 1)]
    return pa.table(columns, schema=SCHEMA)
