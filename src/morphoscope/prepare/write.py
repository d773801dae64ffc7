"""The verb: read, prepare and store every image of a catalogue, in parallel and resumable."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.catalog import Catalogue, read_catalogue, write_catalogue
from morphoscope.engine import Engine, areas
from morphoscope.errors import StoreError
from morphoscope.prepare import in_memory
from morphoscope.prepare.pixels import channel_count, pixel_type
from morphoscope.prepare.shards import (
    Journal,
    Shard,
    ShardResult,
    plan,
    size_name,
    write_shard,
    write_shard_carefully,
)
from morphoscope.prepare.space import allocate, close_gaps
from morphoscope.prepare.spread import (
    Gathering,
    Kept,
    gather_whole,
    keep_shard,
    keep_shard_carefully,
)
from morphoscope.prepare.store import (
    CATALOGUE,
    IMAGES,
    npy_header,
    open_store,
    read_description,
    row_bytes,
    write_description,
)
from morphoscope.progress import progress
from morphoscope.provenance import file_digest, settings_digest
from morphoscope.recipe import PrepareSettings

__all__ = ["prepare"]

JOURNAL, REJECTS = "shards.jsonl", "rejects.parquet"


def prepare(
    settings: PrepareSettings,
    *,
    catalogue: Path,
    out: Path,
    engine: Engine,
    memory: Path | None = None,
) -> dict[str, Any]:
    """Prepare every image of a catalogue into a store.

    Writes ``images.npy``, ``catalogue.parquet``, ``store.json`` and ``rejects.parquet`` below
    `out`. Called again after it was killed, it keeps the images whose bytes are still as written.

    Parameters
    ----------
    settings
        The preparation.
    catalogue
        Catalogue of the stage before.
    out
        Folder of the store.
    engine
        Where to work.
    memory
        Folder of a file system in memory that takes the images instead of `out`, on every machine
        that works; who opens the store finds them, see `morphoscope.prepare.in_memory`. Their
        memory is freed when the last process that uses them ends.

    Returns
    -------
    dict
        ``n``, ``shape``, ``sizes`` (images a size found, as ``"423×423"``), ``rejects`` (images a
        reason), ``images_per_s``, ``bytes``.

    Raises
    ------
    DiskSpaceError
        The store does not fit on the disk, or into the memory.
    EngineError
        The folder in memory cannot be used.
    StoreError
        The catalogue is empty, or none of its images can be read.
    """
    table = read_catalogue(catalogue)
    if not len(table):
        raise StoreError(f"the catalogue {catalogue} has no rows", do="look at its rejects")
    identity = settings_digest(
        {"settings": settings.model_dump(), "catalogue": file_digest(catalogue)}
    )
    described = _description(out)
    same = described.get("identity") == identity
    apart = memory is not None and engine.clustered
    elsewhere = memory is None and in_memory.is_in_memory(out / IMAGES)
    if same and not apart and not elsewhere and _is_sound(out):
        return dict(described["summary"])
    began = time.perf_counter()
    shape = (len(table), channel_count(settings), settings.size, settings.size)
    dtype = pixel_type(settings)
    about = {
        "identity": identity,
        "preparation": settings.model_dump(),
        "dtype": dtype.name,
    }
    _begin(out, about | {"shape": list(shape)}, resumed=same, memory=memory)
    work = _Work(settings, table, out, shape, engine)
    results, fresh, kept, rejects, digest = _apart(work) if apart else _here(work)
    shape_kept = (len(kept), *shape[1:])
    summary = {
        "n": shape_kept[0],
        "shape": list(shape_kept),
        "sizes": _sizes(table.frame, results),
        "rejects": rejects,
        "images_per_s": round(fresh / (time.perf_counter() - began), 1),
        "bytes": len(npy_header(shape_kept, dtype)) + shape_kept[0] * row_bytes(shape, dtype),
    }
    write_description(
        out, "complete", shape=list(shape_kept), sha256=digest, summary=summary, **about
    )
    (out / JOURNAL).unlink(missing_ok=True)
    return summary


def _description(out: Path) -> dict[str, Any]:
    try:
        return read_description(out) or {}
    except StoreError:
        return {}


def _is_sound(out: Path) -> bool:
    try:
        open_store(out)
    except StoreError:
        return False
    return True


@dataclass(frozen=True)
class _Work:
    """What is prepared, and where."""

    settings: PrepareSettings
    table: Catalogue
    out: Path
    shape: tuple[int, ...]
    engine: Engine

    def shards(self, path: Path) -> list[Shard]:
        """Shards of an array that is to lie there."""
        frame = self.table.frame
        return plan(
            path,
            self.shape,
            frame["file_loc"].to_list(),
            self.settings,
            look_at_sizes=not {"ny", "nx"} <= set(frame.columns),
        )


# Results of all shards in row order, the number of images made in this call, the rows that are
# kept, rejects a reason, and the SHA-256 of the array.
_Made = tuple[list[ShardResult], int, list[int], dict[str, int], str]


def _begin(out: Path, about: dict[str, Any], *, resumed: bool, memory: Path | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if not resumed:
        # Before the new identity is written, or it would vouch for the old journal.
        (out / JOURNAL).unlink(missing_ok=True)
    write_description(out, "writing", **about)
    if memory is None:
        in_memory.unlink(out)
    else:
        in_memory.link(out, memory, resumed=resumed)


def _here(work: _Work) -> _Made:
    """Write the images to where every worker can write, what is noted as done left out."""
    path, n = work.out / IMAGES, len(work.table)
    dtype = pixel_type(work.settings)
    if in_memory.is_in_memory(path):
        areas.claim(path.readlink().parent)
    allocate(path, work.shape, dtype)
    shards = work.shards(path)
    journal = Journal(work.out / JOURNAL)
    results = {result.start: result for result in journal.finished(shards)}
    pending = [shard for shard in shards if shard.start not in results]
    done = sum(result.n for result in results.values())
    with progress("prepare", n, done=done) as advance:
        made = work.engine.map(write_shard, pending, careful=write_shard_carefully)
        for _, result in made if pending else ():
            journal.note(result)
            results[result.start] = result
            advance(result.n)
    ordered = [results[shard.start] for shard in shards]
    kept, rejects = _close(work.out, work.table, ordered)
    close_gaps(path, work.shape, kept, dtype)
    return ordered, n - done, kept, rejects, file_digest(path)


def _apart(work: _Work) -> _Made:
    """Have every worker keep its images in the memory of its machine, and one gather them all."""
    place = (work.out / IMAGES).readlink()
    shards = work.shards(place)
    found: dict[int, Kept] = {}
    with progress("prepare", len(work.table)) as advance:
        made = work.engine.map(keep_shard, shards, careful=keep_shard_carefully)
        for index, kept_shard in made:
            found[index] = kept_shard
            advance(kept_shard.result.n)
    ordered = [found[index] for index in range(len(shards))]
    results = [one.result for one in ordered]
    kept, rejects = _close(work.out, work.table, results)
    whole = Gathering(place, shards, ordered, kept)
    ((_, digest),) = work.engine.map(gather_whole, [whole])
    return results, len(work.table), kept, rejects, digest


def _close(
    out: Path, table: Catalogue, results: list[ShardResult]
) -> tuple[list[int], dict[str, int]]:
    """Take the rejected rows out of the catalogue; kept rows, and rejects a reason."""
    rejects = {row: why for result in results for row, why in result.rejects.items()}
    rows = sorted(rejects)
    rejected = table.frame[rows].with_columns(
        pl.Series("reason", [rejects[row][0] for row in rows], pl.String),
        pl.Series("detail", [rejects[row][1] for row in rows], pl.String),
    )
    write_catalogue(out / REJECTS, rejected, table.metadata)
    kept = [row for row in range(len(table)) if row not in rejects]
    if not kept:
        # The next call looks at the files again: their folder may be back by then.
        (out / JOURNAL).unlink(missing_ok=True)
        raise StoreError(
            f"none of {len(table):,} images can be read, the first because: {rejects[0][1]}",
            do=f"look at {out / REJECTS}",
        )
    write_catalogue(out / CATALOGUE, table.frame[kept], table.metadata)
    counts = Counter(reason for reason, _ in rejects.values())
    return kept, dict(counts.most_common())


def _sizes(frame: pl.DataFrame, results: list[ShardResult]) -> dict[str, int]:
    """Images a size (ny×nx), the most frequent first."""
    sizes: Counter[str] = Counter()
    if {"ny", "nx"} <= set(frame.columns):
        for ny, nx, n in frame.group_by("ny", "nx").len().rows():
            sizes[size_name(ny, nx)] = n
    for result in results:
        sizes.update(result.sizes)
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))
