"""Workers as pods of Kubernetes, through dask-kubernetes and its operator."""

from __future__ import annotations

import uuid
from typing import Any

from morphoscope.engine.dask_client import ConnectedWorkers, configure
from morphoscope.engine.places import CORES
from morphoscope.engine.queues import MEMORY
from morphoscope.errors import EngineError, MissingDependencyError
from morphoscope.recipe import EngineSettings

__all__ = ["PodWorkers", "pod_settings"]


class PodWorkers(ConnectedWorkers):
    """Pods, which Kubernetes starts anew when they die.

    The operator of Dask must run there, and the image hold this package; the run folder and the
    data are volumes that the image's pods see at the same path as this process does.

    Raises
    ------
    MissingDependencyError
        dask-kubernetes is not installed.
    EngineError
        Kubernetes does not start the cluster.
    """

    def __init__(self, settings: EngineSettings, workers: int) -> None:
        try:
            from dask_kubernetes.operator import KubeCluster
        except ImportError as error:
            raise MissingDependencyError(
                "engine.kind = 'kubernetes' needs dask-kubernetes, which is not installed",
                do="pip install dask-kubernetes",
            ) from error
        configure(settings.silent_s)
        self.patience_s, self._wanted = settings.start_s, workers
        try:
            self._cluster = KubeCluster(**pod_settings(settings, workers))
            self.client = self._cluster.get_client()
        # Of the client of Kubernetes, whose errors have no common base.
        except Exception as error:
            if getattr(self, "_cluster", None) is not None:
                self._cluster.close()
            raise EngineError(
                f"Kubernetes does not start the cluster ({type(error).__name__}: {error})",
                do="see that kubectl reaches it and that Dask's operator runs there",
            ) from error

    def want(self, workers: int) -> None:
        """Have at least so many pods from now on."""
        if workers > self._wanted:
            self._wanted = workers
            self._cluster.scale(workers)

    def close(self) -> None:
        """End all pods."""
        super().close()
        self._cluster.close()


def pod_settings(settings: EngineSettings, workers: int) -> dict[str, Any]:
    """What dask-kubernetes is told.

    Parameters
    ----------
    settings
        Of the engine, with the resources of the stage.
    workers
        How many.
    """
    cores, memory = settings.cores or 1, settings.memory or MEMORY
    asked: dict[str, str] = {"cpu": str(cores), "memory": _kubernetes_memory(memory)}
    if settings.gpus:
        asked["nvidia.com/gpu"] = str(settings.gpus)
    return {
        "name": f"morphoscope-{uuid.uuid4().hex[:8]}",
        "image": settings.image,
        "n_workers": workers,
        "resources": {"requests": asked, "limits": asked},
        "env": {"OMP_NUM_THREADS": str(cores), CORES: str(cores)},
        # One task at a time, which may use all cores.
        "worker_command": ["dask-worker", "--nthreads", "1"],
        "quiet": True,
    }


def _kubernetes_memory(memory: str) -> str:
    """The amount as Kubernetes writes it, as ``8000M`` for 8GB."""
    from dask.utils import parse_bytes

    return f"{int(parse_bytes(memory)) // 1_000_000}M"
