"""The parts on disk: which are there, whether they belong together, and their joining."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from morphoscope import __version__
from morphoscope.catalog import METADATA_KEY, atomic_path, write_table
from morphoscope.errors import StageError
from morphoscope.streaming.part import Counts, described
from morphoscope.streaming.plan import Plan
from morphoscope.streaming.tables import parquet_files
from morphoscope.streaming.task import Task

__all__ = ["Found", "Shards", "added", "clear", "read_metadata", "require_own"]

SUMMARY = "_metadata.json"
GROUP_ROWS = 131_072
# Footers are waited for more than they are worked on.
READERS = 8
# In words, what differs where parts are of another work; else "another" and its name.
OTHER = {"morphoscope": "another version"}
# Files of the parts that are there, and what their metadata say.
Found = dict[Path, dict[str, Any]]


@dataclass(frozen=True)
class Shards:
    """The parts of one work in their folder.

    Attributes
    ----------
    folder
        Where the parts lie.
    task, plan
        What is done, and with which rows.
    """

    folder: Path
    task: Task
    plan: Plan

    @property
    def work(self) -> dict[str, str]:
        """What decides the rows besides the images: parts of one work belong together."""
        return {**self.task.decided_by, "morphoscope": __version__}

    @property
    def result(self) -> dict[str, str]:
        """What decides all rows of the result."""
        return {**self.work, "listing": self.plan.digest}

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Describe the work and the time, for the result's metadata."""
        return {
            **self.task.metadata,
            "morphoscope": __version__,
            "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "work": self.work,
        }

    def paths(self) -> list[Path]:
        """Files of all parts, in the order of the rows."""
        return [self.folder / file for file in self.plan.files()]

    def missing(self, found: Found) -> list[int]:
        """Numbers of the parts that are not there yet.

        Raises
        ------
        StageError
            There are parts of another work.
        """
        numbers = {self.folder / file: i for i, file in enumerate(self.plan.files())}
        for path, metadata in found.items():
            if metadata["work"] != self.work or not self._is_of(metadata, numbers.get(path)):
                raise self._other(path, metadata)
        return [number for path, number in numbers.items() if path not in found]

    def _is_of(self, metadata: Mapping[str, Any], number: int | None) -> bool:
        """Whether a part is of the very rows that the plan has for it."""
        if number is None:
            return False
        piece, made_of = self.plan.piece(number), metadata.get("input", {})
        known = piece.planned.known.digest, [piece.start, piece.stop]
        return known == (made_of.get("digest"), made_of.get("rows"))

    def _other(self, path: Path, metadata: Mapping[str, Any]) -> StageError:
        ours, work = self.work, metadata["work"]
        names = [name for name in ours | work if ours.get(name) != work.get(name)]
        differ = [OTHER.get(name, f"another {name}") for name in names] or ["other images"]
        return StageError(
            f"{self.folder} holds parts of another run ({', '.join(differ)})"
            + ("" if names else self._changed(metadata.get("input", {}))),
            do="start anew with --force, or name another --out",
            path=str(path),
        )

    def _changed(self, made_of: Mapping[str, Any]) -> str:
        """What became of the partition that a part is of, where partitions have names."""
        known = {
            planned.label: planned.known.digest
            for planned in self.plan.partitions
            if planned.source.name
        }
        name = made_of.get("partition", "")
        if known and name not in known:
            return f": the partition {name} is not there any more"
        if known and known[name] != made_of.get("digest"):
            return f": the partition {name} has changed"
        return ""

    def join(self, out: Path, counts: Counts) -> None:
        """Bring the parts into one file; Parquet part by part, other formats whole."""
        if out.suffix.lower() != ".parquet":
            write_table(out, pl.read_parquet(self.paths()), self.metadata)
            return
        metadata = {**self.metadata, "work": self.result, "counts": counts}
        schema = described(pq.read_schema(self.paths()[0]).empty_table(), metadata).schema
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

    def describe(self, counts: Counts, beside: Sequence[str]) -> None:
        """Write the metadata beside parts that stay, and what else of ours lies there."""
        with atomic_path(self.folder / SUMMARY) as temporary:
            size = {"rows": self.plan.rows, "parts": self.plan.parts, "counts": counts}
            values = {**self.metadata, **size, "beside": list(beside)}
            temporary.write_text(json.dumps(values, indent=1))


def added(counts: Iterable[Counts], words: list[str]) -> Counts:
    """Sum of what parts have counted, under every word."""
    totals = {word: Counter[str]() for word in words}
    for one in counts:
        for word, found in one.items():
            totals[word].update(found)
    return {word: dict(sorted(total.items())) for word, total in totals.items()}


def read_metadata(path: Path) -> dict[str, Any]:
    """Metadata of a Parquet file that this package wrote; empty for any other."""
    try:
        stored = pq.read_schema(path).metadata or {}
        return dict(json.loads(stored.get(METADATA_KEY.encode(), b"{}")))
    except (pa.ArrowException, OSError, ValueError):
        return {}


def require_own(folder: Path) -> Found:
    """Read the parts that a folder holds, all of which this package must have written.

    Raises
    ------
    StageError
        There is a file of someone else's, which may have the name of a part as well.
    """
    found = _found(folder)
    strange = [path for path, metadata in found.items() if not metadata.get("work")]
    if (folder / SUMMARY).exists() and not _summary(folder / SUMMARY):
        strange.append(folder / SUMMARY)
    if strange:
        raise StageError(
            f"{folder} holds {strange[0].relative_to(folder)}, which Morphoscope did not write",
            do="name another --out",
        )
    return found


def clear(folder: Path) -> None:
    """Remove what this package wrote, and the folders that are empty without it."""
    for name in _summary(folder / SUMMARY).get("beside", ()):
        (folder / name).unlink(missing_ok=True)
    for path in [path for path, metadata in _found(folder).items() if metadata.get("work")]:
        path.unlink()
        _remove_empty(path.parent, folder)
    if _summary(folder / SUMMARY):
        (folder / SUMMARY).unlink()


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _found(folder: Path) -> Found:
    paths = parquet_files(folder)
    with ThreadPoolExecutor(READERS) as readers:
        return dict(zip(paths, readers.map(read_metadata, paths), strict=True))


def _summary(path: Path) -> dict[str, Any]:
    """What `Shards.describe` wrote; empty for any other file."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) and "work" in values else {}
