"""Workers as jobs of a batch system: Slurm, PBS or HTCondor, through dask-jobqueue."""

from __future__ import annotations

import logging
import math
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from morphoscope.engine.activity import Activity
from morphoscope.engine.containers import handing_on, python_inside
from morphoscope.engine.dask_client import ConnectedWorkers, configure
from morphoscope.engine.places import CORES
from morphoscope.engine.work import DEADLINE
from morphoscope.errors import EngineError, MissingDependencyError
from morphoscope.progress import say
from morphoscope.recipe import EngineSettings
from morphoscope.recipe.engine import seconds_of

__all__ = ["QueuedWorkers", "cluster_class", "job_settings"]

CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "htcondor": "HTCondorCluster"}
SUBMITS = {"slurm": "sbatch", "pbs": "qsub", "htcondor": "condor_submit"}
MEMORY, WALLTIME = "4GB", "1:00:00"
LOGS = ".jobs"
KEYS = ("_job_ca_file", "_job_cert", "_job_key")
# Before the time limit of a job its worker begins nothing more: a fifth of it, at most so long.
MARGIN_S = 300
# Jobs that end before their worker comes, until it is taken for a fault; and the wait between.
MOST_LOST = 3
AGAIN_S, LONGEST_WAIT_S = 5.0, 60.0
# So long nodes whose disk was full are left out while no other worker comes.
SHUNNED_S = 60.0
LOG_LINES = 8


class QueuedWorkers(ConnectedWorkers):
    """Jobs, each with one worker; lost ones are replaced.

    Parameters
    ----------
    settings
        What a job asks for.
    workers
        How many.
    activity
        Its folder takes the logs of the jobs.
    seen
        Files and folders that workers in containers must see.

    Raises
    ------
    MissingDependencyError
        dask-jobqueue is not installed.
    EngineError
        The batch system is not there, or refuses the jobs.
    """

    def __init__(
        self,
        settings: EngineSettings,
        workers: int,
        activity: Activity,
        seen: Sequence[Path] = (),
    ) -> None:
        from distributed import Client, Security

        self._settings, self._wanted, self._activity = settings, workers, activity
        if shutil.which(SUBMITS[settings.kind]) is None:
            raise EngineError(
                f"there is no {SUBMITS[settings.kind]} here",
                expected=f"a machine from which {settings.kind} takes jobs",
                do="log in where you submit jobs, or set engine.kind to local",
            )
        configure(settings.silent_s)
        folder = (activity.folder or Path.cwd()).absolute() / LOGS
        folder.mkdir(parents=True, exist_ok=True)
        self.logs = str(folder)
        self._refused: list[str] = []
        self._shunned: dict[str, float] = {}
        self._lost, self._came = 0, False
        # Names of workers that have come since their jobs were asked for.
        self._arrived: set[str] = set()
        self._began = self._looked = time.monotonic()
        self._wait_s = AGAIN_S
        kind = cluster_class(settings.kind)
        self._cluster = kind(
            job_cls=_submitting(kind.job_cls, self._refused, self._shunned),
            security=Security.temporary(),
            shared_temp_directory=self.logs,
            scheduler_options={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
            **job_settings(settings, folder, seen),
        )
        self._cluster.scheduler.add_plugin(_arrivals(self._arrived))
        self.client = Client(self._cluster)
        self._cluster.scale(workers)
        say(f"{workers} jobs are asked of {settings.kind}; their logs: {self.logs}")

    @property
    def dashboard(self) -> str:
        """Address of Dask's own page: on this machine alone, where the scheduler is."""
        found = super().dashboard
        return found and f"http://127.0.0.1:{urlsplit(found).port}/status"

    def mend(self) -> None:
        """Send jobs again whose workers are gone; raise where that is in vain."""
        super().mend()
        now = time.monotonic()
        if now - self._looked < self._wait_s:
            return
        self._looked = now
        here = self._cluster.scheduler_info["workers"]
        names = {str(worker["name"]) for worker in here.values()}
        if self._arrived:
            self._came = True
        if names:
            self._lost = 0
        self._forget_lost(names)
        self._require_hope(bool(names), now)
        # Nodes are only left out where others do the work.
        if not names and self._shunned and now - max(self._shunned.values()) > SHUNNED_S:
            self._shunned.clear()
            # Those that wait were asked for without these nodes.
            self._cluster.scale(0)
        self._cluster.scale(self._wanted)

    def _forget_lost(self, names: set[str]) -> None:
        """Have Dask forget jobs that were refused, or ended before their worker came."""
        known = _known_jobs(self._settings.kind)
        waiting = {
            name: job for name, job in self._cluster.workers.items() if str(name) not in names
        }
        gone = [
            name
            for name, job in waiting.items()
            if job.job_id is None or (known is not None and str(job.job_id) not in known)
        ]
        for name in gone:
            job_id = waiting[name].job_id
            if job_id is None or str(name) in self._arrived:
                # It was refused; or did its work, and has ended. Another one takes its place.
                self._arrived.discard(str(name))
                continue
            self._lost += 1
            self._activity.note("job", why=f"job {job_id} ended before its worker came")
        if gone:
            self._cluster.sync(self._forget, gone)

    async def _forget(self, names: list[Any]) -> None:
        for name in names:
            self._cluster.workers.pop(name, None)

    def _require_hope(self, some: bool, now: float) -> None:
        settings = self._settings
        accepted = any(job.job_id is not None for job in self._cluster.workers.values())
        # A site may take fewer jobs than are wanted: ask less and less often.
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S) if self._refused else AGAIN_S
        if self._refused and not self._came and not accepted:
            raise EngineError(
                f"{settings.kind} refuses the jobs: {self._refused[-1]}",
                do="mend engine.partition, account, walltime, memory or directives",
            )
        if self._refused and now - self._began > settings.away_s and not some:
            raise EngineError(
                f"{settings.kind} takes no more jobs: {self._refused[-1]}",
                do="call the same command again when it does: what is done stays done",
            )
        if not some and self._lost >= MOST_LOST:
            raise EngineError(
                f"{self._lost} jobs ended before their worker came{self._last_words()}",
                do=f"look at the logs in {self.logs}; engine.python and engine.prologue decide "
                "what a job runs",
            )
        if settings.start_s and not self._came and now - self._began > settings.start_s:
            raise EngineError(
                f"no worker has come within engine.start_s = {settings.start_s:g} s",
                do=f"look at the queue and at the logs in {self.logs}, or wait longer",
            )
        if some:
            self._began = now
        if self._refused:
            self._activity.note("job", why=f"a job was refused: {self._refused[-1]}")
            if some:
                self._refused.clear()

    def _last_words(self) -> str:
        """End of the newest log."""
        logs = sorted(Path(self.logs).glob("*.err"), key=lambda path: path.stat().st_mtime)
        text = logs[-1].read_text(errors="replace").strip() if logs else ""
        return f"; the last said: {' | '.join(text.splitlines()[-LOG_LINES:])}" if text else ""

    def want(self, workers: int) -> None:
        """Have at least so many workers from now on; more jobs are asked for, none is ended."""
        if workers > self._wanted:
            self._wanted = workers
            self._cluster.scale(workers)

    def avoid(self, worker: str, address: str) -> None:
        """End a worker, and send no further job to its node while others work."""
        if self._settings.kind == "slurm":
            self._shunned[worker.rpartition(":")[0]] = time.monotonic()
        super().avoid(worker, address)

    def close(self) -> None:
        """End all jobs."""
        super().close()
        with suppress(Exception):
            # What becomes of jobs that nobody can end now: their workers go without a leader.
            self._cluster.close()
        # dask-jobqueue leaves the keys of the connections to whoever collects its garbage.
        for name in KEYS:
            if key := getattr(self._cluster, name, None):
                key.close()


def job_settings(settings: EngineSettings, logs: Path, seen: Sequence[Path] = ()) -> dict[str, Any]:
    """What dask-jobqueue is told of a job.

    Parameters
    ----------
    settings
        Of the engine, with the resources of the stage.
    logs
        Folder for what a job says; there the keys of its connection lie too.
    seen
        Files and folders that a worker in a container must see.
    """
    python = settings.python
    if settings.container:
        # It may be there on the nodes alone.
        scratch = [settings.scratch] if settings.scratch else []
        there = settings.model_copy(update={"binds": [*settings.binds, *scratch]})
        # Logs lie in the folder of the run, or of the answers.
        python = shlex.join(python_inside(there, [Path.cwd(), logs.parent, *seen]))
    cores, memory = settings.cores or 1, settings.memory or MEMORY
    # HTCondor has no time limit unless a site sets one.
    walltime = settings.walltime or ("" if settings.kind == "htcondor" else WALLTIME)
    told: dict[str, Any] = {
        "cores": cores,
        "memory": memory,
        "processes": 1,
        # One task at a time, which may use all cores.
        "worker_extra_args": ["--nthreads", "1"],
        "job_name": "morphoscope",
        "job_script_prologue": [
            *([_deadline_of(walltime)] if walltime else []),
            f"export OMP_NUM_THREADS={cores} {CORES}={cores}",
            *settings.prologue,
            *handing_on(settings),
        ],
        "log_directory": str(logs),
        "local_directory": settings.scratch or None,
        "interface": settings.interface or None,
        "python": python or None,
    }
    if settings.kind == "htcondor":
        told |= {"disk": "1GB", "job_extra_directives": dict(_pairs(settings))}
        return told
    directives = [*_gpus(settings), *settings.directives]
    account = settings.account or None
    told |= {"queue": settings.partition or None, "job_extra_directives": directives}
    if settings.kind == "pbs":
        gibibytes = math.ceil(_bytes(memory) / 2**30)
        gpus = f":ngpus={settings.gpus}" if settings.gpus else ""
        told["resource_spec"] = f"select=1:ncpus={cores}:mem={gibibytes}gb{gpus}"
    return told | {"walltime": walltime, "account": account}


def _deadline_of(walltime: str) -> str:
    """Line of shell that tells a job when it is near its end."""
    limit_s = seconds_of(walltime)
    return f"export {DEADLINE}=$(($(date +%s) + {limit_s - min(MARGIN_S, limit_s // 5)}))"


def _bytes(memory: str) -> int:
    from dask.utils import parse_bytes

    return int(parse_bytes(memory))


def _gpus(settings: EngineSettings) -> list[str]:
    return [f"--gres=gpu:{settings.gpus}"] if settings.gpus and settings.kind == "slurm" else []


def _pairs(settings: EngineSettings) -> list[tuple[str, str]]:
    pairs = [tuple(part.strip() for part in one.split("=", 1)) for one in settings.directives]
    wrong = [one for one in settings.directives if "=" not in one]
    if wrong:
        raise EngineError(f"engine.directives has {wrong[0]!r}", expected="NAME = VALUE")
    gpus = [("request_gpus", str(settings.gpus))] if settings.gpus else []
    account = [("accounting_group", settings.account)] if settings.account else []
    return [*gpus, *account, *((one[0], one[1]) for one in pairs)]


def cluster_class(kind: str) -> Any:
    """The class of dask-jobqueue for a batch system."""
    before = signal.getsignal(signal.SIGINT)
    try:
        # It makes Ctrl-C a silent exit with code 0 (0.9.0, `runner.py`).
        import dask_jobqueue
    except ImportError as error:
        raise MissingDependencyError(
            f"engine.kind = {kind!r} needs dask-jobqueue, which is not installed",
            do="pip install 'morphoscope[cluster]'",
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)
    return getattr(dask_jobqueue, CLASSES[kind])


def _arrivals(names: set[str]) -> Any:
    """A plugin of the scheduler that notes the names of the workers that come."""
    from distributed import SchedulerPlugin

    class Arrivals(SchedulerPlugin):  # type: ignore[misc]
        def add_worker(self, scheduler: Any, worker: str) -> None:
            names.add(str(scheduler.workers[worker].name))

    return Arrivals()


def _submitting(kind: Any, refused: list[str], shunned: dict[str, float]) -> Any:
    """A class of jobs that tells of a refusal, and leaves nodes out whose disk is full."""
    from distributed.core import Status

    class Job(kind):  # type: ignore[misc]
        async def start(self) -> None:
            if shunned:
                self.job_header += f"\n#SBATCH --exclude={','.join(sorted(shunned))}"
            try:
                await super().start()
            except Exception as error:
                refused.append(" ".join(str(error).split()))
                self.status = Status.running

        async def close(self) -> None:
            if self.job_id is not None:
                await super().close()

    return Job


def _known_jobs(kind: str) -> set[str] | None:
    """Numbers of this person's jobs; None where they are not known."""
    if kind != "slurm":
        return None
    command = ["squeue", "--me", "-h", "-o", "%A"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(said.stdout.split())
