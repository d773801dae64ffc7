"""Predict: from images to a catalogue of classes, shard by shard."""

from __future__ import annotations

import fcntl
import glob
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from morphoscope.bundle import open_bundle
from morphoscope.catalog import TABLE_SUFFIXES
from morphoscope.engine import Engine, cores
from morphoscope.errors import CatalogueError, StageError
from morphoscope.predict.answers import Answer, Chunk, answer
from morphoscope.predict.inputs import write_listing
from morphoscope.predict.shards import PARTS, SUMMARY, Shards, read_metadata, tally
from morphoscope.progress import progress

__all__ = ["predict"]

LISTING = ".listing"
LOCK = ".lock"


def predict(
    bundle: str | Path,
    images: str | Path,
    *,
    out: Path,
    engine: Engine,
    id_column: str = "",
    file_column: str = "",
    shard_rows: int = 4096,
    batch: int = 64,
    force: bool = False,
) -> dict[str, Any]:
    """Classify images: one row for every input, in its order, also for the unreadable.

    A run that was cut off goes on when it is called again: whole shards are kept. No memory grows
    with the number of images, unless ``out`` is FITS, VOTable, ECSV or CSV.

    Parameters
    ----------
    bundle
        Folder of a model, or name of a shipped one.
    images
        Folder (searched with all below it), glob pattern, image, or table (CSV, Parquet file or
        folder, FITS, VOTable, ECSV) with a column of files, relative to where the table lies.
    out
        ``.parquet``, ``.fits``, ``.vot``, ``.ecsv`` or ``.csv``; a name without suffix is a folder
        of Parquet parts.
    engine
        Where images are read and classified.
    id_column, file_column
        Columns of a table; empty: found by their usual names.
    shard_rows
        Rows of a part; what a kill costs at most, times the parts under work.
    batch
        Images that go to a worker at once.
    force
        Start anew, over the result and the parts of another run.

    Returns
    -------
    dict
        ``n``, ``classes`` and ``flagged`` (counts), ``kept`` (rows of an earlier, cut-off run),
        ``images_per_s`` of this run, ``model``, ``out``.

    Raises
    ------
    BundleError, SourceError, CatalogueError
        The model, the images or the table cannot be used, or ``out`` cannot be written.
    StageError
        ``out`` holds, or another process makes, the result of another run.
    """
    out = Path(out).expanduser().absolute()
    began = time.monotonic()
    opened = open_bundle(bundle)
    joined = _is_file(out)
    with _reserved(out.with_name(f"{out.name}.parts") if joined else out) as folder:
        if force:
            _clear(folder)
        listing = write_listing(
            images,
            folder / LISTING,
            shard_rows=shard_rows,
            id_column=id_column,
            file_column=file_column,
        )
        shards = Shards(folder, opened, listing)
        if joined and out.exists() and not force:
            _require_same(out, shards)
            made, counts = 0, tally([out])
        else:
            made = _fill(shards, engine, batch)
            counts = tally(shards.paths())
            _finish(shards, out if joined else None)
    return {
        "n": listing.rows,
        **counts,
        "kept": listing.rows - made,
        "images_per_s": round(made / (time.monotonic() - began), 1),
        "model": opened.id,
        "out": str(out),
    }


def _is_file(out: Path) -> bool:
    if out.is_dir() or not out.suffix:
        return False
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise CatalogueError(
            f"--out {out.name} has the suffix {out.suffix!r}",
            expected=f"{', '.join(sorted(TABLE_SUFFIXES))}, or a folder (a name without suffix)",
        )
    return True


@contextmanager
def _reserved(folder: Path) -> Iterator[Path]:
    """Folder of the parts, for this process alone; gone afterwards if it then holds no part."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise CatalogueError(
            f"{folder} cannot be written ({error.strerror})", do="name another --out"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StageError(
                f"another process writes to {folder}", do="wait for it, or name another --out"
            ) from error
        try:
            yield folder
        finally:
            for name in (LISTING, LOCK):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()


def _clear(folder: Path) -> None:
    for path in (*folder.glob(PARTS), folder / SUMMARY):
        path.unlink(missing_ok=True)


def _require_same(out: Path, shards: Shards) -> None:
    """Raise unless the file that is there is the finished result of the same work."""
    if read_metadata(out).get("work") != asdict(shards.work):
        raise StageError(f"{out} exists", do="write it anew with --force, or name another --out")


def _fill(shards: Shards, engine: Engine, batch: int) -> int:
    """Make the missing parts and return the number of rows in them."""
    listing, pending = shards.listing, shards.missing()
    rows = sum(listing.rows_of(shard) for shard in pending)
    chunks = _chunks(shards, pending, batch, max(1, cores() // engine.workers))
    # Workers take longer to start than one process takes for two batches.
    few = rows <= 2 * batch
    answers = map(answer, chunks) if few else (found for _, found in engine.map(answer, chunks))
    open_shards: dict[int, list[Answer]] = {}
    with progress("predict", listing.rows, done=listing.rows - rows) as advance:
        for found in answers:
            parts = open_shards.setdefault(found.shard, [])
            parts.append(found)
            advance(len(found.flags))
            if sum(len(part.flags) for part in parts) == listing.rows_of(found.shard):
                _write(shards, found.shard, open_shards.pop(found.shard))
    return rows


def _chunks(shards: Shards, pending: list[int], batch: int, threads: int) -> Iterator[Chunk]:
    bundle = shards.bundle
    for shard in pending:
        files = shards.listing.shard(shard)["file_loc"].to_pylist()
        for start in range(0, len(files), batch):
            some = tuple(files[start : start + batch])
            yield Chunk(shard, start, some, str(bundle.folder.absolute()), bundle.id, threads)


def _write(shards: Shards, shard: int, parts: list[Answer]) -> None:
    parts.sort(key=lambda part: part.start)
    probabilities = np.concatenate([part.probabilities for part in parts])
    shards.write(shard, probabilities, [flag for part in parts for flag in part.flags])


def _finish(shards: Shards, out: Path | None) -> None:
    if out is None:
        shards.describe()
    else:
        shards.join(out)
        _clear(shards.folder)
        _sweep(out.parent, out.name)
    _sweep(shards.folder, "")


def _sweep(folder: Path, name: str) -> None:
    """Remove what a process that was killed while writing has left."""
    for path in folder.glob(f".{glob.escape(name)}*.partial"):
        path.unlink(missing_ok=True)
