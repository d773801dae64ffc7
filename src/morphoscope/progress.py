"""Progress of long work on standard error: a bar with rate and time left, quiet in logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["hushed", "progress", "say"]

LOG_EVERY_S = 30.0
console = Console(stderr=True, highlight=False, soft_wrap=True)
quiet = ContextVar("quiet", default=False)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(_rate(speed) if speed else "")


def say(message: str, *, style: str = "") -> None:
    """Tell the person at the terminal one thing, on standard error."""
    if quiet.get():
        return
    console.print(message, style=style or None, markup=False)


def _rate(per_second: float) -> str:
    """How fast, in a unit in which it is no small number: ``41.3/s``, ``38/h``."""
    return f"{per_second:,.1f}/s" if per_second >= 0.1 else f"{3600 * per_second:,.0f}/h"


@contextmanager
def hushed() -> Iterator[None]:
    """Say nothing and show no progress meanwhile: what goes on is a part of other work."""
    before = quiet.set(True)
    try:
        yield
    finally:
        quiet.reset(before)


@contextmanager
def progress(what: str, total: int, *, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show progress; yields a function that takes how many more are done.

    On a terminal a bar is drawn; elsewhere a line is written every half minute.
    """
    if quiet.get():
        yield lambda n: None
        return
    if console.is_terminal:
        columns = (
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total, completed=done)
            yield lambda n: bar.advance(task, n)
        return
    yield _LineLog(what, total, done)


class _LineLog:
    def __init__(self, what: str, total: int, done: int) -> None:
        self.what, self.total, self.done = what, total, done
        self.first = done
        self.began = self.last = time.monotonic()

    def __call__(self, n: int) -> None:
        self.done += n
        now = time.monotonic()
        if now - self.last >= LOG_EVERY_S:
            self.last = now
            rate = (self.done - self.first) / (now - self.began)
            left = (self.total - self.done) / rate if rate else float("inf")
            print(
                f"{self.what}: {self.done:,} of {self.total:,}, {_rate(rate)}, {left:,.0f} s left",
                file=sys.stderr,
                flush=True,
            )
