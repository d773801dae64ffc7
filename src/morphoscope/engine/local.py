"""Worker processes of this machine."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from morphoscope.engine.dask_client import ConnectedWorkers, configure
from morphoscope.errors import EngineError

__all__ = ["LocalWorkers"]

# Bytes of free memory that a worker keeps, and from which on blocks are the system's own.
MEMORY = {"MALLOC_TRIM_THRESHOLD_": 1 << 26, "MALLOC_MMAP_THRESHOLD_": 1 << 25}


class LocalWorkers(ConnectedWorkers):
    """Processes of this machine, started anew when they die.

    Raises
    ------
    EngineError
        They do not start.
    """

    def __init__(self, workers: int, silent_s: float) -> None:
        import dask
        from distributed import Client, LocalCluster

        configure(silent_s)
        # Dask has the C library give all freed memory back at once, which workers that fill and
        # free images pay for page by page: they may keep as much as a few images take.
        dask.config.set({f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in MEMORY.items()})
        try:
            with _deaf_to_ctrl_c():
                self._cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    # None would still ask for port 8787, and warn when a second run is on the
                    # machine.
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,
                    # A worker says so when its scheduler closes first; what matters comes back as
                    # an error.
                    silence_logs=logging.CRITICAL,
                )
        except RuntimeError as error:
            raise EngineError(
                f"the {workers} worker processes did not start ({error})",
                do="in a script, call this under `if __name__ == '__main__':`; "
                "or set engine.kind to inline",
            ) from error
        self.client = Client(self._cluster)

    def avoid(self, worker: str, address: str) -> None:
        """Nothing: what one process of this machine cannot do, the others cannot either."""

    def close(self) -> None:
        """End the processes."""
        super().close()
        self._cluster.close()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let workers that start now, or later in their place, leave Ctrl-C to this process.

    Polars takes the signal even where it is ignored; one that is blocked never comes.
    """
    # Its start, which that of the first worker would bring, lets the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
