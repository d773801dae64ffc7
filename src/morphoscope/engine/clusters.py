"""A Dask cluster that runs: its connection, its workers, and what keeps it whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from morphoscope.engine.activity import Activity
from morphoscope.recipe import EngineSettings

__all__ = ["Cluster", "start"]


class Cluster(Protocol):
    """A cluster that runs.

    Attributes
    ----------
    client
        Connection to it.
    logs
        Folder of the logs of its jobs; empty where there is none.
    """

    client: Any
    logs: str

    @property
    def dashboard(self) -> str:
        """Address of Dask's own page."""

    def addresses(self) -> list[str]:
        """Addresses of the workers."""

    def at_work(self) -> dict[str, list[str]]:
        """Keys of the tasks that each worker has."""

    def mend(self) -> None:
        """Replace what was lost.

        Raises
        ------
        EngineError
            The scheduler is gone, or no worker can be started.
        """

    def require_alive(self, error: BaseException | None) -> None:
        """Raise what is known of the cluster's end, if that is what an error comes from."""

    def avoid(self, worker: str, address: str) -> None:
        """Give the next tasks to other workers than this one (``node:process``)."""

    def want(self, workers: int) -> None:
        """Have so many workers from now on, if that is for this process to say."""

    def cancel(self, futures: list[Any]) -> None:
        """Leave tasks undone."""

    def close(self) -> None:
        """Give all back."""


def start(
    settings: EngineSettings, workers: int, activity: Activity, seen: Sequence[Path] = ()
) -> Cluster:
    """Start workers, or join those that run; in containers they must see some folders.

    Raises
    ------
    EngineError
        They do not start, or run other code.
    MissingDependencyError
        A package is not installed.
    """
    if settings.kind == "local":
        from morphoscope.engine.local import LocalWorkers

        return LocalWorkers(workers, settings.silent_s)
    if settings.kind == "address":
        from morphoscope.engine.joined import JoinedWorkers

        return JoinedWorkers(settings.address, settings.away_s)
    if settings.kind == "kubernetes":
        from morphoscope.engine.pods import PodWorkers

        return PodWorkers(settings, workers)
    from morphoscope.engine.queues import QueuedWorkers

    return QueuedWorkers(settings, workers, activity, seen)
