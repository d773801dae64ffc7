"""What works on a run, as it goes."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from morphoscope.errors import StageError
from morphoscope.watching.summary import Map, Summary

__all__ = ["watch"]

EVERY_S, LOG_EVERY_S = 1.0, 10.0
TROUBLES = 5


def watch(folder: Path) -> None:
    """Show what works on a run until nothing does.

    Raises
    ------
    StageError
        There is no such folder, or nothing has worked in it.
    """
    console = Console(highlight=False)
    view = _view(folder)
    if not console.is_terminal:
        while _is_led(folder):
            console.print(view, soft_wrap=True)
            time.sleep(LOG_EVERY_S)
            view = _view(folder)
        console.print(view, soft_wrap=True)
        return
    with Live(view, console=console, auto_refresh=False) as live:
        while _is_led(folder):
            began = time.monotonic()
            live.update(_view(folder), refresh=True)
            # Of a long run a look takes seconds.
            time.sleep(max(EVERY_S, 3 * (time.monotonic() - began)))
        live.update(_view(folder), refresh=True)


def _is_led(folder: Path) -> bool:
    """Whether a process works in the folder: it holds the lock."""
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _view(folder: Path) -> Group:
    from morphoscope.engine.activity import read_activity
    from morphoscope.watching import summarize

    events = read_activity(folder)
    if not events:
        raise StageError(
            f"{folder} does not say what works there",
            expected="a run folder, as runs/simulated, in which work has begun",
            do="check the path",
        )
    summary = summarize(events)
    parts = [Text(f"{folder}: {'at work' if _is_led(folder) else 'nothing works here now'}")]
    if summary.dashboard and summary.workers:
        parts.append(Text(f"Dask's own page: {summary.dashboard}"))
    return Group(*parts, _maps(folder, summary), *_workers(summary), *_troubles(summary))


def _maps(folder: Path, summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "state", "tasks", "rate", "left", "again"):
        table.add_column(heading, justify="left" if heading in ("stage", "state") else "right")
    led = _is_led(folder)
    for one in _last_of_each(summary):
        total = "?" if one.tasks is None else f"{one.tasks:,}"
        rate = f"{one.per_s:,.2f}/s" if one.per_s else ""
        left = f"{one.left_s:,.0f} s" if led and one.left_s is not None else ""
        done = f"{len(one.done):,} of {total}"
        state = Text(_state(one, led=led))
        table.add_row(one.stage, state, done, rate, left, str(len(one.again) or ""))
    return table


def _last_of_each(summary: Summary) -> list[Map]:
    last = {one.stage: one for one in summary.maps}
    return sorted(last.values(), key=lambda one: one.began)


def _state(one: Map, *, led: bool) -> str:
    if one.failed:
        return f"failed: {one.failed}"
    if one.ended is not None:
        return "done"
    return "at work" if led else "cut off"


def _workers(summary: Summary) -> list[Table]:
    if not summary.workers:
        return []
    table = Table(box=None, pad_edge=False)
    table.add_column("worker")
    table.add_column("has the tasks")
    for worker, tasks in sorted(summary.workers.items()):
        table.add_row(worker, ", ".join(map(str, tasks)) or "none")
    return [table]


def _troubles(summary: Summary) -> list[Text]:
    again = [
        f"task {one.task} of {one.stage} again: {one.why}"
        for one in summary.tried_again[-TROUBLES:]
    ]
    return [Text(words) for words in (*again, *summary.lost[-TROUBLES:])]
