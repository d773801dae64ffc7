"""What all clusters of Dask have: a connection, workers to count, tasks to cancel."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from morphoscope.errors import EngineError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ConnectedWorkers", "configure"]

# So long after a worker is gone its job is ended, and another one asked for.
LOST = "60s"


# A task is given up after so many workers have died with it.
DEATHS = 3


def configure(silent_s: float = 60.0) -> None:
    """Set what Dask does for every cluster; what matters of its logs comes back as an error."""
    import dask

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set(
        {
            "distributed.worker.daemon": True,
            "distributed.scheduler.allowed-failures": DEATHS - 1,
            "distributed.scheduler.worker-ttl": f"{silent_s}s",
            "distributed.deploy.lost-worker-timeout": LOST,
        }
    )


class ConnectedWorkers:
    """A connection to a scheduler and its workers."""

    client: Client
    logs = ""
    # Longest time without a worker (s); 0: any, where who starts them sees to it.
    patience_s = 0.0
    _some = float("inf")

    @property
    def dashboard(self) -> str:
        """Address of Dask's own page; empty where its package is not installed."""
        with suppress(ImportError, KeyError, AttributeError):
            import bokeh  # noqa: F401

            return str(self.client.dashboard_link or "")
        return ""

    def addresses(self) -> list[str]:
        """Addresses of the workers."""
        return sorted(self._ask("scheduler_info", n_workers=-1)["workers"])

    def at_work(self) -> dict[str, list[str]]:
        """Keys of the tasks that each worker has."""
        return {str(at): list(keys) for at, keys in self._ask("processing").items()}

    def _ask(self, what: str, **words: Any) -> Any:
        try:
            return getattr(self.client, what)(**words)
        except TimeoutError as error:
            raise self._broken() from error
        except Exception as error:
            self.require_alive(error)
            raise

    def mend(self) -> None:
        """Raise where the scheduler is gone, or all workers are and none comes back."""
        self.require_alive(None)
        now = time.monotonic()
        if not self.patience_s or self.addresses():
            self._some = now
        elif now - self._some > self.patience_s:
            raise EngineError(
                f"Dask's scheduler at {self._address()} has had no workers for "
                f"{self.patience_s:g} s",
                do="start some, then call the same command again: what is done stays done",
            )

    def require_alive(self, error: BaseException | None) -> None:
        """Raise where the scheduler is gone, or an error says that the connection broke."""
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError

        broken = isinstance(error, FutureCancelledError | CommClosedError)
        if self.client.status == "running" and not broken:
            return
        raise self._broken() from error

    def _broken(self) -> EngineError:
        return EngineError(
            f"the connection to Dask's scheduler at {self._address()} is broken",
            do="start the scheduler again if it was yours, then call the same command again: "
            "what is done stays done",
        )

    def _address(self) -> str:
        scheduler = self.client.scheduler
        return str(scheduler.address) if scheduler is not None else "an unknown place"

    def avoid(self, worker: str, address: str) -> None:
        """Take a worker out of work; the scheduler gives its tasks to others."""
        if len(self.addresses()) > 1:
            self._ask("retire_workers", workers=[address], close_workers=True, remove=True)

    def want(self, workers: int) -> None:
        """Have so many workers from now on; here nobody but their owner says how many."""

    def cancel(self, futures: list[Any]) -> None:
        """Leave tasks undone."""
        with suppress(Exception):
            self.client.cancel(futures)

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self.client.close()
