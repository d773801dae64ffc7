"""Ctrl-C and SIGTERM, heard where the state is whole."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from morphoscope.engine import OutOfTimeError, deadline

__all__ = ["Interrupt"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What `heard` says once the job is near its time limit, as if the system had.
TIME_IS_UP = int(signal.SIGXCPU)


class Interrupt:
    """Context in which the first Ctrl-C or SIGTERM only sets ``received``.

    A second one acts at once. Outside the main thread, which alone hears signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def heard(self) -> int:
        """The signal that was received, or that the job's time is up; 0: neither."""
        return self.received or (TIME_IS_UP if time.time() >= deadline() else 0)

    def leave(self) -> None:
        """Raise what the signal means."""
        if self.received == TIME_IS_UP:
            raise OutOfTimeError("the job is near its time limit")
        if self.received == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
