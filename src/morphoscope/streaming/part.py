"""One part, from its images to its file: what a worker does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from morphoscope.catalog import METADATA_KEY, atomic_path
from morphoscope.engine.crash import LIMIT_S, Crashed, surviving
from morphoscope.errors import SourceError
from morphoscope.streaming.plan import Piece, Planned
from morphoscope.streaming.task import Files, Rows, Task

__all__ = ["Counts", "Made", "Work", "described", "make_part", "make_part_carefully"]

# Flag of a row whose image ends the process that reads it.
CRASH = "crash"
FLAGGED = ("flag", "flagged")
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Work:
    """What is alike for all parts of a run.

    Attributes
    ----------
    task
        What is done.
    folder
        Where the parts are written.
    batch
        Images that are read and answered together.
    metadata
        What every part says of the run; the time in it is that of the run's start, so that a part
        which is made twice is the same file twice.
    """

    task: Task
    folder: Path
    batch: int
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Made:
    """What is told of a part that is written: numbers, no rows."""

    rows: int
    counts: Counts
    noted: dict[str, int]


def make_part(work: Work, piece: Piece) -> Made:
    """Read and answer the images of a part and write it, whole or not at all.

    Raises
    ------
    SourceError
        The partition is gone, or has changed since it was planned.
    """
    return _made(work, piece, _answered)


def make_part_carefully(work: Work, piece: Piece) -> Made:
    """Do the same where an image ends the process that reads it: its row says so.

    Raises
    ------
    SourceError
        As for `make_part`.
    """
    return _made(work, piece, _survived)


def _answered(task: Task, batches: Sequence[Files]) -> list[Rows]:
    return [task.rows(batch) for batch in batches]


def _survived(task: Task, batches: Sequence[Files]) -> list[Rows]:
    """Rows of batches, made in processes that may end."""
    found = []
    for batch, rows in zip(batches, _apart(task, batches), strict=True):
        if not isinstance(rows, Crashed):
            found.append(rows)
        elif len(batch) > 1:
            found += _survived(task, [(file,) for file in batch])
        else:
            found.append(Rows(task.rows((None,)).columns, [CRASH]))
    return found


def _apart(task: Task, batches: Sequence[Files]) -> list[Rows | Crashed]:
    # One second an image is more than any takes, and the model has to be opened.
    limit_s = LIMIT_S + sum(map(len, batches))
    return surviving(task.rows, batches, limit_s=limit_s)


def _made(
    work: Work, piece: Piece, answered: Callable[[Task, Sequence[Files]], list[Rows]]
) -> Made:
    planned = piece.planned
    _require_unchanged(planned)
    listed = planned.source.table(piece.start, piece.stop, planned.index)
    files = listed["file_loc"].to_pylist()
    starts = range(0, len(files), work.batch)
    done = answered(work.task, [tuple(files[start : start + work.batch]) for start in starts])
    _require_unchanged(planned)
    columns: dict[str, Any] = {name: listed[name] for name in listed.column_names}
    for name in done[0].columns:
        columns[name] = pa.chunked_array([rows.columns[name] for rows in done])
    columns["flag"] = pa.array([flag for rows in done for flag in rows.flags], pa.string())
    counts = {word: _count(columns[name]) for name, word in (*work.task.counted.items(), FLAGGED)}
    metadata = {**work.metadata, "input": _provenance(piece), "counts": counts}
    _write(described(pa.table(columns), metadata), work.folder / piece.file)
    noted = sum((Counter(rows.noted) for rows in done), Counter())
    return Made(piece.rows, counts, dict(noted))


def _provenance(piece: Piece) -> dict[str, Any]:
    """Which rows of which partition in which state a part is of."""
    planned = piece.planned
    return {
        "partition": planned.label,
        "digest": planned.known.digest,
        "rows": [piece.start, piece.stop],
    }


def _require_unchanged(planned: Planned) -> None:
    if planned.source.state() != planned.known.stamp:
        raise SourceError(
            f"{planned.source.path} has changed since the run began",
            do="let nobody write to the input meanwhile, and start anew with --force",
            path=planned.source.path,
        )


def _count(column: Any) -> dict[str, int]:
    found = pa.compute.value_counts(column).to_pylist()
    known = {str(one["values"]): one["counts"] for one in found if one["values"] is not None}
    return dict(sorted(known.items()))


def described(table: pa.Table, metadata: Mapping[str, Any]) -> pa.Table:
    """Table with metadata."""
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata)})


def _write(table: pa.Table, path: Path) -> None:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
