"""Where work runs: this process, or local processes through Dask.

A stage that fans out hands ``map`` a module-level function and the list of its items, and takes
back ``(index, result)`` pairs as they are ready. Functions are pure: they may be run again when a
worker dies. Clusters come through the same door.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from morphoscope.errors import EngineError
from morphoscope.recipe import EngineSettings

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Engine", "cores", "open_engine"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(Protocol):
    """A place where work runs."""

    @property
    def workers(self) -> int:
        """Number of items that run at once."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Apply ``function`` to every item and yield ``(index, result)`` as they are ready."""

    def rest(self) -> None:
        """Give back cores and memory until the next ``map``."""


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class InlineEngine:
    """Runs in this process, one item after the other."""

    workers = 1

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result]]:
        for index, item in enumerate(items):
            yield index, function(item)

    def rest(self) -> None:
        pass


class DaskEngine:
    """Runs on the workers of a Dask cluster, which starts with the first ``map``."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = _start_local(self.workers)
        return self._client

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result]]:
        from distributed import KilledWorker, as_completed

        waiting = iter(enumerate(items))
        running: dict[Any, int] = {}
        # A few items a worker are in flight: enough to keep it busy, few enough to bound memory.
        ahead = [self._submit(function, pair) for _, pair in zip(range(4 * self.workers), waiting)]
        if not ahead:
            return
        running.update(ahead)
        completed = as_completed(list(running))
        try:
            for future in completed:
                index = running.pop(future)
                try:
                    result = future.result()
                except KilledWorker as error:
                    raise EngineError(
                        f"item {index} ended every worker that tried it ({error})",
                        do="look at that item; memory may be short",
                        index=index,
                    ) from error
                for pair in waiting:
                    fresh, number = self._submit(function, pair)
                    running[fresh] = number
                    completed.add(fresh)
                    break
                yield index, result
        finally:
            self.client.cancel(list(running))

    def _submit(
        self, function: Callable[[Item], Result], pair: tuple[int, Item]
    ) -> tuple[Any, int]:
        index, item = pair
        return self.client.submit(function, item, pure=False), index

    def rest(self) -> None:
        if self._client is not None:
            cluster = self._client.cluster
            self._client.close()
            if cluster is not None:
                cluster.close()
            self._client = None


# Bytes of free memory that a worker keeps, and from which on blocks are the system's own.
MEMORY = {"MALLOC_TRIM_THRESHOLD_": 1 << 26, "MALLOC_MMAP_THRESHOLD_": 1 << 25}


def _start_local(workers: int) -> Client:
    import logging

    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set({"distributed.worker.daemon": True})
    # Dask has the C library give all freed memory back at once, which workers that fill and free
    # images pay for page by page: they may keep as much as a few images take.
    dask.config.set({f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in MEMORY.items()})
    try:
        with _deaf_to_ctrl_c():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                # None would still ask for port 8787, and warn when a second run is on the machine.
                dashboard_address="127.0.0.1:0",
                memory_limit=0,
                # A worker says so when its scheduler closes first; what matters comes back as an
                # error.
                silence_logs=logging.CRITICAL,
            )
    except RuntimeError as error:
        raise EngineError(
            f"the {workers} worker processes did not start ({error})",
            do="in a script, call this under `if __name__ == '__main__':`; "
            "or set engine.kind to inline",
        ) from error
    return Client(cluster)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let workers that start now leave it to this process what Ctrl-C means."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def open_engine(settings: EngineSettings) -> Iterator[Engine]:
    """Open the engine that the settings name; closed on leaving."""
    workers = settings.workers or cores()
    if settings.kind == "inline" or workers == 1:
        yield InlineEngine()
        return
    engine = DaskEngine(workers)
    try:
        yield engine
    finally:
        engine.rest()
