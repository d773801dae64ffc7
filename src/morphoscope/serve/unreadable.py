"""Galaxies whose files could not be read lately: others come before them."""

from __future__ import annotations

import threading
import time

__all__ = ["Unreadable"]

# A file may come back, as when its disk is there again.
REMEMBERED_S = 300.0
# All of them are named in each question to the database for the next galaxies.
MOST = 1000


class Unreadable:
    """What could not be read in the last minutes, and why; used by several threads."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def note(self, name: str, why: str) -> None:
        """Remember that a galaxy's file cannot be read."""
        with self._lock:
            self._found.pop(name, None)
            self._found[name] = (time.monotonic(), why)
            while len(self._found) > MOST:
                self._found.pop(next(iter(self._found)))

    def forget(self, name: str) -> None:
        """Its file can be read."""
        with self._lock:
            self._found.pop(name, None)

    def lately(self) -> dict[str, str]:
        """Why each galaxy could not be read, by name, in the order of finding that."""
        oldest = time.monotonic() - REMEMBERED_S
        with self._lock:
            self._found = {name: one for name, one in self._found.items() if one[0] > oldest}
            return {name: why for name, (_, why) in self._found.items()}
