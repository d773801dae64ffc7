"""Stream: from images to a catalogue of what is known of them, shard by shard."""

from __future__ import annotations

import fcntl
import glob
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from morphoscope.acquire.listing import absolute
from morphoscope.catalog import TABLE_SUFFIXES
from morphoscope.engine import Engine
from morphoscope.errors import CatalogueError, StageError
from morphoscope.progress import progress
from morphoscope.streaming.inputs import write_listing
from morphoscope.streaming.shards import Shards, clear, read_metadata, require_own, tally
from morphoscope.streaming.task import Files, Rows, Task

__all__ = ["Streamed", "stream"]

LISTING = ".listing"
LOCK = ".lock"


class Chunk(NamedTuple):
    """Neighbouring rows of one shard, where they belong, and what is done with them."""

    shard: int
    start: int
    files: Files
    rows: Callable[[Files], Rows]


class Done(NamedTuple):
    """What is known of a chunk."""

    shard: int
    start: int
    rows: Rows


@dataclass(frozen=True)
class Streamed:
    """What a run did.

    Attributes
    ----------
    n, kept
        Rows of the result, and those among them of an earlier, cut-off run.
    counts
        Word of the task's ``counted``, and ``flagged``, to values to numbers of rows.
    noted
        Sums of what the rows of this run noted.
    images_per_s
        Rate of this run.
    out
        Where the result is.
    """

    n: int
    kept: int
    counts: dict[str, dict[str, int]]
    noted: dict[str, int]
    images_per_s: float
    out: Path


def stream(
    task: Task,
    images: str | Path,
    *,
    out: Path,
    engine: Engine,
    id_column: str = "",
    file_column: str = "",
    shard_rows: int = 4096,
    batch: int = 64,
    force: bool = False,
) -> Streamed:
    """Work on images: one row for every input, in its order, also for the unreadable.

    A run that was cut off goes on when it is called again: whole shards are kept. No memory grows
    with the number of images, unless ``out`` is FITS, VOTable, ECSV or CSV. The columns are
    ``id_str``, ``file_loc``, those of the task, ``flag``.

    Parameters
    ----------
    task
        What is done with them.
    images
        Folder (searched with all below it), glob pattern, image, or table (CSV, Parquet file or
        folder, FITS, VOTable, ECSV) with a column of files, relative to where the table lies.
    out
        ``.parquet``, ``.fits``, ``.vot``, ``.ecsv`` or ``.csv``; a name without suffix is a folder
        of Parquet parts.
    engine
        Where the work runs.
    id_column, file_column
        Columns of a table; empty: found by their usual names.
    shard_rows
        Rows of a part; what a kill costs at most, times the parts under work.
    batch
        Images that go to a worker at once.
    force
        Start anew, over the result and the parts of another run, and never over other files.

    Raises
    ------
    SourceError, CatalogueError
        The images or the table cannot be used, or ``out`` cannot be written.
    StageError
        ``out`` holds, or another process makes, the result of another run; or it is the input,
        or holds parts that this package did not write.
    """
    out = Path(out).expanduser().absolute()
    began = time.monotonic()
    joined = _is_file(out)
    parts = out.with_name(f"{out.name}.parts") if joined else out
    _require_not_input(images, out, parts)
    noted: Counter[str] = Counter()
    counted = {**task.counted, "flag": "flagged"}
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
        shards = Shards(folder, task, listing)
        if force:
            clear(folder)
        if joined and out.exists() and not force:
            _require_same(out, shards)
            made, counts = 0, tally([out], counted)
        else:
            made, noted = _fill(shards, engine, batch)
            counts = tally(shards.paths(), counted)
            _finish(shards, out if joined else None)
    rate = round(made / (time.monotonic() - began), 1)
    return Streamed(listing.rows, listing.rows - made, counts, dict(noted), rate, out)


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
    if read_metadata(out).get("work") != shards.work:
        raise StageError(f"{out} exists", do="write it anew with --force, or name another --out")


def _fill(shards: Shards, engine: Engine, batch: int) -> tuple[int, Counter[str]]:
    """Make the missing parts; rows in them, and the sums of what they noted."""
    listing, pending = shards.listing, shards.missing()
    rows = sum(listing.rows_of(shard) for shard in pending)
    chunks = _chunks(shards, pending, batch)
    # Workers take longer to start than one process takes for two batches.
    few = rows <= 2 * batch
    done = map(_work, chunks) if few else (found for _, found in engine.map(_work, chunks))
    open_shards: dict[int, list[Done]] = {}
    noted: Counter[str] = Counter()
    with progress(shards.task.verb, listing.rows, done=listing.rows - rows) as advance:
        for found in done:
            parts = open_shards.setdefault(found.shard, [])
            parts.append(found)
            noted.update(found.rows.noted)
            advance(len(found.rows.flags))
            if sum(len(part.rows.flags) for part in parts) == listing.rows_of(found.shard):
                parts = sorted(open_shards.pop(found.shard), key=lambda part: part.start)
                shards.write(found.shard, [part.rows for part in parts])
    return rows, noted


def _work(chunk: Chunk) -> Done:
    return Done(chunk.shard, chunk.start, chunk.rows(chunk.files))


def _chunks(shards: Shards, pending: list[int], batch: int) -> Iterator[Chunk]:
    for shard in pending:
        files = shards.listing.shard(shard)["file_loc"].to_pylist()
        for start in range(0, len(files), batch):
            yield Chunk(shard, start, tuple(files[start : start + batch]), shards.task.rows)


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
