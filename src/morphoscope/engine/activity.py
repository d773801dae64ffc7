"""What ran where: one line of JSON an event, appended to ``activity.jsonl`` of a run folder.

It is written by the process that leads the run, and can be read by any other meanwhile. Losing it
loses no result.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["FILE", "Activity", "here", "read_activity"]

FILE = "activity.jsonl"
# Longest text of why something was tried again.
LONGEST = 500


def here() -> str:
    """Name of this process: node and number; a batch system names the nodes."""
    return f"{os.environ.get('SLURMD_NODENAME') or socket.gethostname()}:{os.getpid()}"


class Activity:
    """Notes what an engine does.

    Parameters
    ----------
    folder
        Where; None: nothing is noted.

    Attributes
    ----------
    folder
        The same.
    stage
        For which stage work is done now.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._cut = folder is not None and _is_cut(folder / FILE)
        self._path = None if folder is None else folder / FILE
        self.stage = ""

    def note(self, what: str, **facts: Any) -> None:
        """Note one event, at this moment."""
        if self._path is None:
            return
        line = {"time": round(time.time(), 3), "what": what, "stage": self.stage, **facts}
        try:
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write(("\n" if self._cut else "") + json.dumps(line) + "\n")
            self._cut = False
        except OSError:
            # The disk is full, or away: the work itself says so where it matters.
            return

    @contextmanager
    def mapping(self, items: Iterable[Any]) -> Iterator[None]:
        """Note the beginning and the end of a map."""
        self.note("begin", tasks=len(items) if isinstance(items, Sized) else None)
        try:
            yield
        except GeneratorExit:
            self.note("failed", why="whoever wanted the results went away")
            raise
        except BaseException as error:
            self.note("failed", why=_short(error))
            raise
        self.note("end")

    def done(self, task: int, worker: str, began: float, seconds: float) -> None:
        """Note that a task is done."""
        self.note(
            "done", task=task, worker=worker, began=round(began, 3), seconds=round(seconds, 3)
        )

    def again(self, task: int, worker: str, why: str) -> None:
        """Note that a task is tried again."""
        self.note("again", task=task, worker=worker, why=_short(why))

    def alive(self, workers: Mapping[str, list[int]], dashboard: str) -> None:
        """Note which workers there are, and on what each is at work."""
        self.note("alive", workers=workers, dashboard=dashboard)


def _is_cut(path: Path) -> bool:
    """Whether a kill cut the last line off."""
    try:
        with path.open("rb") as handle:
            handle.seek(-1, os.SEEK_END)
            return handle.read(1) != b"\n"
    except OSError:
        return False


def _short(why: object) -> str:
    text = f"{type(why).__name__}: {why}" if isinstance(why, BaseException) else str(why)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def read_activity(folder: Path) -> list[dict[str, Any]]:
    """Events of a run folder, oldest first; none where there is no file.

    A last line that a kill cut off is left out.
    """
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except OSError:
        return []
    events = []
    for line in text.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
