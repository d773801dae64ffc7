"""The verb: read, prepare and store every image of a catalogue, in parallel and resumable."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.catalog import Catalogue, read_catalogue, write_catalogue
from morphoscope.engine import Engine
from morphoscope.errors import StoreError
from morphoscope.prepare.pixels import channel_count, pixel_type
from morphoscope.prepare.shards import (
    Journal,
    ShardResult,
    plan,
    size_name,
    write_shard,
    write_shard_carefully,
)
from morphoscope.prepare.space import allocate, close_gaps
from morphoscope.prepare.store import (
    CATALOGUE,
    IMAGES,
    open_store,
    read_description,
    write_description,
)
from morphoscope.progress import progress
from morphoscope.provenance import file_digest, settings_digest
from morphoscope.recipe import PrepareSettings

__all__ = ["prepare"]

JOURNAL, REJECTS = "shards.jsonl", "rejects.parquet"


def prepare(
    settings: PrepareSettings, *, catalogue: Path, out: Path, engine: Engine
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

    Returns
    -------
    dict
        ``n``, ``shape``, ``sizes`` (images a size found, as ``"423×423"``), ``rejects`` (images a
        reason), ``images_per_s``, ``bytes``.

    Raises
    ------
    DiskSpaceError
        The store does not fit on the disk.
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
    if same and _is_sound(out):
        return dict(described["summary"])
    began = time.perf_counter()
    shape = (len(table), channel_count(settings), settings.size, settings.size)
    dtype = pixel_type(settings)
    about = {
        "identity": identity,
        "preparation": settings.model_dump(),
        "dtype": dtype.name,
    }
    _begin(out, shape, about, resumed=same)
    results, fresh = _write_images(settings, table.frame, out, shape, engine)
    kept, rejects = _close(out, table, results)
    shape_kept = close_gaps(out / IMAGES, shape, kept, dtype)
    summary = {
        "n": shape_kept[0],
        "shape": list(shape_kept),
        "sizes": _sizes(table.frame, results),
        "rejects": rejects,
        "images_per_s": round(fresh / (time.perf_counter() - began), 1),
        "bytes": (out / IMAGES).stat().st_size,
    }
    digest = file_digest(out / IMAGES)
    write_description(
        out, "complete", shape=list(shape_kept), sha256=digest, summary=summary, **about
    )
    (out / JOURNAL).unlink()
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


def _begin(out: Path, shape: tuple[int, ...], about: dict[str, Any], *, resumed: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if not resumed:
        # Before the new identity is written, or it would vouch for the old journal.
        (out / JOURNAL).unlink(missing_ok=True)
    write_description(out, "writing", shape=list(shape), **about)
    allocate(out / IMAGES, shape, about["dtype"])


def _write_images(
    settings: PrepareSettings,
    frame: pl.DataFrame,
    out: Path,
    shape: tuple[int, ...],
    engine: Engine,
) -> tuple[list[ShardResult], int]:
    """Results of all shards in row order, and the number of images made in this call."""
    shards = plan(
        out / IMAGES,
        shape,
        frame["file_loc"].to_list(),
        settings,
        look_at_sizes=not {"ny", "nx"} <= set(frame.columns),
    )
    journal = Journal(out / JOURNAL)
    results = {result.start: result for result in journal.finished(shards)}
    pending = [shard for shard in shards if shard.start not in results]
    done = sum(result.n for result in results.values())
    with progress("prepare", len(frame), done=done) as advance:
        made = engine.map(write_shard, pending, careful=write_shard_carefully)
        for _, result in made if pending else ():
            journal.note(result)
            results[result.start] = result
            advance(result.n)
    return [results[shard.start] for shard in shards], len(frame) - done


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
        (out / JOURNAL).unlink()
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
