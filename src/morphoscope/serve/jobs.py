"""Long work over a table: row by row, in parts, taken up again after a kill of the server.

A job is a folder: ``rows.parquet`` with what to ask about, and a part of answers for every so many
rows, written whole or not at all. What has a part is never asked again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import polars as pl

from morphoscope.catalog import atomic_path, write_table
from morphoscope.errors import MorphoscopeError, OverloadError
from morphoscope.serve.store import Store, now
from morphoscope.serve.tables import ROWS

__all__ = ["FORMATS", "Runner", "result"]

LOG = logging.getLogger("morphoscope.serve")
PART = 50
# Rows of a job under work at once: most of their time they wait for an archive, and people who ask
# for one image should not wait for a million.
AT_ONCE = 8
RETRY_S = 0.5
FORMATS = {"parquet": ".parquet", "csv": ".csv", "fits": ".fits", "votable": ".vot"}
# Endings of the columns that are text, also where no row has any.
TEXT = frozenset(
    ("id", "name", "url", "survey", "class", "set", "reject", "alarm", "training", "flag")
) | {"message"}
# People who ask for one table at the same time wait for one another.
WRITING = threading.Lock()
Row = dict[str, Any]
# One row to the columns that stand beside it.
Work = Callable[[Row, dict[str, Any]], Awaitable[Row]]


class Runner:
    """Works on the jobs of a store, one after the other.

    Parameters
    ----------
    store
        Where jobs are.
    work
        What to do with a row.
    """

    def __init__(self, store: Store, work: Work) -> None:
        self._store, self._work = store, work
        self._wake = asyncio.Event()
        self._rates: dict[str, float] = {}
        self._under_work: tuple[str, asyncio.Task[pl.DataFrame]] | None = None

    def wake(self) -> None:
        """Tell it of a new job."""
        self._wake.set()

    def cancel(self, job: str) -> None:
        """Stop work on a job that was put down as cancelled; its whole parts stay."""
        if self._under_work and self._under_work[0] == job:
            self._under_work[1].cancel()

    def rate(self, job: str) -> float | None:
        """Rows a second of a job under work; None before its first part."""
        return self._rates.get(job)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            job = await asyncio.to_thread(self._store.next_job)
            if job is None:
                await self._wake.wait()
                continue
            try:
                await self._job(job)
            except Exception as error:
                LOG.exception("job failed", extra={"job": job})
                self._end(job, "failed", f"{type(error).__name__}: {error}")

    def _end(self, job: str, state: str, message: str = "") -> None:
        self._store.change_job(job, unless="cancelled", state=state, message=message, ended=now())
        self._rates.pop(job, None)

    async def _job(self, job: str) -> None:
        folder = self._store.jobs / job
        self._store.change_job(job, unless="cancelled", state="running")
        asked = self._store.job(job)["asked"]
        rows = await asyncio.to_thread(pl.read_parquet, folder / ROWS)
        begun, worked = time.monotonic(), 0
        for start in range(0, len(rows), PART):
            path = _part(folder, start)
            if not path.exists():
                frame = await self._unless_cancelled(job, rows[start : start + PART], asked)
                if frame is None:
                    self._rates.pop(job, None)
                    return
                await asyncio.to_thread(_write, frame, path)
                worked += len(frame)
                self._rates[job] = worked / (time.monotonic() - begun)
            await asyncio.to_thread(self._count, job, folder, start, len(rows))
        self._end(job, "done")

    async def _unless_cancelled(
        self, job: str, rows: pl.DataFrame, asked: dict[str, Any]
    ) -> pl.DataFrame | None:
        """Answers of a part; None where the job is cancelled before all are there."""
        if self._store.job(job)["state"] == "cancelled":
            return None
        part = asyncio.create_task(self._answered(rows, asked))
        self._under_work = (job, part)
        try:
            return await part
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if mine is None or mine.cancelling():
                raise
            return None
        finally:
            self._under_work = None

    def _count(self, job: str, folder: Path, start: int, n: int) -> None:
        done = min(start + PART, n)
        flags = pl.read_parquet(_part(folder, start), columns=["flag"])["flag"]
        before = 0 if start == 0 else int(self._store.job(job)["failed"])
        failed = before + len(flags) - flags.null_count()
        self._store.change_job(job, done=done, failed=failed)

    async def _answered(self, rows: pl.DataFrame, asked: dict[str, Any]) -> pl.DataFrame:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(row: Row) -> Row:
            async with gate:
                return row | await self._patiently(row, asked)

        found = await asyncio.gather(*(one(row) for row in rows.to_dicts()))
        return pl.from_dicts(found, infer_schema_length=None)

    async def _patiently(self, row: Row, asked: dict[str, Any]) -> Row:
        """Answer a row; while the server has too much to do the job waits, a person does not."""
        while True:
            try:
                return {"flag": None, "message": None} | await self._work(row, asked)
            except OverloadError:
                await asyncio.sleep(RETRY_S)
            except MorphoscopeError as error:
                flag = error.data.get("code") or error.data.get("reason") or "unanswered"
                return {"flag": str(flag), "message": str(error)}
            except Exception as error:
                # One row is no reason to lose the others.
                LOG.exception("a row of a job failed")
                return {"flag": "failed", "message": f"{type(error).__name__}: {error}"}


def result(folder: Path, kind: str, metadata: dict[str, Any]) -> Path:
    """Parts of a job as one table.

    Parameters
    ----------
    folder
        That of the job.
    kind
        One of ``FORMATS``.
    metadata
        What is written into it.

    Returns
    -------
    pathlib.Path
        File in the folder of the job.
    """
    out = folder / f"result{FORMATS[kind]}"
    with WRITING:
        parts = sorted(folder.glob("part-*.parquet"))
        if not out.exists() or out.stat().st_mtime_ns < parts[-1].stat().st_mtime_ns:
            table = _typed(pl.concat(map(pl.read_parquet, parts), how="diagonal_relaxed"))
            if kind == "fits":
                table = table.rename({name: _ascii(name) for name in table.columns})
            table = table.select(pl.exclude("flag", "message"), "flag", "message")
            write_table(out, table, metadata)
    return out


def _typed(table: pl.DataFrame) -> pl.DataFrame:
    """Columns in which no row has a value, with the type that they have elsewhere."""
    empty = [name for name in table.columns if table[name].dtype == pl.Null]
    kinds = {name: pl.String if name.split("_")[-1] in TEXT else pl.Float64 for name in empty}
    return table.cast(kinds)  # type: ignore[arg-type]


def _ascii(name: str) -> str:
    return re.sub(r"\W", "_", name.encode("ascii", "backslashreplace").decode())


def _part(folder: Path, start: int) -> Path:
    return folder / f"part-{start:09d}.parquet"


def _write(frame: pl.DataFrame, path: Path) -> None:
    with atomic_path(path) as partial:
        frame.write_parquet(partial)
