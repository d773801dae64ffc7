"""Rows on disk: one Parquet part a shard, whole or absent, and their joining at the end."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from morphoscope import __version__
from morphoscope.catalog import METADATA_KEY, atomic_path, write_table
from morphoscope.errors import StageError
from morphoscope.streaming.inputs import Listing
from morphoscope.streaming.task import Rows, Task

__all__ = ["Shards", "clear", "read_metadata", "require_own", "tally"]

PARTS = "part-*.parquet"
SUMMARY = "_metadata.json"
GROUP_ROWS = 131_072
# In words, what differs where parts are of another work; else "another" and its name.
OTHER = {"listing": "other images", "morphoscope": "another version"}


@dataclass(frozen=True)
class Shards:
    """The parts of one work in their folder.

    Attributes
    ----------
    folder
        Where the parts lie.
    task, listing
        What is done, and with which rows.
    """

    folder: Path
    task: Task
    listing: Listing

    @property
    def work(self) -> dict[str, str]:
        """What decides the rows: parts of one work belong together."""
        return {
            **self.task.decided_by,
            "listing": self.listing.digest,
            "morphoscope": __version__,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """Describe the work and the time, for the result's metadata."""
        return {
            **self.task.metadata,
            "morphoscope": __version__,
            "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "work": self.work,
        }

    def path(self, shard: int) -> Path:
        """File of a part."""
        width = max(5, len(str(self.listing.shards - 1)))
        return self.folder / f"part-{shard:0{width}d}.parquet"

    def paths(self) -> list[Path]:
        """Files of all parts, in the order of the rows."""
        return [self.path(shard) for shard in range(self.listing.shards)]

    def missing(self) -> list[int]:
        """Shards that have no part yet.

        Raises
        ------
        StageError
            There are parts of another work.
        """
        expected = set(self.paths())
        for path in self.folder.glob(PARTS):
            work = read_metadata(path).get("work")
            if path not in expected or work != self.work:
                raise self._other(work or {})
        return [shard for shard, path in enumerate(self.paths()) if not path.exists()]

    def _other(self, work: dict[str, str]) -> StageError:
        ours = self.work
        names = [name for name in ours | work if ours.get(name) != work.get(name)]
        differ = [OTHER.get(name, f"another {name}") for name in names]
        return StageError(
            f"{self.folder} holds parts of another run ({', '.join(differ)})",
            do="start anew with --force, or name another --out",
        )

    def write(self, shard: int, parts: list[Rows]) -> None:
        """Write a part, whole or not at all."""
        listed = self.listing.shard(shard)
        columns: dict[str, Any] = {name: listed[name] for name in ("id_str", "file_loc")}
        for name in parts[0].columns:
            columns[name] = pa.chunked_array([part.columns[name] for part in parts])
        flags = [flag for part in parts for flag in part.flags]
        columns["flag"] = pa.array(flags, pa.string())
        with atomic_path(self.path(shard)) as temporary:
            pq.write_table(_described(pa.table(columns), self.metadata), temporary)

    def join(self, out: Path) -> None:
        """Bring the parts into one file; Parquet part by part, other formats whole."""
        if out.suffix.lower() != ".parquet":
            write_table(out, pl.read_parquet(self.paths()), self.metadata)
            return
        schema = _described(pq.read_schema(self.path(0)).empty_table(), self.metadata).schema
        with atomic_path(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for table in self._groups():
                writer.write_table(table.replace_schema_metadata(schema.metadata))

    def _groups(self) -> Iterator[pa.Table]:
        """Neighbouring parts together: many small row groups make a file slow to open."""
        pending: list[pa.Table] = []
        for path in self.paths():
            with pq.ParquetFile(path) as file:
                pending.append(file.read())
            if sum(len(table) for table in pending) >= GROUP_ROWS:
                yield pa.concat_tables(pending)
                pending = []
        if pending:
            yield pa.concat_tables(pending)

    def describe(self) -> None:
        """Write the metadata beside parts that stay."""
        with atomic_path(self.folder / SUMMARY) as temporary:
            values = {**self.metadata, "rows": self.listing.rows, "parts": self.listing.shards}
            temporary.write_text(json.dumps(values, indent=1))


def _described(table: pa.Table, metadata: dict[str, Any]) -> pa.Table:
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata)})


def read_metadata(path: Path) -> dict[str, Any]:
    """Metadata of a Parquet file that this package wrote; empty for any other."""
    try:
        stored = pq.read_schema(path).metadata or {}
        return dict(json.loads(stored.get(METADATA_KEY.encode(), b"{}")))
    except (pa.ArrowException, OSError, ValueError):
        return {}


def require_own(folder: Path) -> None:
    """Raise unless this package wrote all parts that a folder holds: others call theirs so too.

    Raises
    ------
    StageError
        There is a file of someone else's.
    """
    for path in _results(folder):
        if not _is_own(path):
            raise StageError(
                f"{folder} holds {path.name}, which Morphoscope did not write",
                do="name another --out",
            )


def clear(folder: Path) -> None:
    """Remove the parts that this package wrote."""
    for path in filter(_is_own, _results(folder)):
        path.unlink()


def _results(folder: Path) -> list[Path]:
    return sorted([*folder.glob(PARTS), *folder.glob(SUMMARY)])


def _is_own(path: Path) -> bool:
    if path.name != SUMMARY:
        return bool(read_metadata(path).get("work"))
    try:
        return "work" in json.loads(path.read_text())
    except (OSError, ValueError, TypeError):
        return False


def tally(paths: list[Path], counted: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Count the rows by the values of columns; words for the columns to values to numbers."""
    found = {}
    for column, word in counted.items():
        frame = pl.scan_parquet(paths).group_by(column).len().drop_nulls().collect()
        found[word] = dict(sorted(frame.iter_rows()))
    return found
