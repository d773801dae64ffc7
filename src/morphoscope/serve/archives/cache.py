"""What was fetched, kept on disk for a while; and equal requests at one time, asked once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from morphoscope.catalog import atomic_path
from morphoscope.errors import DiskSpaceError
from morphoscope.progress import say

__all__ = ["DAY_S", "DiskCache", "Entry", "Flights", "key_of"]

DAY_S = 86400.0
SUFFIX = ".entry"
# What is left when the oldest have gone: not each new entry looks through the folder.
LEFT = 0.9

Result = TypeVar("Result")


def key_of(kind: str, request: str) -> str:
    """Name of a request: its SHA-256."""
    return hashlib.sha256(f"{kind} {request}".encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """An answer.

    Attributes
    ----------
    facts
        What is known of it; as JSON holds it.
    content
        Its bytes.
    """

    facts: dict[str, Any]
    content: bytes = b""


class DiskCache:
    """Answers on disk, one file each: written whole or not at all, the oldest leave first.

    Parameters
    ----------
    folder
        Where they are; made when the first comes.
    largest_bytes
        Their room; 0: none is kept.
    clock
        Time (s since 1970).

    Notes
    -----
    A damaged entry, or one that cannot be read or written, is none: the cache saves requests, it
    never is a reason to fail. Methods may be called from several threads of one process.
    """

    def __init__(
        self, folder: Path, largest_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._largest, self._clock = folder, largest_bytes, clock
        self._lock = threading.Lock()
        self._size: int | None = None
        self._told = False

    def get(self, key: str) -> Entry | None:
        """Entry of a request; None where there is none, or its time is over."""
        path = self._path(key)
        try:
            head, _, content = path.read_bytes().partition(b"\n")
            note = json.loads(head)
            fresh = self._clock() < note["until"]
            true = hashlib.sha256(content).hexdigest() == note["sha256"]
            facts = dict(note["facts"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return Entry(facts, content) if fresh and true else None

    def put(self, key: str, entry: Entry, lasts_s: float) -> None:
        """Keep an entry for some seconds, if there is room for it."""
        note = {
            "until": self._clock() + lasts_s,
            "sha256": hashlib.sha256(entry.content).hexdigest(),
            "facts": entry.facts,
        }
        data = json.dumps(note).encode() + b"\n" + entry.content
        if lasts_s <= 0 or len(data) > self._largest:
            return
        try:
            with self._lock:
                self._write(self._path(key), data)
        except (OSError, DiskSpaceError) as error:
            self._tell(error)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}{SUFFIX}"

    def _write(self, path: Path, data: bytes) -> None:
        if self._size is None:
            self._clean()
            self._size = sum(size for _, size, _ in self._entries())
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        # Too much where an entry is replaced; it is counted anew before anything leaves.
        self._size += len(data)
        if self._size > self._largest:
            self._make_room(path)

    def _make_room(self, newest: Path) -> None:
        entries = sorted(self._entries())
        size = sum(size for _, size, _ in entries)
        for _, one, path in entries:
            if size <= LEFT * self._largest:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                size -= one
        self._size = size

    def _entries(self) -> list[tuple[int, int, Path]]:
        """Time of writing (ns), size and path of each."""
        found = []
        for path in self._folder.glob(f"*/*{SUFFIX}"):
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size, path))
        return found

    def _clean(self) -> None:
        """Remove what a process left half-written when it was killed."""
        for path in self._folder.glob(f"*/.*{SUFFIX}.*.partial"):
            path.unlink(missing_ok=True)

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            say(f"fetched cutouts are not kept: {error}")


@dataclass
class _Flight(Generic[Result]):
    task: asyncio.Task[Result]
    waiting: int = field(default=0)


class Flights(Generic[Result]):
    """Equal requests at one time are asked once, and all get its answer or its error.

    It ends only when nobody waits for it any more.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[Result]] = {}

    async def once(self, key: str, make: Callable[[], Awaitable[Result]]) -> Result:
        """Result of ``make``, or of the like of it that is already under way."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(self._land(key, make)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._forget(key, flight.task)
                flight.task.cancel()

    async def _land(self, key: str, make: Callable[[], Awaitable[Result]]) -> Result:
        try:
            return await make()
        finally:
            self._forget(key, asyncio.current_task())

    def _forget(self, key: str, task: asyncio.Task[Any] | None) -> None:
        """Let go of a flight, and of no later one of its key."""
        if key in self._flights and self._flights[key].task is task:
            del self._flights[key]
