"""The workers of a Dask scheduler that somebody else has started."""

from __future__ import annotations

from contextlib import suppress

from morphoscope.engine.dask_client import ConnectedWorkers, configure
from morphoscope.errors import EngineError
from morphoscope.source_code import package_digest

__all__ = ["JoinedWorkers"]

CONNECT_S = 10


class JoinedWorkers(ConnectedWorkers):
    """Workers that run already, and go on running afterwards.

    Raises
    ------
    EngineError
        Nothing answers at the address, there are no workers, they do several tasks at once, or
        they run other code.
    """

    def __init__(self, address: str, patience_s: float) -> None:
        from distributed import Client

        configure()
        self.patience_s = patience_s
        try:
            self.client = Client(address, timeout=CONNECT_S)
        except (OSError, ValueError, ImportError) as error:
            raise EngineError(
                f"no scheduler of Dask answers at {address} ({error})",
                expected="an address as tcp://host:8786",
                do="start one with `dask scheduler`, and workers with `dask worker ADDRESS`",
            ) from error
        try:
            self._require_fit(address)
        except BaseException:
            self.close()
            raise

    def avoid(self, worker: str, address: str) -> None:
        """Nothing: whoever started the worker sees to it; another try may go elsewhere."""

    def _require_fit(self, address: str) -> None:
        with suppress(TimeoutError):
            self.client.wait_for_workers(1, timeout=CONNECT_S)
        if not self.addresses():
            raise EngineError(
                f"the scheduler at {address} has no workers",
                do=f"start some: `dask worker {address} --nthreads 1`",
            )
        several = {at: n for at, n in self.client.nthreads().items() if n > 1}
        if several:
            worker, n = next(iter(several.items()))
            raise EngineError(
                f"the worker {worker} of {address} does {n} tasks at once",
                expected="one, which may use all cores of its worker",
                do=f"start it with `dask worker {address} --nthreads 1`",
            )
        try:
            found = self.client.run(package_digest)
        except Exception as error:
            raise EngineError(
                f"the workers of {address} cannot run this package ({error})",
                do="install the same morphoscope where they run",
            ) from error
        others = [worker for worker, digest in found.items() if digest != package_digest()]
        if others:
            raise EngineError(
                f"{len(others)} of {len(found)} workers of {address} run other code, "
                f"the first is {others[0]}",
                do="install the same morphoscope there, then start them again",
            )
