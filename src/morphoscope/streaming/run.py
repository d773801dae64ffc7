"""Stream: from images to a catalogue of what is known of them, part by part.

A worker makes a whole part, and what comes back to this process are numbers: no row passes through
it, however many there are.
"""

from __future__ import annotations

import fcntl
import functools
import glob
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from morphoscope.acquire.listing import absolute
from morphoscope.catalog import TABLE_SUFFIXES
from morphoscope.engine import Counted, Engine
from morphoscope.errors import CatalogueError, StageError
from morphoscope.images import IMAGE_SUFFIXES
from morphoscope.progress import progress
from morphoscope.streaming.hats_catalogue import is_hats, write_hats
from morphoscope.streaming.part import (
    FLAGGED,
    Counts,
    Made,
    Work,
    make_part,
    make_part_carefully,
)
from morphoscope.streaming.plan import Plan, make_plan
from morphoscope.streaming.shards import Found, Shards, added, clear, read_metadata, require_own
from morphoscope.streaming.task import Task

__all__ = ["Streamed", "stream"]

PLAN = ".plan"
LOCK = ".lock"
MOST_ROWS = 65_536


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
    warnings
        What a person should know of the input, a sentence each.
    """

    n: int
    kept: int
    counts: dict[str, dict[str, int]]
    noted: dict[str, int]
    images_per_s: float
    out: Path
    warnings: tuple[str, ...] = ()


def stream(
    task: Task,
    images: str | Path,
    *,
    out: Path,
    engine: Engine,
    id_column: str = "",
    file_column: str = "",
    shard_rows: int = MOST_ROWS,
    batch: int = 64,
    force: bool = False,
) -> Streamed:
    """Work on images: one row for every input, in its order, also for the unreadable.

    A run that was cut off goes on when it is called again: whole parts are kept. No memory grows
    with the number of images, unless ``out`` is FITS, VOTable, ECSV or CSV. The columns are
    ``id_str``, ``file_loc``, those of the task, ``flag``; of a HATS catalogue its position and
    index come first.

    Parameters
    ----------
    task
        What is done with them.
    images
        Folder (searched with all below it), glob pattern, image, or table (CSV, Parquet file or
        folder, HATS catalogue, FITS, VOTable, ECSV) with a column of files, relative to where the
        table lies; tar archive, Zarr store or FITS stack, or a folder or pattern of those.
    out
        ``.parquet``, ``.fits``, ``.vot``, ``.ecsv`` or ``.csv``; a name without suffix is a folder
        of Parquet parts, those of a partition of the input under its name.
    engine
        Where the work runs; its workers write to the folder of ``out``.
    id_column, file_column
        Columns of a table; empty: found by their usual names.
    shard_rows
        Most rows of a part, which is what a kill costs at most for every worker; they are fewer
        where there are few rows in all. A packed archive is one part.
    batch
        Images that are read and answered together.
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
    with _reserved(parts, passing=joined) as folder:
        found = require_own(folder)
        plan = make_plan(
            images,
            folder / PLAN,
            engine,
            shard_rows=shard_rows,
            id_column=id_column,
            file_column=file_column,
        )
        _require_not_planned(images, plan, out, folder)
        shards = Shards(folder, task, plan)
        if force:
            clear(folder)
            found = {}
        made, counts = Made(0, {}, {}), None
        if joined and out.exists() and not force:
            counts = _counts_of_same(out, shards)
        if counts is None:
            made, counts = _fill(shards, found, engine, batch)
            _finish(shards, counts, images, out if joined else None)
    rate = round(made.rows / (time.monotonic() - began), 1)
    kept = plan.rows - made.rows
    return Streamed(plan.rows, kept, counts, made.noted, rate, out, plan.notes)


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


def _require_not_planned(images: str | Path, plan: Plan, out: Path, folder: Path) -> None:
    """Raise where the result is a file that is to be worked on, or lies among the partitions."""
    for planned in plan.partitions:
        path = Path(planned.source.path)
        if path in (out, folder) or folder in path.parents:
            raise _is_input(out)
    if plan.partitions[0].source.name and absolute(Path(images).expanduser()) in out.parents:
        raise StageError(
            f"{out} lies in {images}, whose partitions are the input",
            do="name another --out, outside of it",
        )
    if out.is_file() and out.suffix.lower() in IMAGE_SUFFIXES and _names(plan, absolute(out)):
        raise _is_input(out)


def _names(plan: Plan, file: Path) -> bool:
    """Whether a file is among the images."""
    for number in range(plan.parts):
        piece = plan.piece(number)
        table = piece.planned.source.table(piece.start, piece.stop, piece.planned.index)
        if pc.any(pc.equal(table["file_loc"], str(file))).as_py():
            return True
    return False


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
            shutil.rmtree(folder / PLAN, ignore_errors=True)
            (folder / LOCK).unlink(missing_ok=True)
            if passing:
                with suppress(OSError):
                    folder.rmdir()


def _counts_of_same(out: Path, shards: Shards) -> Counts:
    """What the finished result of the same work has counted; raise if it is of another."""
    metadata = read_metadata(out)
    if metadata.get("work") != shards.result:
        raise StageError(f"{out} exists", do="write it anew with --force, or name another --out")
    counts: Counts = metadata["counts"]
    return counts


def _fill(shards: Shards, found: Found, engine: Engine, batch: int) -> tuple[Made, Counts]:
    """Make the missing parts; what was made, and the counts of all."""
    plan, missing = shards.plan, shards.missing(found)
    pieces = Counted(map(plan.piece, missing), len(missing))
    rows = sum(plan.piece(number).rows for number in missing)
    work = Work(shards.task, shards.folder, batch, shards.metadata)
    make = functools.partial(make_part, work)
    careful = functools.partial(make_part_carefully, work)
    # Workers take longer to start than one process takes for two batches.
    few = rows <= 2 * batch
    done = enumerate(map(make, pieces)) if few else engine.map(make, pieces, careful=careful)
    noted: Counter[str] = Counter()
    counts = [metadata["counts"] for metadata in found.values()]
    words = [word for _, word in (*shards.task.counted.items(), FLAGGED)]
    total = added(counts, words)
    with progress(shards.task.verb, plan.rows, done=plan.rows - rows) as advance:
        for _, made in done:
            noted.update(made.noted)
            total = added([total, made.counts], words)
            advance(made.rows)
    return Made(rows, total, dict(noted)), total


def _finish(shards: Shards, counts: Counts, images: str | Path, out: Path | None) -> None:
    if out is not None:
        shards.join(out, counts)
        clear(shards.folder)
        _sweep(out.parent, f".{glob.escape(out.name)}*.partial")
    else:
        catalogue, beside = Path(images).expanduser().absolute(), []
        if catalogue.is_dir() and is_hats(catalogue):
            beside = write_hats(catalogue, shards.folder, shards.paths(), shards.plan.rows)
        shards.describe(counts, beside)
    _sweep(shards.folder, "**/.*.partial")


def _sweep(folder: Path, pattern: str) -> None:
    """Remove what a process that was killed while writing has left."""
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)
