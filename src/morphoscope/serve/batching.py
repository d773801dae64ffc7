"""Requests of many people to one model, answered together as they come.

A thread a model takes whatever waits, asks the model once, and hands each its own row. Nothing
waits for a batch to fill: while one batch is computed the next one gathers by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morphoscope.errors import OverloadError

__all__ = ["Batcher"]

# A request that took a model before it was replaced asks it by then, or never.
LINGER_S = 120.0

Ask = Callable[[NDArray[Any]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Waiting:
    image: NDArray[Any]
    future: asyncio.Future[NDArray[np.float32]]
    loop: asyncio.AbstractEventLoop


class Batcher:
    """One model's queue and the threads that serve it.

    Parameters
    ----------
    ask
        From images ``(n, channel, y, x)`` to answers ``(n, …)``.
    batch
        Most images asked at once.
    waiting
        Most images in the queue.
    workers
        Batches that are computed at once. Two of one CPU thread each outdo one of two threads:
        where other work takes a core, that one waits for its slower half (a seventh more images).
    seen
        Called with the size and the seconds of every batch.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        batch: int,
        waiting: int,
        workers: int = 1,
        seen: Callable[[int, float], None] = lambda n, seconds: None,
    ) -> None:
        self._ask, self._batch, self._most, self._seen = ask, batch, waiting, seen
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = self._retired = False
        self._threads = [
            threading.Thread(target=self._work, name="batcher", daemon=True) for _ in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._queue)

    async def ask(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Answer of one image, shape ``(…)``.

        Raises
        ------
        OverloadError
            As many wait as may.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[NDArray[np.float32]] = loop.create_future()
        with self._changed:
            if len(self._queue) >= self._most or self._closed:
                raise OverloadError(
                    f"{len(self._queue)} images are waiting for an answer",
                    expected=f"fewer than {self._most}",
                    do="try again in a moment",
                )
            self._queue.append(_Waiting(image, future, loop))
            self._changed.notify()
        return await future

    def retire(self) -> None:
        """End by itself, once nobody asks any more."""
        with self._changed:
            self._retired = True
            self._changed.notify_all()

    def close(self) -> None:
        """Answer what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=60)

    def _work(self) -> None:
        while taken := self._take():
            # Who has gone away is not computed for.
            alive = [one for one in taken if not one.future.cancelled()]
            if alive:
                self._together(alive)

    def _take(self) -> list[_Waiting]:
        """Wait for images; none when the queue is closed and empty."""
        with self._changed:
            while not self._queue and not self._closed:
                woken = self._changed.wait(LINGER_S if self._retired else None)
                self._closed |= self._retired and not woken
            n = min(self._batch, -(-len(self._queue) // len(self._threads)))
            return [self._queue.popleft() for _ in range(n)]

    def _together(self, taken: list[_Waiting]) -> None:
        """Ask for all at once; where that fails, one by one: only what is bad gets an error."""
        begun = time.perf_counter()
        try:
            rows = self._ask(np.stack([one.image for one in taken]))
            told = list(zip(taken, rows, strict=True))
        except Exception as error:
            if len(taken) > 1:
                for one in taken:
                    self._together([one])
            else:
                _tell(taken[0], _failed, error)
            return
        self._seen(len(taken), time.perf_counter() - begun)
        for one, row in told:
            _tell(one, _answered, row)


def _tell(one: _Waiting, how: Callable[..., None], what: object) -> None:
    # The loop may have ended with the server.
    with contextlib.suppress(RuntimeError):
        one.loop.call_soon_threadsafe(how, one.future, what)


def _answered(future: asyncio.Future[Any], row: NDArray[np.float32]) -> None:
    if not future.done():
        future.set_result(row)


def _failed(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
