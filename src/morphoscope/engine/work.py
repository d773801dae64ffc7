"""What happens on a worker: a task is tried, and what is the worker's own fault is told apart.

A full disk, a file system that is away and a job that is near its end are no faults of a task: it
is tried again elsewhere. What the task itself raises goes back to who asked.
"""

from __future__ import annotations

import errno
import faulthandler
import fcntl
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphoscope import __version__
from morphoscope.engine.activity import here
from morphoscope.errors import DiskSpaceError, EngineError
from morphoscope.source_code import package_digest

__all__ = [
    "blames_worker",
    "DEADLINE",
    "OTHER_CODE",
    "OUT_OF_TIME",
    "Done",
    "OutOfTimeError",
    "Tried",
    "attempt",
    "deadline",
    "exclusive",
]

# Seconds since 1970 from which on a worker begins nothing more.
DEADLINE = "MORPHOSCOPE_DEADLINE"
FULL = (errno.ENOSPC, errno.EDQUOT)
AWAY = (
    *(errno.EIO, errno.ESTALE, errno.EROFS, errno.ETIMEDOUT, errno.ENOTCONN),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH),
)
LOOK_S = 1.0
# So long what another process has is waited for; the first wait, each next one twice as long.
GIVEN_UP_S, FIRST_PAUSE_S = 900.0, 0.01
# So long a worker that takes no more tasks stays, for its last result to be fetched.
LEAVE_S = 2.0
OUT_OF_TIME = "out of time"
OTHER_CODE = "it runs other code of this package"


class OutOfTimeError(Exception):
    """A task has saved its state because its job is near its time limit; it wants to go on."""


@dataclass(frozen=True)
class Tried:
    """How a task is tried.

    Attributes
    ----------
    watched
        Files and folders that must be there, before and after.
    away_s
        Longest wait for them (s).
    limit_s
        Longest time of the task (s); 0: any.
    code
        Digest of this package as whoever asks has it; empty: any will do.
    """

    watched: tuple[Path, ...] = ()
    away_s: float = 0.0
    limit_s: float = 0.0
    code: str = ""


@dataclass(frozen=True)
class Done:
    """What became of a try.

    Attributes
    ----------
    result
        Of the task, where ``trouble`` is empty.
    trouble
        Why the worker could not do it: ``out of time``, or a sentence.
    error
        That of the worker.
    worker, address
        Node and process; address in Dask's network, empty elsewhere.
    began, seconds
        When (s since 1970), and for how long.
    """

    result: Any
    trouble: str
    error: BaseException | None
    worker: str
    address: str
    began: float
    seconds: float


@contextmanager
def exclusive(path: Path, wait_s: float = GIVEN_UP_S) -> Iterator[None]:
    """Wait until no other process has the lock file, as a worker that was given up too early.

    Raises
    ------
    EngineError
        Another one still has it after ``wait_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end, pause_s = time.monotonic() + wait_s, FIRST_PAUSE_S
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise EngineError(
                        f"another process has had {path} for {wait_s:g} s",
                        expected="that a worker which was given up ends",
                        do="end its job or process, then call the same command again",
                    ) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_S)
        yield


def deadline() -> float:
    """Seconds since 1970 at which this worker's job is near its end; infinite where it has none."""
    return float(os.environ.get(DEADLINE, "inf"))


def attempt(function: Callable[[Any], Any], item: Any, tried: Tried) -> Done:
    """Run a task on this worker."""
    began = time.time()

    def done(result: Any = None, trouble: str = "", error: BaseException | None = None) -> Done:
        return Done(result, trouble, error, here(), _address(), began, time.time() - began)

    if tried.code and tried.code != package_digest():
        return done(trouble=f"{OTHER_CODE} (version {__version__}, {package_digest()[:8]})")
    if began >= deadline():
        _leave()
        return done(trouble=OUT_OF_TIME)
    for _ in range(2):
        absent = _wait_for(tried)
        if absent:
            return done(trouble=f"{absent} is away")
        watch = _Watch(tried)
        try:
            with watch:
                result = _within(tried.limit_s, function, item)
        except OutOfTimeError:
            _leave()
            return done(trouble=OUT_OF_TIME)
        except Exception as error:
            if not blames_worker(error):
                raise
            return done(trouble=f"{type(error).__name__}: {error}", error=error)
        # What went away meanwhile may have passed for images that are not there.
        if not watch.missed and not _absent(tried):
            return done(result)
    return done(trouble=f"{_absent(tried) or 'a shared folder'} comes and goes")


class _Watch:
    """Context that looks, while a task runs, whether something watched is away for a moment."""

    def __init__(self, tried: Tried) -> None:
        self.missed = False
        self._tried, self._over = tried, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        if self._tried.watched:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._tried.watched:
            self._thread.join(LOOK_S)

    def _look(self) -> None:
        while not self._over.wait(LOOK_S / 2):
            self.missed = self.missed or _absent(self._tried) is not None


def _address() -> str:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return ""


def _leave() -> None:
    """Take no further task: the job is near its end, and another one takes its place."""
    from distributed import get_worker

    worker = get_worker()
    leave = functools.partial(worker.close_gracefully, reason="time limit")
    worker.loop.add_callback(worker.loop.call_later, LEAVE_S, leave)


def _within(limit_s: float, function: Callable[[Any], Any], item: Any) -> Any:
    """Run a task; after its time the whole process ends, whatever it hangs in."""
    if not limit_s:
        return function(item)
    faulthandler.dump_traceback_later(limit_s, exit=True, file=sys.__stderr__ or 2)
    try:
        return function(item)
    finally:
        faulthandler.cancel_dump_traceback_later()


def blames_worker(error: BaseException | None) -> bool:
    """Whether the disk or the file system of the worker is to blame, at any depth."""
    while error is not None:
        if isinstance(error, DiskSpaceError):
            return True
        if isinstance(error, OSError) and error.errno in (*FULL, *AWAY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _wait_for(tried: Tried) -> Path | None:
    """What stays away longer than it may."""
    end = time.monotonic() + tried.away_s
    while absent := _absent(tried):
        if time.monotonic() >= end:
            return absent
        time.sleep(LOOK_S)
    return None


def _absent(tried: Tried) -> Path | None:
    """The first of the watched that is not there; the empty place of a mount counts as such."""
    for path in tried.watched:
        try:
            if path.is_dir():
                with os.scandir(path) as entries:
                    if next(entries, None) is not None:
                        continue
            elif path.exists():
                continue
        except OSError:
            pass
        return path
    return None
