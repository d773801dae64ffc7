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

from morphoscope.acquire.listing import absolute
from morphoscope.bundle import Bundle, open_bundle
from morphoscope.catalog import TABLE_SUFFIXES
from morphoscope.engine import Engine, cores
from morphoscope.errors import CatalogueError, StageError
from morphoscope.predict.answers import Answer, Chunk, answer, trained_sizes
from morphoscope.predict.inputs import write_listing
from morphoscope.predict.shards import Shards, clear, read_metadata, require_own, tally
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
        Start anew, over the result and the parts of another run, and never over other files.

    Returns
    -------
    dict
        ``n``, ``classes`` and ``flagged`` (counts), ``kept`` (rows of an earlier, cut-off run),
        ``images_per_s`` of this run, ``model``, ``out``, ``warnings`` (what a person should know,
        one sentence each; of the images of this run).

    Raises
    ------
    BundleError, SourceError, CatalogueError
        The model, the images or the table cannot be used, or ``out`` cannot be written.
    StageError
        ``out`` holds, or another process makes, the result of another run; or it is the input,
        or holds parts that this package did not write.
    """
    out = Path(out).expanduser().absolute()
    began = time.monotonic()
    opened = open_bundle(bundle)
    joined = _is_file(out)
    parts = out.with_name(f"{out.name}.parts") if joined else out
    _require_not_input(images, out, parts)
    warnings: list[str] = []
    with _reserved(parts, passing=joined) as folder:
        require_own(folder)
        listing = write_listing(
            images,
            folder / LISTING,
            shard_rows=shard_rows,
            id_column=id_column,
            file_column=file_column,
        )
        if joined and out.exists() and listing.names(absolute(out)):
            raise _is_input(out)
        shards = Shards(folder, opened, listing)
        if force:
            clear(folder)
        if joined and out.exists() and not force:
            _require_same(out, shards)
            made, counts = 0, tally([out])
        else:
            made, other_size = _fill(shards, engine, batch)
            warnings = _size_warnings(opened, *other_size)
            counts = tally(shards.paths())
            _finish(shards, out if joined else None)
    return {
        "n": listing.rows,
        **counts,
        "kept": listing.rows - made,
        "images_per_s": round(made / (time.monotonic() - began), 1),
        "model": opened.id,
        "out": str(out),
        "warnings": warnings,
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


def _require_not_input(images: str | Path, *places: Path) -> None:
    """Raise where a result would be written over the images or the table, also by a link."""
    source = Path(images).expanduser()
    for place in places:
        if source.exists() and place.exists() and place.samefile(source):
            raise _is_input(place)


def _is_input(place: Path) -> StageError:
    return StageError(f"{place} is itself an input", do="name another --out")


@contextmanager
def _reserved(folder: Path, *, passing: bool) -> Iterator[Path]:
    """Folder of the parts, for this process alone.

    Without a part it is gone afterwards, if it is new or only serves a file (``passing``).
    """
    passing = passing or not folder.exists()
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
            if passing:
                with suppress(OSError):
                    folder.rmdir()


def _require_same(out: Path, shards: Shards) -> None:
    """Raise unless the file that is there is the finished result of the same work."""
    if read_metadata(out).get("work") != asdict(shards.work):
        raise StageError(f"{out} exists", do="write it anew with --force, or name another --out")


def _fill(shards: Shards, engine: Engine, batch: int) -> tuple[int, tuple[int, int]]:
    """Make the missing parts; rows in them, images of a size new to the model, and all images."""
    listing, pending = shards.listing, shards.missing()
    rows = sum(listing.rows_of(shard) for shard in pending)
    chunks = _chunks(shards, pending, batch, max(1, cores() // engine.workers))
    # Workers take longer to start than one process takes for two batches.
    few = rows <= 2 * batch
    answers = map(answer, chunks) if few else (found for _, found in engine.map(answer, chunks))
    open_shards: dict[int, list[Answer]] = {}
    other_size = good = 0
    with progress("predict", listing.rows, done=listing.rows - rows) as advance:
        for found in answers:
            parts = open_shards.setdefault(found.shard, [])
            parts.append(found)
            other_size += found.other_size
            good += found.flags.count(None)
            advance(len(found.flags))
            if sum(len(part.flags) for part in parts) == listing.rows_of(found.shard):
                _write(shards, found.shard, open_shards.pop(found.shard))
    return rows, (other_size, good)


def _size_warnings(bundle: Bundle, other_size: int, good: int) -> list[str]:
    if 2 * other_size <= good:
        return []
    sizes = trained_sizes(bundle)
    commonest = ", ".join(sorted(sizes, key=lambda size: -sizes[size])[:3])
    return [
        f"{other_size:,} of {good:,} images are not of a size that the model was trained on "
        f"({commonest}{', …' if len(sizes) > 3 else ''}): it knows that pixel scale and frame only"
    ]


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
        clear(shards.folder)
        _sweep(out.parent, out.name)
    _sweep(shards.folder, "")


def _sweep(folder: Path, name: str) -> None:
    """Remove what a process that was killed while writing has left."""
    for path in folder.glob(f".{glob.escape(name)}*.partial"):
        path.unlink(missing_ok=True)
